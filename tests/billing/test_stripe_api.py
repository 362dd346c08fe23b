"""How Stripe is asked: at a bounded rate, again where that helps, and with errors in sentences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing import stripe_api
from billing.stripe_api import API_VERSION, Bucket, SameKeyOtherWords, Stripe, StripeDown, StripeRefused, StripeTrouble
from standins.stripe import StripeServer

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer(frozen=True) as made:
        yield made


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def stripe(server: StripeServer, slept: list[float]) -> Stripe:
    return Stripe(server.key, server.url, rate=1e9, sleep=slept.append)


def test_a_list_goes_through_all_pages_and_counts_its_calls(server: StripeServer, stripe: Stripe):
    server.bulk(250)
    assert len({each["id"] for each in stripe.list("/v1/customers")}) == 250
    assert stripe.calls == {"GET /v1/customers": 3}


def test_a_proxy_of_the_machine_is_asked_for_stripe_and_not_for_its_stand_in(
    server: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert stripe_api._session("").proxies["https"] == "http://127.0.0.1:9"
    assert Stripe(server.key, server.url).get("/v1/customers/cus_1") is None


def test_what_is_not_there_is_none(stripe: Stripe):
    assert stripe.get("/v1/customers/cus_none") is None


def test_calls_are_counted_without_ids(server: StripeServer, stripe: Stripe):
    alice = server.customer("alice@example.com")
    stripe.get(f"/v1/customers/{alice['id']}")
    assert stripe.calls == {"GET /v1/customers/{id}": 1}


def test_the_version_is_ours_whatever_the_library_has(server: StripeServer, stripe: Stripe):
    sub = server.subscribe(server.customer("alice@example.com"), "starter")
    found = stripe.get(f"/v1/subscriptions/{sub['id']}")
    assert found is not None
    assert "current_period_end" not in found
    assert stripe._client._requestor._options.stripe_version == API_VERSION


@pytest.mark.parametrize("kind", ["429", "500", "409", "cut"])
def test_what_passes_is_tried_again(server: StripeServer, stripe: Stripe, slept: list[float], kind: str):
    server.fault(kind, times=2)
    assert list(stripe.list("/v1/customers")) == []
    assert len(slept) == 2
    assert all(0.1 < pause <= 10 for pause in slept)


@pytest.mark.parametrize("kind", ["429", "500", "cut"])
def test_what_does_not_pass_is_told_in_a_sentence(server: StripeServer, stripe: Stripe, kind: str):
    server.fault(kind, times=99)
    with pytest.raises(StripeDown, match="Stripe"):
        stripe.get("/v1/customers/cus_1")


def test_a_key_that_is_refused_is_told_without_the_key(server: StripeServer):
    other = Stripe("sk_test_somebodyelse", server.url, rate=1e9)
    with pytest.raises(StripeRefused, match="STRIPE_SECRET_KEY") as refused:
        other.get("/v1/customers/cus_1")
    assert "somebodyelse" not in str(refused.value)


def test_without_a_key_nothing_is_asked():
    with pytest.raises(StripeRefused, match="STRIPE_SECRET_KEY is not set"):
        Stripe("")


def test_a_key_makes_a_post_once(server: StripeServer, stripe: Stripe):
    server.fault("cut", method="POST", after=True)
    made = stripe.post("/v1/customers", {"email": "alice@example.com"}, idempotency_key="one")
    again = stripe.post("/v1/customers", {"email": "alice@example.com"}, idempotency_key="one")
    assert made["id"] == again["id"]
    assert len(server.all("customer")) == 1
    with pytest.raises(SameKeyOtherWords):
        stripe.post("/v1/customers", {"email": "bob@example.com"}, idempotency_key="one")


def test_what_stripe_refuses_is_told_in_its_words(stripe: Stripe):
    with pytest.raises(StripeTrouble, match="Invalid email address"):
        stripe.post("/v1/customers", {"email": "nowhere"}, idempotency_key="two")


def test_a_fault_of_the_client_shows_nothing_of_its_frames(stripe: Stripe, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise TypeError("sk_test_standin")

    monkeypatch.setattr(stripe._client, "raw_request", fail)
    with pytest.raises(StripeTrouble, match="TypeError") as failure:
        stripe.get("/v1/customers/cus_1")
    assert "sk_test" not in str(failure.value)
    assert failure.value.__suppress_context__


def test_the_bucket_lets_so_many_through_a_second():
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    bucket = Bucket(10, sleep=sleep, clock=lambda: now[0])
    for _ in range(35):
        bucket.take()
    assert 2.3 < now[0] < 3.6


def test_a_live_key_is_told_from_a_test_key():
    assert Stripe("rk_live_x").is_live
    assert not Stripe("sk_test_x").is_live


def test_the_library_is_imported_only_where_it_is_used():
    program = (
        "import django, sys; django.setup(); import omniops.urls; print('stripe' in sys.modules, 'svix' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={"DJANGO_SETTINGS_MODULE": "omniops.settings", "PATH": "", "DJANGO_SECRET_KEY": "x"},
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False"], done.stderr
