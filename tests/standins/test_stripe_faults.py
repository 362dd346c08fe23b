"""Idempotency, faults, keys, counts: the ways in which a call can go."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import stripe as real
import urllib3

from standins.stripe import StripeServer


def test_the_same_key_with_the_same_parameters_is_the_same_answer(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    options: Any = {"idempotency_key": "customer-user_alice"}
    one = client.v1.customers.create({"email": "alice@example.com"}, options)
    two = client.v1.customers.create({"email": "alice@example.com"}, options)
    assert one.id == two.id
    assert two.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(stripe.all("customer")) == 1


def test_the_same_key_with_other_parameters_is_refused(stripe: StripeServer, client: real.StripeClient) -> None:
    options: Any = {"idempotency_key": "key"}
    client.v1.customers.create({"email": "alice@example.com"}, options)
    with pytest.raises(real.IdempotencyError) as raised:
        client.v1.customers.create({"email": "bob@example.com"}, options)
    assert raised.value.http_status == 400
    assert len(stripe.all("customer")) == 1


def test_ten_at_once_with_one_key_make_one(stripe: StripeServer, client: real.StripeClient) -> None:
    options: Any = {"idempotency_key": "key"}
    made: list[str] = []

    def create() -> None:
        made.append(client.v1.customers.create({"email": "alice@example.com"}, options).id)

    threads = [threading.Thread(target=create) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 10
    assert len(set(made)) == len(stripe.all("customer")) == 1


def test_a_refused_parameter_leaves_the_key_free(client: real.StripeClient) -> None:
    options: Any = {"idempotency_key": "key"}
    with pytest.raises(real.InvalidRequestError):
        client.v1.customers.create({"email": "nonsense"}, options)
    assert client.v1.customers.create({"email": "alice@example.com"}, options).id


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [("429", real.RateLimitError, 429), ("500", real.APIError, 500), ("409", real.APIError, 409)],
)
@pytest.mark.parametrize("after", [False, True])
def test_an_error_strikes_before_or_after_the_effect(
    stripe: StripeServer, client: real.StripeClient, kind: str, error: type[real.StripeError], status: int, after: bool
) -> None:
    stripe.fault(kind, path="/v1/customers", after=after)
    with pytest.raises(error) as raised:
        client.v1.customers.create({"email": "alice@example.com"})
    assert raised.value.http_status == status
    assert len(stripe.all("customer")) == int(after)
    client.v1.customers.create({"email": "bob@example.com"})


@pytest.mark.parametrize("after", [False, True])
def test_a_cut_connection_leaves_the_outcome_unknown(
    stripe: StripeServer, client: real.StripeClient, after: bool
) -> None:
    stripe.fault("cut", path="/v1/customers", after=after)
    options: Any = {"idempotency_key": "key"}
    with pytest.raises(real.APIConnectionError):
        client.v1.customers.create({"email": "alice@example.com"}, options)
    assert len(stripe.all("customer")) == int(after)
    client.v1.customers.create({"email": "alice@example.com"}, options)
    assert len(stripe.all("customer")) == 1, "the same key finds what the lost answer made"


def test_a_500_can_be_kept_under_its_key(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.fault("500", path="/v1/customers", after=True, kept=True)
    options: Any = {"idempotency_key": "key"}
    for _ in range(2):
        with pytest.raises(real.APIError):
            client.v1.customers.create({"email": "alice@example.com"}, options)
    assert len(stripe.all("customer")) == 1


def test_lists_and_deeds_may_run_at_once(stripe: StripeServer, client: real.StripeClient) -> None:
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for each in range(10):
                sub = stripe.subscribe(stripe.customer(f"user{n}-{each}@example.com"), "starter")
                assert client.v1.subscriptions.retrieve(sub["id"]).status == "active"
                client.v1.subscriptions.list({"limit": 5, "status": "all"})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(stripe.all("subscription")) == 40


def test_a_version_that_is_none_is_refused(stripe: StripeServer) -> None:
    client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version="nonsense")
    with pytest.raises(real.InvalidRequestError, match="Invalid Stripe API version"):
        client.v1.customers.list()


def test_a_fault_strikes_so_often_and_where_it_is_told(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.fault("500", path="/v1/customers", times=2, skip=1, method="GET")
    client.v1.products.list()
    outcomes = []
    for _ in range(4):
        try:
            client.v1.customers.list()
            outcomes.append("ok")
        except real.APIError:
            outcomes.append("500")
    assert outcomes == ["ok", "500", "500", "ok"]


def test_a_slow_call_is_as_late_as_it_is_told(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.fault("slow", path="/v1/customers", seconds=0.3)
    begun = time.monotonic()
    client.v1.customers.list()
    assert time.monotonic() - begun >= 0.3


def test_latency_does_not_queue_the_calls_of_several_threads() -> None:
    with StripeServer(latency=0.2) as stripe:
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url})
        running: list[int] = []
        begun = time.monotonic()
        threads = [threading.Thread(target=lambda: running.append(len(client.v1.prices.list().data))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(running) == 8
        assert time.monotonic() - begun >= 0.2


def test_calls_over_the_limit_of_a_second_are_refused(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.faults.per_second = 1
    refused = 0
    for _ in range(20):
        try:
            client.v1.balance.retrieve()
        except real.RateLimitError:
            refused += 1
    assert refused >= 1
    assert stripe.calls["GET /v1/balance"] == 20


def test_a_reset_is_a_new_account_at_the_same_address(stripe: StripeServer, client: real.StripeClient) -> None:
    url, seen = stripe.url, stripe.customer("alice@example.com")["id"]
    client.v1.customers.create({"email": "bob@example.com"}, {"idempotency_key": "key"})
    stripe.fault("500")
    stripe.reset()
    assert (stripe.url, stripe.all("customer"), stripe.calls.total()) == (url, [], 0)
    assert client.v1.customers.list().data == []
    assert stripe.customer("alice@example.com")["id"] == seen, "the same seed makes the same ids"
    assert client.v1.customers.create({"email": "carol@example.com"}, {"idempotency_key": "key"}).email[:5] == "carol"


def test_a_list_may_begin_again_and_again(stripe: StripeServer, client: real.StripeClient) -> None:
    made = [stripe.customer(f"user{n}@example.com")["id"] for n in range(4)]
    stripe.fault("repeat", path="/v1/customers", times=1)
    page = client.v1.customers.list({"limit": 2, "starting_after": made[2]})
    assert [each.id for each in page.data] == [made[3], made[2]]
    assert page.has_more is True


def test_a_fault_of_no_kind_is_refused(stripe: StripeServer) -> None:
    with pytest.raises(ValueError, match="429, 500, 409, slow, cut, repeat"):
        stripe.fault("nonsense")


def test_calls_are_counted_by_their_path(stripe: StripeServer, client: real.StripeClient) -> None:
    alice = stripe.customer("alice@example.com")
    client.v1.customers.retrieve(alice["id"])
    client.v1.customers.list()
    client.v1.customers.list()
    assert stripe.calls == {"GET /v1/customers/{id}": 1, "GET /v1/customers": 2}
    stripe.reset_calls()
    assert stripe.calls.total() == 0


@pytest.mark.parametrize("key", ["sk_test_wrong", "sk_live_1234567890"])
def test_another_key_is_refused_without_showing_it(stripe: StripeServer, key: str) -> None:
    client = real.StripeClient(key, base_addresses={"api": stripe.url})
    with pytest.raises(real.AuthenticationError) as raised:
        client.v1.customers.list()
    assert key not in str(raised.value)


def test_a_defect_of_the_stand_in_is_shown_and_no_cut_connection(
    stripe: StripeServer, client: real.StripeClient, capfd: pytest.CaptureFixture[str]
) -> None:
    stripe.customer("alice@example.com")
    stripe.account.store["customer"].page = None  # type: ignore
    with pytest.raises(real.APIError) as raised:
        client.v1.customers.list()
    assert raised.value.http_status == 500
    assert "TypeError" in capfd.readouterr().err


def test_an_unknown_path_is_a_404(stripe: StripeServer, client: real.StripeClient) -> None:
    with pytest.raises(real.InvalidRequestError, match="Unrecognized request URL"):
        client.raw_request("get", "/v1/nothing")


def test_nonsense_is_answered_with_a_4xx(stripe: StripeServer) -> None:
    http = urllib3.PoolManager(retries=False)
    headers = {"Authorization": f"Bearer {stripe.key}"}
    for path in ("/", "/v1/customers?created[gte]=x", "/v1/customers?expand=x", "/v1/customers?limit[]=1"):
        assert 400 <= http.request("GET", stripe.url + path, headers=headers).status < 500, path
    assert http.request("POST", stripe.url + "/v1/customers", body=b"\xff\xfe", headers=headers).status == 400
    http.clear()
