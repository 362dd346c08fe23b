"""Deliveries of Stripe and Clerk: what is kept, and what the sender is told."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.test import Client

from console import inbox
from console.inbox_arrivals import Refused, arrival_of_stripe, read
from console.models import InboxEvent, InboxState
from standins.stripe import StripeServer

pytestmark = pytest.mark.django_db
STRIPE, CLERK = "/webhooks/stripe/", "/webhooks/clerk/"
CLERK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def deliver(stripe: StripeServer, event: Any, client: Client | None = None, **how: Any) -> Any:
    body, headers = stripe.signed(event, **how)
    return post(body, headers, client)


def post(body: bytes, headers: dict[str, str], client: Client | None = None, to: str = STRIPE) -> Any:
    return (client or Client()).post(to, body, content_type="application/json", headers=headers)


@pytest.fixture
def event(stripe: StripeServer) -> Any:
    stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    return next(each for each in stripe.events if each["type"] == "customer.created")


def test_a_new_and_valid_event_is_kept_and_answered_before_it_is_worked_off(stripe: StripeServer, event: Any):
    stripe.reset_calls()
    assert deliver(stripe, event).status_code == 200
    kept = InboxEvent.objects.get()
    assert (kept.source, kept.event_id, kept.type) == ("stripe", event["id"], "customer.created")
    assert (kept.state, kept.livemode, kept.subject) == ("received", False, event["data"]["object"]["id"])
    assert kept.api_version == event["api_version"]
    assert json.loads(kept.payload)["data"]["object"]["email"] == "alice@example.com"
    assert not stripe.calls


def test_the_same_id_again_is_answered_200_and_kept_once(stripe: StripeServer, event: Any):
    assert [deliver(stripe, event).status_code for _ in range(3)] == [200] * 3
    assert InboxEvent.objects.count() == 1


def test_one_that_was_worked_off_stays_so_when_it_comes_again(stripe: StripeServer, event: Any):
    deliver(stripe, event)
    InboxEvent.objects.update(state=InboxState.PROCESSED)
    deliver(stripe, event)
    assert InboxEvent.objects.get().state == InboxState.PROCESSED


def test_a_delivery_needs_no_session_and_no_csrf_token(stripe: StripeServer, event: Any):
    assert deliver(stripe, event, Client(enforce_csrf_checks=True)).status_code == 200


def refused(answer: Any, status: int = 400) -> None:
    assert answer.status_code == status
    assert "Traceback" not in answer.content.decode()
    assert not InboxEvent.objects.exists()


def test_no_signature_is_refused(stripe: StripeServer, event: Any):
    body, _ = stripe.signed(event)
    refused(post(body, {}))


@pytest.mark.parametrize("header", ["é", "t={now},v1=é", "t={now}", "t=nan,v1=a", "v1=a", "t={now},v1=,v1==", "="])
def test_a_header_that_is_no_signature_is_refused(stripe: StripeServer, event: Any, header: str):
    body, _ = stripe.signed(event)
    refused(post(body, {"Stripe-Signature": header.replace("{now}", str(int(time.time())))}))


def test_a_wrong_secret_is_refused(stripe: StripeServer, event: Any):
    refused(deliver(stripe, event, secret="whsec_other"))


def test_a_tampered_body_is_refused(stripe: StripeServer, event: Any):
    body, headers = stripe.signed(event)
    refused(post(body.replace(b"alice", b"mallo"), headers))


def test_a_signature_301_seconds_old_is_refused(stripe: StripeServer, event: Any):
    refused(deliver(stripe, event, at=int(time.time()) - 301))


def test_a_signature_of_some_seconds_ago_is_good(stripe: StripeServer, event: Any):
    assert deliver(stripe, event, at=int(time.time()) - 280).status_code == 200


@pytest.mark.parametrize("secret", ["whsec_old", "whsec_new"])
def test_of_a_rolled_secret_the_old_and_the_new_are_good(stripe: StripeServer, event: Any, settings: Any, secret: str):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]
    assert deliver(stripe, event, secret=secret).status_code == 200


def test_a_body_over_one_mebibyte_is_refused(stripe: StripeServer, event: Any):
    event["data"]["object"]["description"] = "x" * 1024 * 1024
    refused(deliver(stripe, event), 413)


def signed_raw(stripe: StripeServer, body: bytes) -> dict[str, str]:
    import hashlib
    import hmac

    at = int(time.time())
    mac = hmac.new(stripe.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={mac}"}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b"no json",
        b"",
        b"[1]",
        b"{}",
        b'{"id":"evt_1","type":"x"}',
        b'{"id":"evt_1","type":7,"data":{"object":{}}}',
        b'{"id":"\\u0000","type":"x","data":{"object":{}}}',
        b'{"id":"' + b"e" * 256 + b'","type":"x","data":{"object":{}}}',
        b'{"id":"evt_1","type":"x","data":{"object":{"name":"\\ud800"}}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_refused_without_a_traceback(stripe: StripeServer, body: bytes):
    refused(post(body, signed_raw(stripe, body)))


@pytest.mark.parametrize("depth", [300, 900])
def test_a_body_that_is_nested_too_deeply_is_refused(stripe: StripeServer, depth: int):
    thing: Any = {}
    for _ in range(depth):
        thing = [thing]
    text = json.dumps({"id": "evt_1", "type": "invoice.paid", "data": {"object": {"x": thing}}})
    with pytest.raises(Refused):
        arrival_of_stripe(read(text.encode()))


def test_a_text_with_a_null_character_is_kept(stripe: StripeServer):
    body = b'{"id":"evt_1","type":"x","data":{"object":{"name":"a\\u0000b"}}}'
    assert post(body, signed_raw(stripe, body)).status_code == 200


def test_only_a_post_is_answered(stripe: StripeServer):
    assert Client().get(STRIPE).status_code == 405


def test_without_a_secret_it_says_so_and_keeps_nothing(stripe: StripeServer, event: Any, settings: Any):
    settings.STRIPE_WEBHOOK_SECRETS = []
    refused(deliver(stripe, event), 503)
    refused(post(b"{}", {}, to=CLERK), 503)


def test_an_event_that_cannot_be_kept_is_answered_503(
    stripe: StripeServer, event: Any, monkeypatch: pytest.MonkeyPatch
):
    def fail(arrivals: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(inbox, "keep", fail)
    refused(deliver(stripe, event), 503)


def test_a_type_that_is_not_known_is_answered_200_and_kept_as_ignored(stripe: StripeServer, event: Any):
    event["type"] = "tax.settings.updated"
    assert deliver(stripe, event).status_code == 200
    assert InboxEvent.objects.get().state == InboxState.IGNORED


@pytest.mark.parametrize(
    ("kind", "state"), [("v2.core.event_destination.ping", "ignored"), ("v1.customer.subscription.updated", "parked")]
)
def test_a_thin_event_is_kept_and_parked_where_it_tells_of_what_counts(stripe: StripeServer, kind: str, state: str):
    about = {"id": "sub_1", "type": "subscription", "url": "/v1/subscriptions/sub_1"}
    thin = {"object": "v2.core.event", "type": kind, "created": "2026-11-23T09:00:00.000Z", "related_object": about}
    assert deliver(stripe, {"id": "evt_thin", "livemode": False, **thin}).status_code == 200
    inbox.work_off()
    event = InboxEvent.objects.get()
    assert (event.state, event.next_at) == (state, None)
    assert ("snapshot" in event.error) == (state == "parked")


def test_what_would_let_somebody_pay_is_not_kept(stripe: StripeServer):
    alice = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    stripe.buy_pack(alice, 999, 5000)
    for event in stripe.events:
        assert deliver(stripe, event).status_code == 200
    payloads = "".join(InboxEvent.objects.values_list("payload", flat=True))
    assert "payment_intent" in payloads
    assert "_secret_" not in payloads
    assert "client_secret" not in payloads


def test_an_address_that_lets_in_whoever_has_it_is_not_kept(stripe: StripeServer, event: Any):
    session = {"object": "billing_portal.session", "id": "bps_1", "url": "https://billing.stripe.com/p/session/open"}
    opened = {**event, "type": "billing_portal.session.created", "data": {"object": session}}
    assert deliver(stripe, opened).status_code == 200
    assert json.loads(InboxEvent.objects.get().payload)["data"]["object"].keys() == {"object", "id"}


def test_ten_deliveries_at_once_are_all_answered_200_and_kept_once(files: Path, stripe: StripeServer, event: Any):
    answers: list[int] = []

    def run() -> None:
        try:
            answers.append(deliver(stripe, event).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 10
    assert InboxEvent.objects.count() == 1


def clerk_delivery(data: dict[str, Any], type: str = "user.created", id: str = "msg_1", **how: Any) -> Any:
    from datetime import UTC, datetime

    from svix.webhooks import Webhook

    body = json.dumps({"data": data, "object": "event", "type": type, "timestamp": 1795348800000})
    at = datetime.fromtimestamp(how.get("at", time.time()), UTC)
    signature = Webhook(how.get("secret", CLERK_SECRET)).sign(id, at, body)
    headers = {"svix-id": id, "svix-timestamp": str(int(at.timestamp())), "svix-signature": signature}
    return post(how.get("body", body.encode()), headers, to=CLERK)


@pytest.fixture
def clerk(settings: Any) -> None:
    settings.CLERK_WEBHOOK_SECRETS = [CLERK_SECRET]


def test_an_event_of_clerk_is_verified_by_svix_and_kept_once(clerk: None):
    data = {"id": "user_alice", "updated_at": 1795348800123}
    assert [clerk_delivery(data).status_code for _ in range(2)] == [200, 200]
    kept = InboxEvent.objects.get()
    assert (kept.source, kept.event_id, kept.subject, kept.state) == ("clerk", "msg_1", "user_alice", "received")
    assert kept.happened_at is not None
    assert kept.happened_at.microsecond == 123000


@pytest.mark.parametrize("how", [{"secret": "whsec_AAAA"}, {"at": time.time() - 301}, {"body": b'{"data":{}}'}])
def test_one_that_clerk_did_not_sign_now_is_refused(clerk: None, how: dict[str, Any]):
    if "at" in how:
        how = {"at": time.time() - 301}
    refused(clerk_delivery({"id": "user_alice"}, **how))


def test_of_a_rolled_clerk_secret_both_are_good(clerk: None, settings: Any):
    settings.CLERK_WEBHOOK_SECRETS = ["whsec_AAAA", CLERK_SECRET]
    assert clerk_delivery({"id": "user_alice"}).status_code == 200


def test_other_events_of_clerk_are_kept_as_ignored(clerk: None):
    assert clerk_delivery({"id": "sess_1"}, "session.created").status_code == 200
    assert InboxEvent.objects.get().state == InboxState.IGNORED


def test_a_code_by_which_somebody_signs_in_is_not_kept(clerk: None):
    assert clerk_delivery({"id": "ema_1", "otp_code": "424242", "body": "424242"}, "email.created").status_code == 200
    assert "424242" not in InboxEvent.objects.get().payload
