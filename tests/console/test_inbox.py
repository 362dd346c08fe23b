"""The inbox: each event once in its effect, whatever fails, and nothing lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from billing import stripe_events
from billing.models import BatteryTransaction, SubscriptionPlan, UserBattery
from chat.models import User
from console import inbox, inbox_handling
from console.inbox_arrivals import arrival_of_clerk, arrival_of_stripe
from console.models import InboxEvent, InboxState
from database.models import AuditLog
from standins.stripe import StripeServer

pytestmark = pytest.mark.django_db
Thing = dict[str, Any]


@pytest.fixture
def alice(stripe: StripeServer, prices: None) -> Thing:
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")
    return stripe.customer("alice@example.com", "Alice", user_id="user_alice")


def keep(stripe: StripeServer, *types: str, **cells: Any) -> list[Thing]:
    """Keep the events of these types, or all."""
    events = [{**event, **cells} for event in stripe.events if not types or event["type"] in types]
    inbox.keep([arrival_of_stripe(event) for event in events])
    return events


def states() -> dict[str, int]:
    rows = InboxEvent.objects.values_list("state", flat=True)
    return {state: list(rows).count(state) for state in set(rows)}


def credited() -> list[int]:
    return sorted(BatteryTransaction.objects.values_list("amount", flat=True))


def wake() -> None:
    InboxEvent.objects.exclude(next_at=None).update(next_at=timezone.now())


def test_what_was_kept_is_worked_off(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe)
    worked = inbox.work_off()
    assert worked.count("processed") > 3
    assert set(states()) == {"processed", "ignored"}
    assert credited() == [6000]
    paid = InboxEvent.objects.get(type="invoice.paid")
    assert any("6,000 units to user_alice" in line for line in paid.effect)
    assert paid.processed_at is not None
    assert inbox.work_off().states.total() == 0


def test_events_of_one_customer_are_worked_off_together_with_few_calls(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe)
    stripe.reset_calls()
    inbox.work_off()
    assert sum(stripe.calls.values()) <= 3


@pytest.mark.parametrize("seed", range(5))
def test_events_shuffled_and_doubled_end_in_one_effect(stripe: StripeServer, alice: Thing, seed: int):
    sub = stripe.subscribe(alice, "starter")
    stripe.upgrade(sub, "power")
    stripe.buy_pack(alice, 999, 5000)
    arrivals = [arrival_of_stripe(event) for event in stripe.events] * 2
    random.Random(seed).shuffle(arrivals)
    for arrival in arrivals:
        inbox.keep([arrival])
        if random.Random(seed).random() < 0.5:
            inbox.work_off(1)
    inbox.work_off()
    assert credited() == [5000, 6000, 39_000]
    assert set(states()) == {"processed", "ignored"}


def test_two_ids_for_one_cause_are_one_credit(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "invoice.payment_succeeded")
    keep(stripe, "invoice.paid", id="evt_another")
    inbox.work_off()
    assert credited() == [6000]


def test_ten_workers_at_once_bring_about_one_effect(files: Path, stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    stripe.buy_pack(alice, 999, 5000)
    for number in range(4):
        inbox.keep([arrival_of_stripe({**event, "id": f"{event['id']}{number}"}) for event in stripe.events])
    failures: list[BaseException] = []

    def run() -> None:
        try:
            inbox.work_off()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    inbox.work_off()
    wake()
    inbox.work_off()
    assert credited() == [5000, 6000]
    assert UserBattery.objects.get().total_balance == 11_000
    assert set(states()) == {"processed", "ignored"}


def test_customers_are_worked_off_several_at_once(files: Path, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("alice", "bob"):
        User.objects.create(id=f"user_{name}", email=f"{name}@example.com", tier="free")
        stripe.subscribe(stripe.customer(f"{name}@example.com", name.title(), user_id=f"user_{name}"), "starter")
    for (plan, interval), price in stripe.prices.items():
        column = "stripe_price_id_monthly" if interval == "month" else "stripe_price_id_annual"
        SubscriptionPlan.objects.filter(pk=plan).update(**{column: price})
    keep(stripe, "invoice.paid")
    usual, both = stripe_events.carry_out, threading.Barrier(2, timeout=60)

    def meet(*args: Any, **kwargs: Any) -> Any:
        both.wait()
        return usual(*args, **kwargs)

    monkeypatch.setattr(stripe_events, "carry_out", meet)
    assert inbox.work_off().states == {"processed": 2}
    assert credited() == [6000, 6000]


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


def test_one_who_lost_the_lease_writes_nothing_more_about_the_event(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    lease, events = inbox.claim(10)
    InboxEvent.objects.update(lease="another", leased_until=timezone.now() + timedelta(minutes=1))
    assert not inbox_handling.handle(events, lease)
    assert states() == {"received": 1}


def test_while_one_holds_an_event_of_a_customer_nobody_takes_another_of_it(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    _, first = inbox.claim(1)
    assert len(first) == 1
    assert inbox.claim(10)[1] == []


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


def test_observing_writes_nothing_to_omnichat_and_tells_what_it_would(
    stripe: StripeServer, alice: Thing, settings: Any
):
    settings.STRIPE_EFFECTS = "observe"
    stripe.subscribe(alice, "starter")
    stripe.buy_pack(alice, 999, 5000)
    keep(stripe)
    before = AuditLog.objects.count()
    inbox.work_off()
    assert (credited(), AuditLog.objects.count(), User.objects.get().tier) == ([], before, "free")
    lines = InboxEvent.objects.get(type="invoice.paid").effect
    assert any(line.startswith("Observed, not written: invoice:") for line in lines)


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


def test_a_preview_tells_what_a_replay_would_write_and_writes_nothing(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    event = InboxEvent.objects.get()
    lines = inbox_handling.preview(event)
    assert any("+6,000 units to user_alice" in line for line in lines)
    assert (credited(), states()) == ([], {"received": 1})
    assert inbox.replay(event).state == "processed"
    assert inbox_handling.preview(event)
    assert inbox.replay(event).state == "processed"
    assert credited() == [6000]


def test_the_health_tells_the_oldest_that_waits_what_fails_and_the_last(stripe: StripeServer, alice: Thing):
    assert inbox.health() == inbox.Health(0, None, 0, 0, {})
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    InboxEvent.objects.filter(type="invoice.paid").update(state="failed")
    found = inbox.health()
    oldest = InboxEvent.objects.earliest("received_at")
    assert (found.waiting, found.oldest, found.failing, found.parked) == (2, oldest.received_at, 1, 0)
    assert list(found.last) == ["stripe"]


def test_two_workers_claim_no_event_twice(stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    usual: Callable[[], Any] = inbox.due
    calls: list[Any] = []

    def late() -> Any:
        # Between the look and the claim of the first, the second takes it.
        calls.append(1)
        if len(calls) == 2:
            InboxEvent.objects.update(lease="another", leased_until=timezone.now() + timedelta(minutes=1))
        return usual()

    monkeypatch.setattr(inbox, "due", late)
    assert inbox.claim(10)[1] == []
