"""Deliveries to a URL, in bulk, by the command and by the control paths."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe as real

from standins.stripe import RemoteError, RemoteStripe, StripeProcess, StripeServer
from standins.stripe.__main__ import main


class Endpoint(ThreadingHTTPServer):
    """Keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.got: list[tuple[bytes, str]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/webhooks/stripe/"


class Receiver(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((body, self.headers["Stripe-Signature"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_event_is_delivered_and_signed(stripe: StripeServer, endpoint: Endpoint) -> None:
    stripe.deliver_to = endpoint.url
    stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.deliveries.wait()
    events = [real.Webhook.construct_event(body, signature, stripe.secret) for body, signature in endpoint.got]
    assert [event.id for event in events] == [event["id"] for event in stripe.events][-len(events) :]
    assert {event["pending_webhooks"] for event in stripe.events} == {0}
    assert "customer.subscription.created" in {event.type for event in events}


def test_what_did_not_arrive_is_sent_again_by_stripes_clock(stripe: StripeServer, endpoint: Endpoint) -> None:
    stripe.deliver_to, endpoint.status = endpoint.url, 500
    stripe.customer("alice@example.com")
    stripe.deliveries.wait()
    delivery = stripe.deliveries.made[-1]
    assert (delivery.answers, delivery.arrived) == ([500], False)
    assert delivery.again_at is not None
    assert delivery.again_at - delivery.begun == pytest.approx(300, abs=60)
    assert stripe.events[-1]["pending_webhooks"] == 1
    endpoint.status = 200
    assert stripe.redeliver() == 1
    stripe.deliveries.wait()
    assert (delivery.answers, delivery.again_at) == ([500, 200], None)
    assert stripe.redeliver() == 0


def test_the_retries_are_due_as_the_clock_moves(stripe: StripeServer, endpoint: Endpoint) -> None:
    stripe.deliver_to, endpoint.status = endpoint.url, 503
    stripe.customer("alice@example.com")
    stripe.deliveries.wait()
    for _ in range(20):
        stripe.advance(seconds=10 * 3_600)
        stripe.deliveries.send_due()
        stripe.deliveries.wait()
    delivery = stripe.deliveries.made[-1]
    assert delivery.again_at is None, "given up after three days"
    assert len(delivery.answers) == 8


def test_an_endpoint_of_an_old_version_gets_old_shapes(stripe: StripeServer, endpoint: Endpoint) -> None:
    stripe.deliveries.version, stripe.deliveries.types = "2024-06-20", {"invoice.paid"}
    stripe.deliver_to = endpoint.url
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.deliveries.wait()
    (body, _), *rest = endpoint.got
    event = json.loads(body)
    assert rest == []
    assert (event["api_version"], event["data"]["object"]["subscription"]) == ("2024-06-20", sub["id"])


def test_one_event_can_be_sent_by_hand(stripe: StripeServer, endpoint: Endpoint) -> None:
    stripe.customer("alice@example.com")
    event = stripe.events[-1]
    assert stripe.deliver(event, endpoint.url) == 200
    assert json.loads(endpoint.got[0][0])["id"] == event["id"]
    assert stripe.deliver(event, "http://127.0.0.1:1/") == 0
    with pytest.raises(ValueError, match="deliver_to"):
        stripe.deliver(event)


def test_a_signature_may_be_old_or_of_another_secret(stripe: StripeServer) -> None:
    stripe.customer("alice@example.com")
    for options in ({"secret": "whsec_other"}, {"at": 1_700_000_000}):
        body, headers = stripe.signed(stripe.events[-1], **options)  # type: ignore[arg-type]
        with pytest.raises(real.SignatureVerificationError):
            real.Webhook.construct_event(body, headers["Stripe-Signature"], stripe.secret)


def test_bulk_makes_what_a_single_one_would_be(stripe: StripeServer, client: real.StripeClient) -> None:
    single = stripe.subscribe(stripe.customer("alice@example.com", "Alice", "user_alice"), "starter")
    made = stripe.bulk(1000, subscribed=0.25, with_invoices=True)
    assert made == {"customers": 1000, "subscriptions": 250, "invoices": 250}
    assert sum(1 for _ in client.v1.customers.list({"limit": 100}).auto_paging_iter()) == 1001
    assert sum(1 for _ in client.v1.subscriptions.list({"limit": 100, "status": "all"}).auto_paging_iter()) == 251
    sub = stripe.get(f"sub_{5:024d}")
    assert set(sub) == set(single)
    assert set(stripe.get(sub["latest_invoice"])) == set(stripe.get(single["latest_invoice"]))
    item = sub["items"]["data"][0]
    assert item["current_period_start"] < stripe.clock < item["current_period_end"]
    customer = client.v1.customers.retrieve(sub["customer"])
    assert (customer.email, customer.metadata["userId"]) == ("user5@example.com", "user_000005")


def test_what_bulk_made_can_be_found_and_changed(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.bulk(300, subscribed=1, with_invoices=True)
    sub = client.v1.subscriptions.list({"customer": f"cus_{7:014d}"}).data[0]
    assert stripe.cancel(sub.id, at_period_end=False)["status"] == "canceled"
    assert client.v1.subscriptions.list({"customer": f"cus_{7:014d}"}).data == []
    stripe.delete_customer(f"cus_{8:014d}")
    assert client.v1.customers.retrieve(f"cus_{8:014d}").deleted is True
    expanded = client.v1.invoices.list({"subscription": f"sub_{9:024d}", "expand": ["data.payments"]}).data[0]
    assert expanded.payments.data[0].payment.payment_intent == f"pi_{9:024d}"
    created = [each.created for each in client.v1.customers.list({"limit": 100}).data]
    assert created == sorted(created, reverse=True)


def test_bulk_makes_who_came_by_checkout_and_pays_by_the_month(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", "user_alice"), "starter")
    stripe.bulk(200, subscribed=1, days=730, with_invoices=True, by_checkout=True)
    single, *_, made = client.v1.checkout.sessions.list({"limit": 100, "created": {"lte": stripe.clock}}).data
    assert set(made.to_dict()) == set(single.to_dict())
    month = {"created": {"gte": stripe.clock - 31 * 86_400}}
    assert sum(1 for _ in client.v1.checkout.sessions.list({"limit": 100, **month}).auto_paging_iter()) < 15
    assert sum(1 for _ in client.v1.payment_intents.list({"limit": 100, **month}).auto_paging_iter()) == 201
    sub = stripe.get(client.v1.checkout.sessions.list({"subscription": f"sub_{9:024d}"}).data[0].subscription)
    assert sub["items"]["data"][0]["price"]["recurring"]["interval"] == "month"
    assert sub["start_date"] < sub["items"]["data"][0]["current_period_start"]


def test_windows_of_created_share_out_what_bulk_made(stripe: StripeServer, client: real.StripeClient) -> None:
    stripe.bulk(500, days=100)
    now, found = stripe.clock, []
    for newest, oldest in ((-1, 25), (25, 50), (50, 75), (75, 101)):
        window: Any = {"gte": now - oldest * 86_400, "lt": now - newest * 86_400}
        page = client.v1.customers.list({"limit": 100, "created": window})
        found.append([each.id for each in page.auto_paging_iter()])
    assert sum(len(each) for each in found) == len({id for each in found for id in each}) == 500
    assert all(100 <= len(each) <= 150 for each in found)


def test_another_process_is_driven_by_the_same_names() -> None:
    with StripeProcess("--customers", "200") as stripe:
        alice = stripe.customer(email="alice@example.com", user_id="user_alice")
        sub = stripe.subscribe(customer=alice, price="starter")
        stripe.advance(days=31)
        stripe.fault(kind="429", path="/v1/customers")
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url})
        with pytest.raises(real.RateLimitError):
            client.v1.customers.list()
        assert client.v1.subscriptions.retrieve(sub["id"]).status == "active"
        assert stripe.calls == {"GET /v1/customers": 1, "GET /v1/subscriptions/{id}": 1}
        assert stripe.events[-1]["type"].startswith(("invoice", "customer", "payment"))
        body, headers = stripe.signed(stripe.events[-1])
        real.Webhook.construct_event(body, headers["Stripe-Signature"], stripe.secret)
        assert stripe.prices["starter", "month"] == sub["items"]["data"][0]["price"]["id"]
        assert stripe.control("state")["objects"]["customer"] == 201
        for name, given, said in [
            ("nonsense", {}, "none of"), ("subscribe", {"customer": "cus_none"}, "No such customer"),
            ("subscribe", {"colour": 1}, "colour"), ("deliver", {"event": "nothing"}, "nothing"),
        ]:  # fmt: skip
            with pytest.raises(RemoteError, match=said):
                stripe.control(name, **given)
        process = stripe._process
    assert process is not None
    assert process.returncode == 0


def test_control_delivers_what_is_asked_for(stripe: StripeServer, endpoint: Endpoint) -> None:
    remote = RemoteStripe(stripe.url)
    remote.control("settings", deliver_to=endpoint.url, latency=0)
    remote.customer(email="alice@example.com")
    remote.control("wait")
    assert len(endpoint.got) == 1
    assert remote.control("deliver", event="customer.created")["status"] == 200
    assert remote.control("redeliver") == {"sent": 0}
    assert len(endpoint.got) == 2
    assert remote.control("settings", deliver_to="")["deliver_to"] is None
    remote._http.clear()


def test_the_command_prints_its_environment_and_ends_with_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "standins.stripe", "serve", "--with-parent"], input="", capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0
    assert "export STRIPE_SECRET_KEY=sk_test_" in done.stdout
    assert "export STRIPE_API_BASE=http://127.0.0.1:" in done.stdout


def test_a_taken_port_is_told_in_a_sentence(stripe: StripeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", stripe.url.rpartition(":")[2]]) == 1
    assert "Name another by --port" in capsys.readouterr().err
