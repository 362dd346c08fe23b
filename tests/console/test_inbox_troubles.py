"""The inbox where something fails, is killed, wrong, or down: each event is still once in its effect."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from billing import stripe_events
from billing.models import SubscriptionPlan
from billing.stripe_api import StripeDown
from chat.models import User
from console import inbox, inbox_handling
from console.inbox_arrivals import arrival_of_clerk
from console.models import InboxEvent, InboxState
from d1 import OutcomeUnknown
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.inbox_events import Thing, alice, credited, keep, states, wake

__all__ = ["alice"]

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """As if the process ended here."""


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "between the effect and the answer"])
def test_a_kill_leaves_one_effect_in_the_end(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, after: bool
):
    stripe.subscribe(alice, "starter")
    keep(stripe)
    usual = stripe_events.carry_out

    def kill(*args: Any, **kwargs: Any) -> Any:
        if after:
            usual(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stripe_events, "carry_out", kill)
        with pytest.raises(Killed):
            inbox.work_off()
    assert credited() == ([6000] if after else [])
    assert inbox.work_off().states.total() == 0, "the lease still runs"
    InboxEvent.objects.exclude(leased_until=None).update(leased_until=timezone.now() - timedelta(seconds=1))
    inbox.work_off()
    assert credited() == [6000]
    assert set(states()) == {"processed", "ignored"}


def test_a_handler_that_fails_is_rolled_back_counted_and_tried_again(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    with monkeypatch.context() as patch:
        patch.setattr(
            "billing.stripe_accounts._settled_steps", lambda changes: [("INSERT INTO nowhere VALUES (1)", [])]
        )
        patch.setattr(inbox_handling, "is_down", lambda problem: False)
        inbox.work_off()
    event = InboxEvent.objects.get()
    assert (event.state, event.attempts, credited(), AuditLog.objects.count()) == ("failed", 1, [], 0)
    assert "nowhere" in event.error
    assert event.next_at is not None
    assert event.next_at > timezone.now()
    assert inbox.work_off().states.total() == 0, "it is not yet time"
    wake()
    inbox.work_off()
    event.refresh_from_db()
    assert (event.state, event.error, credited()) == ("processed", "", [6000])


def test_after_eight_failures_it_is_parked_with_its_error(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("whatever")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_events, "carry_out", fail)
        for _ in range(inbox_handling.MAX_ATTEMPTS):
            wake()
            inbox.work_off()
    event = InboxEvent.objects.get()
    assert (event.state, event.attempts, event.next_at) == ("parked", inbox_handling.MAX_ATTEMPTS, None)
    assert "ValueError" in event.error
    assert inbox.replay(event).state == InboxState.PROCESSED
    assert credited() == [6000]


def test_one_event_that_fails_stops_none_beside_it(stripe: StripeServer, alice: Thing):
    SubscriptionPlan.objects.filter(pk="power").update(stripe_price_id_monthly=None)
    bob = stripe.customer("bob@example.com", "Bob", user_id="user_bob")
    User.objects.create(id="user_bob", email="bob@example.com")
    stripe.subscribe(bob, "power")
    stripe.buy_pack(bob, 999, 5000)
    stripe.subscribe(alice, "starter")
    keep(stripe)
    inbox.work_off()
    assert credited() == [5000, 6000]
    assert set(InboxEvent.objects.filter(state="parked").values_list("subject", flat=True)) == {bob["id"]}


@pytest.mark.parametrize(("live", "key"), [(True, "sk_test_standin"), (False, "sk_live_standin")])
def test_a_live_event_with_a_test_key_or_the_reverse_is_parked(
    stripe: StripeServer, alice: Thing, settings: Any, live: bool, key: str
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", livemode=live)
    settings.STRIPE_SECRET_KEY = key
    inbox.work_off()
    event = InboxEvent.objects.get()
    assert (event.state, event.next_at, credited()) == ("parked", None, [])
    assert "STRIPE_SECRET_KEY" in event.error


def test_an_event_of_a_connected_account_is_parked_and_asks_stripe_nothing(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", account="acct_other")
    stripe.reset_calls()
    inbox.work_off()
    event = InboxEvent.objects.get()
    assert (event.state, event.next_at, credited(), stripe.calls.total()) == ("parked", None, [], 0)
    assert "'acct_other'" in event.error


def test_an_unknown_user_is_parked_and_credited_once_clerk_tells_of_them(stripe: StripeServer, prices: None):
    bob = stripe.customer("bob@example.com", "Bob", user_id="user_bob")
    stripe.buy_pack(bob, 999, 5000)
    keep(stripe)
    inbox.work_off()
    assert credited() == []
    assert InboxEvent.objects.get(type="payment_intent.succeeded").state == "parked"
    data = {"id": "user_bob", "email_addresses": [{"id": "1", "email_address": "bob@example.com"}], "updated_at": 1}
    inbox.keep([arrival_of_clerk({"type": "user.created", "data": data}, "msg_1")])
    inbox.work_off()
    assert credited() == [5000]
    assert set(states()) <= {"processed", "ignored"}


def test_what_time_may_bring_is_tried_again_by_itself(stripe: StripeServer, prices: None):
    stripe.buy_pack(stripe.customer("bob@example.com", "Bob", user_id="user_bob"), 999, 5000)
    keep(stripe, "payment_intent.succeeded")
    inbox.work_off()
    event = InboxEvent.objects.get()
    assert event.next_at is not None
    User.objects.create(id="user_bob", email="bob@example.com")
    wake()
    inbox.work_off()
    assert (states(), credited()) == ({"processed": 1}, [5000])


@pytest.mark.parametrize("status", ["429", "500"])
def test_while_stripe_is_down_or_limits_it_stays_in_the_inbox(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, status: str
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    client = inbox_handling.stripe_of_settings()
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    stripe.fault(status, times=100)
    worked = inbox.work_off()
    assert "Stripe" in worked.stopped
    event = InboxEvent.objects.first()
    assert event is not None
    assert (states(), event.attempts, event.lease) == ({"received": 2}, 0, "")
    assert event.error
    stripe.faults.clear()
    wake()
    inbox.work_off()
    assert (states(), credited()) == ({"processed": 2}, [6000])


def test_one_customer_whom_stripe_cannot_answer_for_stops_none_behind(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    User.objects.create(id="user_bob", email="bob@example.com")
    bob = stripe.customer("bob@example.com", "Bob", user_id="user_bob")
    stripe.subscribe(bob, "starter")
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    usual = stripe_events.carry_out

    def answer(client: Any, needs: stripe_events.Needs, **more: Any) -> Any:
        if needs.customer == bob["id"]:
            raise StripeDown("Stripe answers with status 500 again and again: it is tried again later.")
        return usual(client, needs, **more)

    monkeypatch.setattr(stripe_events, "carry_out", answer)
    assert inbox.work_off().stopped
    InboxEvent.objects.update(next_at=F("next_at") - inbox_handling.PAUSE - timedelta(seconds=1))
    inbox.work_off()
    assert (states(), credited()) == ({"processed": 1, "received": 1}, [6000])


def test_who_signs_up_is_made_though_events_of_stripe_wait_ahead(stripe: StripeServer, alice: Thing, settings: Any):
    keep(stripe, "customer.created")
    data = {"id": "user_bob", "email_addresses": [{"id": "1", "email_address": "bob@example.com"}], "updated_at": 1}
    inbox.keep([arrival_of_clerk({"type": "user.created", "data": data}, "msg_1")])
    settings.STRIPE_SECRET_KEY = ""
    assert inbox.work_off().stopped
    assert User.objects.filter(pk="user_bob").exists()
    assert states() == {"processed": 1, "received": 1}


def test_what_stripe_has_not_yet_as_paid_is_asked_again(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    stripe.buy_pack(alice, 999, 5000)
    keep(stripe, "invoice.paid", "payment_intent.succeeded")
    client = inbox_handling.stripe_of_settings()
    get, listed = client.get, client.list

    def stale(path: str, **params: Any) -> Any:
        found = get(path, **params)
        return {**found, "status": "processing"} if found and path.startswith("/v1/payment_intents/") else found

    with monkeypatch.context() as patch:
        patch.setattr(client, "get", stale)
        patch.setattr(client, "list", lambda path, **q: iter(()) if path == "/v1/invoices" else listed(path, **q))
        inbox.work_off()
    # The invoice's own payment hints at nothing.
    assert (states(), credited()) == ({"parked": 2, "ignored": 1}, [])
    wake()
    inbox.work_off()
    assert credited() == [5000, 6000]


def test_without_a_key_events_wait(stripe: StripeServer, alice: Thing, settings: Any):
    keep(stripe, "customer.created")
    settings.STRIPE_SECRET_KEY = ""
    assert "STRIPE_SECRET_KEY is not set" in inbox.work_off().stopped
    assert states() == {"received": 1}


def test_while_omnichats_database_is_down_the_inbox_holds_the_event(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")

    def down(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("No connection to D1")

    with monkeypatch.context() as patch:
        patch.setattr("billing.stripe_subscriptions.read_account", down)
        assert inbox.work_off().stopped
    assert states() == {"received": 1}
    wake()
    inbox.work_off()
    assert (states(), credited()) == ({"processed": 1}, [6000])


def test_an_answer_of_d1_that_was_lost_asks_nothing_of_staff(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")

    def lost(*args: Any, **kwargs: Any) -> None:
        raise OutcomeUnknown("Network connection lost.")

    with monkeypatch.context() as patch:
        patch.setattr(inbox_handling, "apply_together", lost)
        inbox.work_off()
    assert (InboxEvent.objects.get().error, states()) == (
        "D1's answer was lost: the event is tried again, and counts once.",
        {"received": 1},
    )


def test_an_outage_of_hours_is_made_good_by_a_backfill(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    stripe.upgrade(sub, "power")
    stripe.buy_pack(alice, 999, 5000)
    keep(stripe, "customer.subscription.created")
    inbox.work_off()
    assert inbox.backfill() == len(stripe.events) - 1
    inbox.work_off()
    assert credited() == [5000, 6000, 39_000]
    assert inbox.backfill() == 0
