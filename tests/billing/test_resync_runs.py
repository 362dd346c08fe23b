"""A resync as it goes: windows, limits, lists that misbehave, kills, and what changes while it runs."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, SubscriptionPlan, TransactionType, UserBattery, UserSubscription
from billing.resync import reading, repairing, run
from billing.resync.run import Resync, Wish
from billing.resync.scratch import Busy, Scratch
from billing.stripe_api import StripeTrouble, stripe_of_settings
from chat.models import User
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.resyncs import crowd, own_folder, resync
from tests.stripe_deliveries import Thing, alice, deliver

__all__ = ["alice", "own_folder"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]
NOW = datetime.now(UTC)


class Killed(BaseException):
    """As if the process ended here."""


def test_hundreds_are_read_in_windows_with_few_calls_more_than_there_are_pages(stripe: StripeServer):
    crowd(stripe, 1200)
    stripe.reset_calls()
    assert resync() == []
    assert stripe.calls["GET /v1/customers"] >= 12
    assert stripe.calls.total() <= 12 + 6 + 45


def test_more_at_one_second_than_a_page_holds_are_all_read(stripe: StripeServer):
    for n in range(230):
        stripe.customer(f"u{n}@example.com", f"U{n}")
    with Resync(Wish()) as found:
        found.find()
        assert found.scratch.db.execute("SELECT count(*) FROM objects WHERE kind = 'customer'").fetchone() == (230,)


def test_a_list_that_repeats_itself_ends_in_an_error(stripe: StripeServer):
    for n in range(230):
        stripe.customer(f"u{n}@example.com", f"U{n}")
    stripe.fault("repeat", path="/v1/customers", times=100)
    with pytest.raises(reading.ListTrouble, match="repeats itself"):
        resync()
    stripe.faults.clear()
    assert resync() == []


def test_a_cursor_to_what_was_deleted_meanwhile_ends_in_an_error(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    for n in range(230):
        stripe.customer(f"u{n}@example.com", f"U{n}")
    usual = reading._moved

    def deleting(window: Any, found: list[Any]) -> Any:
        if window.listed.kind == "customer" and window.cursor is None:
            stripe.delete_customer(found[-1])
        return usual(window, found)

    monkeypatch.setattr(reading, "_moved", deleting)
    with pytest.raises(StripeTrouble, match="No such customer"):
        resync()
    monkeypatch.undo()
    assert resync() == []


def test_limits_and_errors_of_stripe_are_waited_for(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stripe_of_settings(), "_sleep", lambda seconds: None)
    stripe.subscribe(alice, "starter")
    stripe.fault("429", times=3)
    stripe.fault("500", path="/v1/subscriptions", times=2)
    stripe.fault("cut", path="/v1/refunds", times=2)
    resync()
    assert User.objects.get().tier == "paid"


@pytest.mark.parametrize("place", ["_take", "judge", "before", "after"])
def test_a_resync_that_was_killed_goes_on_and_credits_once(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, place: str
):
    stripe.subscribe(alice, "starter")
    stripe.advance(days=32)
    with monkeypatch.context() as patch:
        _kill_at(place, patch)
        with pytest.raises(Killed):
            resync()
    stripe.reset_calls()
    with Resync(Wish()) as found:
        assert found.goes_on
        found.find()
        found.repair(by="resync_stripe")
        applied = [each.kind for each in found.differences() if each.action == "repaired"]
    assert {"first_period_not_credited", "renewal_not_credited"} <= set(applied)
    assert sorted(BatteryTransaction.objects.values_list("amount", flat=True)) == [6000, 6000]
    assert resync() == []
    if place != "_take":
        assert stripe.calls["GET /v1/refunds"] == 1


def _kill_at(place: str, patch: pytest.MonkeyPatch) -> None:
    def die(*args: Any, **kwargs: Any) -> Any:
        if place == "after":
            usual(*args, **kwargs)
        raise Killed

    if place == "_take":
        patch.setattr(reading._Reading, "_take", die)
    elif place == "judge":
        patch.setattr(repairing, "judge", die)
    else:
        usual = repairing.apply_together
        patch.setattr(repairing, "apply_together", die)


@pytest.mark.parametrize(("minutes", "goes_on"), [(5, True), (-10, False), (60 * 12, False)])
def test_since_12_hours_ago_goes_on_some_minutes_later(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, minutes: int, goes_on: bool
):
    """What was read covers a later moment, and no earlier one."""
    since = datetime.now(UTC) - timedelta(hours=12)
    stripe.subscribe(alice, "starter")
    with monkeypatch.context() as patch:
        _kill_at("judge", patch)
        with pytest.raises(Killed):
            resync(Wish(since=since))
    with Resync(Wish(since=since + timedelta(minutes=minutes))) as found:
        assert found.goes_on == goes_on
        assert found.since == (since if goes_on else found.wish.since)
        found.find()
        assert {each.user_id for each in found.differences()} == {"user_alice"}


def test_what_a_kill_left_is_removed_after_six_hours(stripe: StripeServer, settings: Any):
    for name in ("old", "young", "held"):
        Scratch(name).close(keep=True)
    folder = settings.VAR_DIR / "resync"
    held = Scratch("held")
    for file in folder.iterdir():
        if not file.name.startswith("young"):
            os.utime(file, (0, 0))
    resync()
    assert {file.name.partition(".")[0] for file in folder.iterdir()} == {"young", "held"}
    held.close(keep=False)


def test_a_second_of_the_same_at_once_is_refused(stripe: StripeServer):
    with Resync(Wish()), pytest.raises(Busy, match="runs already"), Resync(Wish()):
        pass


def test_a_dry_run_and_observing_write_nothing(stripe: StripeServer, alice: Thing, settings: Any):
    stripe.subscribe(alice, "starter")
    dry = resync(Wish(dry_run=True))
    settings.STRIPE_EFFECTS = "observe"
    observed = resync()
    assert {each.kind for each in dry} == {each.kind for each in observed} >= {"first_period_not_credited"}
    assert {each.action for each in dry + observed} == {"found"}
    assert (AuditLog.objects.count(), UserBattery.objects.count(), UserSubscription.objects.count()) == (0, 0, 0)


def meanwhile(found: Resync, monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    """`many`: as where there are too many repairs to read each anew."""
    if many:
        monkeypatch.setattr(repairing, "ALL_ANEW", -1)


@pytest.mark.parametrize("many", [False, True])
def test_what_changes_at_stripe_meanwhile_is_not_undone(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, many: bool
):
    sub = stripe.subscribe(alice, "starter")
    with Resync(Wish()) as found:
        found.find()
        stripe.cancel(sub, at_period_end=False)
        meanwhile(found, monkeypatch, many)
        found.repair(by="resync_stripe")
    assert User.objects.get().tier == "free"
    assert UserSubscription.objects.get().status == "canceled"


@pytest.mark.parametrize("many", [False, True])
def test_what_a_webhook_did_meanwhile_is_not_done_twice(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, many: bool
):
    sub = stripe.subscribe(alice, "starter")
    with Resync(Wish()) as found:
        found.find()
        stripe.upgrade(sub, "power")
        deliver(stripe)
        credits = dict(BatteryTransaction.objects.values_list("id", "amount"))
        meanwhile(found, monkeypatch, many)
        found.repair(by="resync_stripe")
        assert "repaired" not in {each.action for each in found.differences()}
    assert dict(BatteryTransaction.objects.values_list("id", "amount")) == credits
    assert UserSubscription.objects.get().plan_id == "power"


def test_an_account_that_changes_while_it_is_written_is_read_anew(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    bob = stripe.customer("bob@example.com", "Bob", user_id="user_bob")
    User.objects.create(id="user_bob", email="bob@example.com", tier="free")
    for each in (alice, bob):
        stripe.subscribe(each, "starter")
    usual, calls = repairing.apply_together, []

    def disturbed(batch: Any, **given: Any) -> Any:
        if not calls:
            User.objects.filter(pk="user_alice").update(name="Alice B.")
        calls.append(len(batch))
        return usual(batch, **given)

    monkeypatch.setattr(repairing, "apply_together", disturbed)
    found = resync()
    assert calls == [2, 1, 1]
    assert {each.action for each in found} == {"repaired"}
    assert User.objects.get(pk="user_alice").name == "Alice B."
    assert set(User.objects.values_list("tier", flat=True)) == {"paid"}


def test_all_repairs_of_a_batch_are_one_transaction(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    crowd(stripe, 120)
    User.objects.filter(tier="paid").update(tier="free")
    batches, usual = [], repairing.apply_together

    def counted(batch: Any, **given: Any) -> Any:
        batches.append(len(batch))
        return usual(batch, **given)

    monkeypatch.setattr(repairing, "apply_together", counted)
    stripe.reset_calls()
    found = resync()
    assert sum(batches) == len(found) > 50 == max(batches)
    assert {(each.kind, each.action) for each in found} == {("tier_taken_down", "repaired")}
    assert stripe.calls.total() < 30


def test_many_subscriptions_of_one_customer_are_all_read(stripe: StripeServer, alice: Thing):
    for _ in range(12):
        stripe.subscribe(alice, "starter")
    with Resync(Wish(dry_run=True)) as found:
        found.find()
        assert len(found.scratch.objects("subscription", customer=alice["id"])) == 12
        (two,) = (each for each in found.differences() if each.kind == "two_subscriptions")
    assert len(str(two.found).split("; ")) == 12


def test_a_subscription_that_no_list_had_is_asked_for_before_it_is_said_to_be_unknown(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    stripe.subscribe(alice, "starter")
    deliver(stripe)
    monkeypatch.setattr(reading, "ALL", [replace(each, params={}) for each in reading.ALL])
    assert resync() == []


def test_a_subscription_that_ends_while_the_lists_are_read_is_not_missed(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe)
    usual = reading.read_lists

    def ending(*args: Any, **given: Any) -> None:
        usual(*args, **given)
        if stripe.get(sub)["status"] == "active":
            stripe.cancel(sub, at_period_end=False)

    monkeypatch.setattr(reading, "read_lists", ending)
    assert {each.kind for each in resync()} == {
        "status_differs",
        "cancellation_differs",
        "tier_left_paid",
        "allowance_differs",
    }


def test_many_suspects_have_their_invoices_listed_together(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "INVOICES_LISTED_FROM", 1)
    stripe.subscribe(alice, "starter")
    stripe.advance(days=65)
    resync()
    assert sorted(BatteryTransaction.objects.values_list("amount", flat=True)) == [6000] * 3


def test_plans_are_compared_with_the_prices_at_stripe(stripe: StripeServer):
    SubscriptionPlan.objects.filter(pk="starter").update(price_monthly=599)
    SubscriptionPlan.objects.filter(pk="daily").update(stripe_price_id_monthly=stripe.prices["daily", "year"])
    SubscriptionPlan.objects.filter(pk="power").update(stripe_price_id_annual="price_gone00000000")
    stripe.change_price(stripe.prices["ultimate", "year"], active=False)
    kinds = {each.kind: each for each in resync()}
    assert {"plan_amount_differs", "plan_interval_differs", "plan_price_missing", "plan_price_inactive"} <= set(kinds)
    assert (kinds["plan_price_missing"].action, kinds["plan_price_missing"].user_id) == ("left", None)


def test_a_balance_is_never_less_after_a_resync(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 500, 3000)
    sub = stripe.subscribe(alice, "power")
    deliver(stripe)
    before = UserBattery.objects.get().total_balance
    post([Entry("grant:1", "user_alice", TransactionType.BONUS, 77)], by="staff")
    stripe.refund(session)
    stripe.upgrade(sub, "starter")
    stripe.cancel(sub, at_period_end=False)
    resync()
    assert UserBattery.objects.get().total_balance == before + 77
