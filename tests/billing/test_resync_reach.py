"""How far back a resync looks: payments of 35 days, packs of whatever age, and all since a day that one names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing.models import BatteryTransaction, UserBattery
from billing.resync import reading
from billing.resync.run import Resync, Wish
from chat.models import User
from standins.stripe import StripeServer, checkout
from tests.resyncs import own_folder, resync, without_search
from tests.stripe_deliveries import Thing, alice, deliver

__all__ = ["alice", "own_folder"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]
NOW = datetime.now(UTC)


def long_ago(stripe: StripeServer, days: int = 90) -> None:
    stripe.clock = int((NOW - timedelta(days=days)).timestamp())


def today(stripe: StripeServer) -> None:
    stripe.clock = int(NOW.timestamp())


def test_a_complete_resync_tells_from_when_on_it_looked_at_each_payment(stripe: StripeServer, alice: Thing):
    User.objects.update(stripe_customer_id=alice["id"])
    long_ago(stripe)
    stripe.buy_pack(alice, 500, 3000, in_metadata_of="session")
    today(stripe)
    with Resync(Wish()) as found:
        found.find()
        assert found.payments_since is not None
        assert found.payments_since.date() == (datetime.now(UTC) - timedelta(days=35)).date()
        assert list(found.differences()) == []
    (far,) = resync(Wish(since=NOW - timedelta(days=100), dry_run=True))
    assert (far.kind, far.paid_at and far.paid_at[:10]) == (
        "pack_not_credited",
        f"{NOW - timedelta(days=90):%Y-%m-%d}",
    )
    assert {each.kind for each in resync(Wish(("user_alice",)))} == {"pack_not_credited"}


@pytest.mark.parametrize("searches", [True, False])
def test_packs_of_long_ago_are_found_without_the_sessions_of_subscriptions(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch, searches: bool
):
    long_ago(stripe)
    for _ in range(120):
        stripe.subscribe(stripe.customer("other@example.com", "Other"), "starter")
    stripe.buy_pack(alice, 500, 3000)
    today(stripe)
    if not searches:
        without_search(monkeypatch)
    stripe.reset_calls()
    assert ("pack_not_credited", "repaired") in {(each.kind, each.action) for each in resync()}
    assert (stripe.calls["GET /v1/checkout/sessions"] == 1) == searches
    assert BatteryTransaction.objects.get().amount == 3000


def test_a_search_that_repeats_itself_ends_in_an_error(stripe: StripeServer, alice: Thing):
    long_ago(stripe)
    for _ in range(130):
        stripe.buy_pack(alice, 500, 10, through_checkout=False)
    today(stripe)
    stripe.fault("repeat", path="/v1/payment_intents/search", times=100)
    with pytest.raises(reading.ListTrouble, match="repeats itself"):
        resync()
    stripe.faults.clear()
    resync()
    assert UserBattery.objects.get().total_balance == 1300


def test_an_old_pack_whose_session_alone_names_the_units_is_found_once_it_is_refunded(
    stripe: StripeServer, alice: Thing
):
    User.objects.update(stripe_customer_id=alice["id"])
    long_ago(stripe)
    session = stripe.buy_pack(alice, 500, 3000, in_metadata_of="session")
    today(stripe)
    assert resync() == []
    stripe.refund(session)
    assert {each.kind for each in resync()} == {"pack_not_credited", "refund_ignored"}
    assert sorted(BatteryTransaction.objects.values_list("amount", flat=True)) == [-3000, 3000]
    assert {each.kind for each in resync(Wish(since=NOW - timedelta(days=100)))} == set()


@pytest.mark.parametrize("place", ["payment_intent", "session"])
def test_a_pack_that_was_paid_long_after_it_was_bought_is_credited_once(stripe: StripeServer, alice: Thing, place: str):
    """By a bank, say: before its money came nothing was to be credited."""
    User.objects.update(stripe_customer_id=alice["id"])
    long_ago(stripe, days=40 if place == "payment_intent" else 34)
    session = stripe.buy_pack(alice, 500, 3000, async_payment=True, in_metadata_of=place)
    assert resync() == []
    stripe.settle(session)
    today(stripe)
    assert [(each.kind, each.action) for each in resync()] == [("pack_not_credited", "repaired")]
    assert resync() == []


def test_a_pack_that_a_coupon_paid_whole_is_found_by_its_session(stripe: StripeServer, alice: Thing):
    User.objects.update(stripe_customer_id=alice["id"])
    sold = [checkout.line(stripe.account, 0, "Battery pack", None)]
    metadata = {"userId": "user_alice", "units": "3000"}
    session = checkout.open_session(stripe.account, alice, "payment", sold, metadata=metadata)
    checkout.complete(stripe.account, session, payment_status="no_payment_required")
    (found,) = resync()
    assert (found.subject, found.action) == (f"session:{session['id']}", "repaired")
    assert resync() == []


def test_two_packs_of_a_size_on_one_day_are_no_credit_too_many(stripe: StripeServer, alice: Thing):
    User.objects.update(stripe_customer_id=alice["id"])
    long_ago(stripe)
    for number in (1, 2):
        stripe.buy_pack(alice, 500, 3000, through_checkout=False)
        at = NOW - timedelta(days=90, minutes=-number)
        BatteryTransaction.objects.create(
            id=f"txn_{number}", user_id="user_alice", type="purchase", amount=3000, balance_after=3000 * number,
            created_at=at,
        )  # fmt: skip
    UserBattery.objects.create(pk="user_alice", total_balance=6000, daily_allowance=0)
    today(stripe)
    assert resync() == []


def test_an_upgrade_of_long_ago_is_found_by_who_looks_so_far_back(stripe: StripeServer, alice: Thing):
    long_ago(stripe)
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe)
    stripe.advance(days=5)
    stripe.upgrade(sub, "power")
    lost = len(stripe.events)
    stripe.advance(days=85)
    deliver(stripe, "invoice.paid", start=lost)
    assert resync() == []
    (found,) = resync(Wish(since=NOW - timedelta(days=100)))
    assert (found.kind, found.action) == ("upgrade_not_credited", "repaired")
    assert resync(Wish(("user_alice",))) == []
