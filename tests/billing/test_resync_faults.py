"""Each fault of the OmniChat app, planted, found by its name, and mended or left for a person with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, SubscriptionPlan, TransactionType, UserBattery, UserSubscription
from billing.resync.kinds import KINDS
from billing.resync.run import Wish
from chat.models import User
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.resyncs import brought, own_folder, set_user, subscribed
from tests.resyncs import resync_alike as resync
from tests.stripe_deliveries import Thing, alice, balance, deliver

__all__ = ["alice", "own_folder", "subscribed"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


def by_app(
    user: str, kind: str, amount: int, *, after: int | None = None, intent: str | None = None, id: str = ""
) -> None:
    """As the OmniChat app writes a row and a balance."""
    battery, _ = UserBattery.objects.get_or_create(pk=user, defaults={"total_balance": 0, "daily_allowance": 0})
    balance = (battery.total_balance or 0) + amount if after is None else after
    BatteryTransaction.objects.create(
        id=id or f"txn_{BatteryTransaction.objects.count()}", user_id=user, type=kind, amount=amount,
        balance_after=balance, stripe_payment_intent_id=intent, created_at=timezone.now(),
    )  # fmt: skip
    UserBattery.objects.filter(pk=user).update(total_balance=balance)


def sql(words: str, *params: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(words, list(params))


def test_where_all_agrees_nothing_is_found_or_written(stripe: StripeServer, subscribed: Thing):
    before = AuditLog.objects.count()
    assert resync() == []
    assert resync(Wish(("user_alice",))) == []
    assert AuditLog.objects.count() == before


def test_fault_1_a_delivery_that_was_credited_twice_is_left(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 500, 3000)
    intent = stripe.get(session)["payment_intent"]
    set_user(stripe_customer_id=alice["id"])
    by_app("user_alice", "purchase", 3000, intent=intent)
    by_app("user_alice", "purchase", 3000, intent=intent)
    (found,) = resync()
    assert (found.kind, found.action) == ("credited_twice", "left")
    assert "takes no battery away" in found.reason
    assert balance() == 6000


def test_fault_1_without_a_payment_intent_it_is_told_by_size_and_day(stripe: StripeServer, subscribed: Thing):
    by_app("user_alice", "subscription", 6000)
    assert brought(resync()) == {("credited_twice", "left")}


@pytest.mark.parametrize("place", ["payment_intent", "session", "both"])
def test_fault_2_a_pack_that_was_paid_and_not_credited_is_credited_once(stripe: StripeServer, alice: Thing, place: str):
    set_user(stripe_customer_id=alice["id"])
    session = stripe.buy_pack(alice, 500, 3000, in_metadata_of=place)
    assert brought(resync()) == {("pack_not_credited", "repaired")}
    assert resync() == []
    deliver(stripe)
    assert list(BatteryTransaction.objects.values_list("id", "amount")) == [
        (f"pi:{stripe.get(session)['payment_intent']}", 3000)
    ]


def test_a_pack_that_the_app_has_credited_is_not_credited_again(stripe: StripeServer, alice: Thing):
    set_user(stripe_customer_id=alice["id"])
    stripe.buy_pack(alice, 500, 3000)
    by_app("user_alice", "purchase", 3000)
    assert resync() == []
    assert balance() == 3000


def test_fault_3_renewals_that_were_not_credited_are(stripe: StripeServer, subscribed: Thing):
    stripe.advance(days=65)
    assert ("renewal_not_credited", "repaired") in brought(resync())
    assert balance() == 3 * 6000
    assert resync() == []
    deliver(stripe)
    assert balance() == 3 * 6000


def test_fault_4_an_overdue_payment_that_was_missed_is_stored(stripe: StripeServer, subscribed: Thing):
    stripe.fail_payment(subscribed)
    found = resync()
    assert ("past_due_missed", "repaired") in brought(found)
    assert UserSubscription.objects.get().status == "past_due"
    assert User.objects.get().tier == "free"


def test_fault_5_a_tier_that_was_left_paid_is_taken_down(stripe: StripeServer, subscribed: Thing):
    stripe.cancel(subscribed, at_period_end=False)
    assert ("tier_left_paid", "repaired") in brought(resync())
    assert (User.objects.get().tier, User.objects.get().subscription_status) == ("free", "canceled")
    assert balance() == 6000


def test_fault_6_a_status_that_the_column_must_not_hold_is_mapped(stripe: StripeServer, subscribed: Thing):
    UserSubscription.objects.update(status="unpaid")
    set_user(subscription_status="incomplete_expired")
    found = resync()
    assert brought(found) == {("status_not_allowed", "repaired")}
    assert len(found) == 2
    assert UserSubscription.objects.get().status == "active"


def test_fault_6_without_a_subscription_it_is_left(stripe: StripeServer, alice: Thing):
    set_user(stripe_customer_id=alice["id"], subscription_status="expired")
    assert brought(resync()) == {("status_not_allowed", "left")}


def test_an_older_upgrade_that_was_not_credited_is_found_by_its_payment(stripe: StripeServer, subscribed: Thing):
    stripe.upgrade(subscribed, "power")
    stripe.advance(days=32)
    start = len(stripe.events)
    stripe.advance(days=32)
    deliver(stripe, start=start)
    assert {("upgrade_not_credited", "repaired"), ("renewal_not_credited", "repaired")} <= brought(resync())
    assert BatteryTransaction.objects.count() == len(stripe.all("invoice")) == 4


def test_fault_7_a_price_that_became_starter_is_corrected(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "power")
    deliver(stripe)
    UserSubscription.objects.update(plan_id="starter")
    found = resync()
    assert ("plan_differs", "repaired") in brought(found)
    assert UserSubscription.objects.get().plan_id == "power"


def test_fault_7_a_price_of_no_plan_is_left(stripe: StripeServer, subscribed: Thing):
    SubscriptionPlan.objects.filter(pk="starter").update(stripe_price_id_monthly="price_another0000")
    found = {each.kind: each for each in resync()}
    assert found["price_unknown"].action == "left"
    assert "No plan has the price" in found["price_unknown"].reason


def test_fault_8_a_lost_update_is_left_for_who_can_tell_whose_units_are_missing(
    stripe: StripeServer, subscribed: Thing
):
    by_app("user_alice", "purchase", 50, after=6050)
    sql("UPDATE user_battery SET total_balance = 5990 WHERE user_id = 'user_alice'")
    found = resync()
    assert brought(found) == {("ledger_broken", "left")}
    assert balance() == 5990


def test_fault_9_a_ledger_without_a_battery_gets_one(stripe: StripeServer, subscribed: Thing):
    sql("DELETE FROM user_battery")
    assert ("battery_missing", "repaired") in brought(resync())
    assert balance() == 6000
    assert resync() == []


def test_fault_10_a_tier_that_an_old_subscription_took_down_is_put_back(stripe: StripeServer, alice: Thing):
    old = stripe.subscribe(alice, "starter")
    stripe.subscribe(alice, "power")
    stripe.cancel(old, at_period_end=False)
    deliver(stripe)
    set_user(tier="free", subscription_status="canceled", subscription_id=old["id"])
    assert {("tier_taken_down", "repaired"), ("status_differs", "repaired"), ("subscription_differs", "repaired")} == (
        brought(resync())
    )
    assert User.objects.get().tier == "paid"


@pytest.mark.parametrize("kind", ["refund_ignored", "dispute_ignored"])
def test_fault_11_refunds_and_disputes_that_were_ignored_take_nothing(stripe: StripeServer, alice: Thing, kind: str):
    session = stripe.buy_pack(alice, 500, 3000)
    deliver(stripe)
    (stripe.refund if kind == "refund_ignored" else stripe.dispute)(session)
    (found,) = resync()
    assert (found.kind, found.action, found.expected) == (kind, "left", -3000)
    assert "takes no battery away" in found.reason
    assert balance() == 3000


def test_a_pack_that_was_refunded_before_it_was_credited_nets_to_nothing(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 500, 3000)
    stripe.refund(session)
    found = brought(resync())
    assert {("pack_not_credited", "repaired"), ("refund_ignored", "repaired")} <= found
    assert balance() == 0


def test_a_dispute_that_was_won_gives_its_units_back(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 500, 3000)
    dispute = stripe.dispute(session)
    deliver(stripe)
    assert balance() == 0
    stripe.close_dispute(dispute, won=True)
    assert brought(resync()) == {("units_not_given_back", "repaired")}
    assert balance() == 3000


def test_fault_12_a_paid_tier_and_units_from_nowhere_are_left(stripe: StripeServer, alice: Thing):
    set_user(stripe_customer_id=alice["id"], tier="paid")
    UserBattery.objects.create(pk="user_alice", total_balance=100_000, daily_allowance=0)
    assert brought(resync()) == {("paid_without_subscription", "left"), ("balance_without_ledger", "left")}
    assert (User.objects.get().tier, balance()) == ("paid", 100_000)


def test_fault_13_units_that_differ_from_those_of_the_app_are_told(stripe: StripeServer):
    SubscriptionPlan.objects.filter(pk="starter").update(battery_units=7000)
    (found,) = resync()
    assert (found.kind, found.action) == ("plan_units_hardcoded", "left")
    assert "in its own code" in found.reason


def test_a_subscription_that_one_side_lacks(stripe: StripeServer, subscribed: Thing):
    UserSubscription.objects.update(stripe_subscription_id="sub_unknownAtStripe", id="s1")
    found = brought(resync())
    assert {("subscription_missing", "repaired"), ("subscription_unknown_to_stripe", "left")} <= found


def test_periods_and_dates_are_brought_up_to_date(stripe: StripeServer, subscribed: Thing):
    sql("UPDATE user_subscriptions SET current_period_end = '2020-01-01T00:00:00.000Z', canceled_at = '2020-01-01'")
    assert brought(resync()) == {("period_differs", "repaired"), ("cancellation_differs", "repaired")}


def test_parts_of_a_second_are_no_difference(stripe: StripeServer, subscribed: Thing):
    sql("UPDATE user_subscriptions SET current_period_end = replace(current_period_end, '.000Z', '.926Z')")
    assert resync() == []


def test_an_upgrade_that_was_not_credited_is(stripe: StripeServer, subscribed: Thing):
    stripe.advance(days=5)
    stripe.upgrade(subscribed, "power")
    found = brought(resync())
    assert {("upgrade_not_credited", "repaired"), ("plan_differs", "repaired")} <= found
    assert resync() == []


def test_what_was_used_stays_used(stripe: StripeServer, subscribed: Thing):
    post([Entry("usage:1", "user_alice", TransactionType.USAGE, -5000)], by="app")
    stripe.advance(days=32)
    resync()
    assert balance() == 7000


def test_an_allowance_of_another_plan_is_set_and_that_of_staff_is_kept(stripe: StripeServer, subscribed: Thing):
    UserBattery.objects.update(daily_allowance=999)
    assert resync() == []
    stripe.upgrade(subscribed, "power")
    found = {each.kind: each for each in resync()}
    assert (found["allowance_differs"].expected, found["allowance_differs"].action) == (1500, "repaired")
    assert UserBattery.objects.get().daily_allowance == 1500


def test_a_subscription_that_stands_with_another_user_is_corrected(stripe: StripeServer, subscribed: Thing):
    User.objects.create(id="user_bob", email="bob@example.com", tier="free")
    UserSubscription.objects.update(user_id="user_bob")
    assert ("subscription_of_other_user", "repaired") in brought(resync())
    assert UserSubscription.objects.get().user_id == "user_alice"


def test_a_subscription_that_names_another_customer_is_corrected(stripe: StripeServer, subscribed: Thing):
    UserSubscription.objects.update(stripe_customer_id="cus_another0000000")
    assert brought(resync()) == {("subscription_of_other_user", "repaired")}
    assert UserSubscription.objects.get().stripe_customer_id == subscribed["customer"]


def test_objects_that_contradict_each_other_are_left_with_the_sentence(stripe: StripeServer, alice: Thing):
    set_user(stripe_customer_id=alice["id"])
    stripe.subscribe(alice, "starter", metadata={"userId": "user_bob"})
    (found,) = resync()
    assert (found.kind, found.action) == ("account_unclear", "left")
    assert "metadata name user_bob" in found.reason
    assert (BatteryTransaction.objects.count(), User.objects.get().tier) == (0, "free")


def test_a_price_in_another_currency_is_told(stripe: StripeServer):
    stripe.change_price(stripe.prices["starter", "month"], currency="eur")
    (found,) = resync()
    assert (found.kind, found.expected, found.found, found.action) == ("plan_currency_differs", "eur", "usd", "left")


def test_every_kind_has_a_line_and_every_fault_a_test():
    page = (Path(__file__).parent.parent.parent / "docs" / "resync.md").read_text()
    rooms = [
        file for room in ("billing", "console") for file in (Path(__file__).parent.parent / room).glob("test_*.py")
    ]
    code = "".join(file.read_text() for file in rooms)
    assert [kind for kind in KINDS if f"| `{kind}` |" not in page] == []
    assert [kind for kind in KINDS if f'"{kind}"' not in code] == []
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 20
    assert [name for name in named if f"def {name}(" not in code] == []
