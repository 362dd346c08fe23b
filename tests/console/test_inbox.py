"""The inbox: each event once in its effect, and nothing lost."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing import stripe_api, stripe_events
from billing.models import BatteryTransaction, SubscriptionPlan, UserBattery
from billing.stripe_accounts import Changes, apply_together
from chat.models import User
from console import inbox, inbox_handling
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxEvent
from d1.api import Endpoint
from database.models import AuditLog
from database.transactions import run_batch
from standins.stripe import StripeServer
from tests.inbox_events import Thing, alice, credited, keep, states, wake

__all__ = ["alice"]

pytestmark = pytest.mark.django_db


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


def subscribed(stripe: StripeServer, *names: str) -> None:
    for name in names:
        User.objects.create(id=f"user_{name}", email=f"{name}@example.com", tier="free")
        stripe.subscribe(stripe.customer(f"{name}@example.com", name.title(), user_id=f"user_{name}"), "starter")
    for (plan, interval), price in stripe.prices.items():
        column = "stripe_price_id_monthly" if interval == "month" else "stripe_price_id_annual"
        SubscriptionPlan.objects.filter(pk=plan).update(**{column: price})
    keep(stripe, "invoice.paid")


def test_each_thread_keeps_its_connections():
    session = stripe_api._session("")
    assert all(adapter._pool_maxsize >= inbox.THREADS for adapter in session.adapters.values())
    assert Endpoint.pool_size >= inbox.THREADS


def test_customers_are_worked_off_several_at_once(files: Path, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    subscribed(stripe, "alice", "bob")
    usual, both = stripe_events.carry_out, threading.Barrier(2, timeout=60)

    def meet(*args: Any, **kwargs: Any) -> Any:
        both.wait()
        return usual(*args, **kwargs)

    monkeypatch.setattr(stripe_events, "carry_out", meet)
    assert inbox.work_off().states == {"processed": 2}
    assert credited() == [6000, 6000]


def test_of_customers_in_one_transaction_one_that_was_changed_takes_none_along(
    files: Path, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    subscribed(stripe, "alice", "bob", "carol")
    sizes: list[int] = []

    def write(batch: list[Changes]) -> Any:
        sizes.append(len(batch))
        if len(sizes) == 1:
            while len(inbox_handling._writing._queue) < 2:
                time.sleep(0)
            other = inbox_handling._writing._queue[0].item.rows[0].user_id
            User.objects.filter(pk=other).update(name="Changed meanwhile")
        return apply_together(batch)

    monkeypatch.setattr(inbox_handling, "apply_together", write)
    assert inbox.work_off().states == {"processed": 3}
    assert sorted(sizes) == [1, 1, 1, 1, 2], "one ahead, two together, each of them alone, one of them anew"
    assert credited() == [6000] * 3
    events = dict(InboxEvent.objects.values_list("event_id", "payload"))
    for row in AuditLog.objects.all():
        (event,) = (row.metadata or {})["events"]
        assert f'"{row.user_id}"' in events[event]


@pytest.mark.sqlite_only("D1 takes one batch after the other")
def test_a_batch_that_only_reads_waits_for_no_writer(files: Path):
    connection = connections["omnichat"]
    with closing(sqlite3.connect(files / "omnichat.sqlite3", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
        assert run_batch(connection, [("SELECT 1", []), ("SELECT count(*) FROM users", [])]) == [[(1,)], [(0,)]]
        with pytest.raises(OperationalError, match="locked"):
            run_batch(connection, [("SELECT 1", []), ("DELETE FROM users", [])])


def test_one_who_lost_the_lease_writes_nothing_more_about_the_event(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")
    lease, events = inbox.claim(10)
    InboxEvent.objects.update(lease="another", leased_until=timezone.now() + timedelta(minutes=1))
    assert not inbox_handling.handle(events, lease, inbox_handling.Noting())
    assert states() == {"received": 1}


def test_a_kill_before_the_inbox_is_told_leaves_one_effect(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid")

    def kill(noting: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inbox_handling.Noting, "write", kill)
        with pytest.raises(KeyboardInterrupt):
            inbox.work_off()
    assert (states(), credited()) == ({"received": 1}, [6000])
    InboxEvent.objects.update(leased_until=timezone.now())
    assert inbox.work_off().states == {"processed": 1}
    assert credited() == [6000]


def test_what_is_done_is_noted_soon_though_others_are_not_done_yet(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    monkeypatch.setattr(inbox_handling, "NOTE_AFTER", timedelta(0))
    lease, events = inbox.claim(10)
    noting = inbox_handling.Noting()
    inbox_handling.handle(events, lease, noting)
    assert states() == {"processed": 2}


def test_while_one_holds_an_event_of_a_customer_nobody_takes_another_of_it(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    _, first = inbox.claim(1)
    assert len(first) == 1
    assert inbox.claim(10)[1] == []


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


@pytest.mark.parametrize("effects", ["apply", "observe"])
def test_a_credit_that_the_app_made_is_foreseen_as_such(
    stripe: StripeServer, alice: Thing, settings: Any, effects: str
):
    settings.STRIPE_EFFECTS = effects
    stripe.subscribe(alice, "starter")
    BatteryTransaction.objects.create(
        id="app", user_id="user_alice", type="subscription", amount=6000, balance_after=6000,
        created_at=datetime.fromtimestamp(stripe.clock, UTC),
    )  # fmt: skip
    keep(stripe, "invoice.paid")
    event = InboxEvent.objects.get()
    foreseen = inbox_handling.preview(event)
    inbox.work_off()
    event.refresh_from_db()
    prefix = "" if effects == "apply" else "Observed, not written: "
    assert event.effect == [prefix + line for line in foreseen]
    assert any("credited by the app (row app)" in line for line in inbox_handling.preview(event))
    assert credited() == [6000]
    notes = AuditLog.objects.filter(action="battery.credited_by_app")
    assert [(note.metadata or {})["events"] for note in notes] == ([[event.event_id]] if effects == "apply" else [])


def test_the_health_tells_the_oldest_that_waits_what_fails_and_the_last(stripe: StripeServer, alice: Thing):
    assert inbox.health() == inbox.Health(0, None, 0, 0, {})
    stripe.subscribe(alice, "starter")
    keep(stripe, "invoice.paid", "customer.subscription.created")
    InboxEvent.objects.filter(type="invoice.paid").update(state="failed")
    found = inbox.health()
    oldest = InboxEvent.objects.earliest("received_at")
    assert (found.waiting, found.oldest, found.failing, found.parked) == (2, oldest.received_at, 1, 0)
    assert list(found.last) == ["stripe"]


@pytest.mark.sqlite_only("the console's own database is the same")
def test_what_is_done_is_not_looked_through_for_what_is_to_be_done(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    keep(stripe)
    with CaptureQueriesContext(connections["default"]) as asked:
        lease, events = inbox.claim(10)
        inbox_handling.let_wait(lease, "down")
    assert events
    statements = [query["sql"] for query in asked if query["sql"].startswith(("SELECT", "UPDATE"))]
    with connections["default"].cursor() as cursor:
        plans = [cursor.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in statements]
    steps = [step for plan in plans for *_, step in plan]
    assert len(plans) == 4
    assert [step for step in steps if step.startswith("SCAN")] == []


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
