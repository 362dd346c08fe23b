"""What Stripe's events bring about in OmniChat's database, asked of the stand-in over real HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from billing.stripe_accounts import Changes
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import HANDLERS, Needs, carry_out, needs_of, plan
from chat.models import User
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, balance, credited, deliver, ledger, user, work

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]

VERSIONS = [None, "2024-06-20"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_subscription_bought_in_a_checkout_is_one_credit_a_row_and_a_paid_tier(
    stripe: StripeServer, alice: Thing, version: str | None
):
    sub = stripe.subscribe(alice, "daily")
    deliver(stripe, version=version)
    invoice = stripe.all("invoice")[0]
    assert ledger() == {f"invoice:{invoice['id']}": 18_000}
    assert user() == ("paid", "active", sub["id"])
    row = UserSubscription.objects.get()
    assert (row.id, row.plan_id, row.status) == (f"subscription:{sub['id']}", "daily", "active")
    assert row.stripe_customer_id == alice["id"]
    item = sub["items"]["data"][0]
    assert row.current_period_end == datetime.fromtimestamp(item["current_period_end"], UTC)
    assert row.current_period_end.text.endswith("Z")
    assert User.objects.get(pk="user_alice").stripe_customer_id == alice["id"]
    battery = UserBattery.objects.get()
    assert (battery.total_balance, battery.daily_allowance) == (18_000, 600)


def test_each_event_alone_brings_as_much_of_it_as_it_hints_at(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe, "customer.subscription.created")
    assert (user(), ledger()) == (("paid", "active", sub["id"]), {})
    deliver(stripe, "invoice.payment_succeeded")
    assert credited() == [6000]
    deliver(stripe, "invoice.paid", "checkout.session.completed")
    assert credited() == [6000]


def test_checkout_created_and_first_invoice_in_any_order_are_one_credit(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    types = ("checkout.session.completed", "customer.subscription.created", "invoice.paid")
    for order in itertools.permutations(types):
        for type in order:
            deliver(stripe, type)
        assert credited() == [6000]
    assert balance() == 6000


def test_a_checkout_of_a_version_before_modes_hints_at_its_subscription(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    event = next(each for each in stripe.events if each["type"] == "checkout.session.completed")
    del event["data"]["object"]["mode"], event["data"]["object"]["payment_status"]
    work(event)
    assert (user(), credited()) == (("paid", "active", sub["id"]), [6000])


def test_the_credit_is_posted_with_its_audit_row_and_what_it_is_for(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe)
    row = BatteryTransaction.objects.get()
    assert row.type == "subscription"
    assert row.stripe_payment_intent_id.startswith("pi_")
    kept: Any = row.metadata
    assert (kept["subscription"], kept["plan"], kept["billing_reason"]) == (
        sub["id"],
        "starter",
        "subscription_create",
    )
    actions = set(AuditLog.objects.filter(user_id="user_alice").values_list("action", flat=True))
    assert {"battery.subscription", "users.update", "user_subscriptions.create"} <= actions
    update = AuditLog.objects.filter(action="users.update", resource_id="user_alice").last()
    assert update is not None
    assert update.metadata["by"] == {"name": "stripe"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_renewal_is_credited(stripe: StripeServer, alice: Thing, version: str | None):
    stripe.subscribe(alice, "starter")
    stripe.advance(days=32)
    deliver(stripe, version=version)
    assert credited() == [6000, 6000]


def test_a_year_is_credited_twelve_times(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter", interval="year")
    deliver(stripe)
    assert credited() == [72_000]


def test_a_trial_credits_nothing_and_makes_the_tier_paid(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "power", trial_days=14)
    deliver(stripe)
    assert ledger() == {}
    assert user() == ("paid", "trialing", sub["id"])
    assert UserBattery.objects.get().daily_allowance == 1500
    assert UserSubscription.objects.get().trial_end is not None
    start = len(stripe.events)
    stripe.advance(days=15)
    deliver(stripe, start=start)
    assert credited() == [45_000]
    assert user() == ("paid", "active", sub["id"])


def test_an_invoice_that_a_coupon_brought_to_zero_credits(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter", coupon=stripe.coupon(100))
    deliver(stripe)
    assert credited() == [6000]


def test_an_upgrade_in_mid_period_credits_the_prorated_difference_once(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    start, end = (sub["items"]["data"][0][f"current_period_{name}"] for name in ("start", "end"))
    stripe.advance(seconds=(end - start) // 3)
    stripe.upgrade(sub, "power")
    left = end - stripe.clock
    deliver(stripe)
    deliver(stripe)
    assert credited() == [6000, (45_000 - 6_000) * left // (end - start)]
    assert UserSubscription.objects.get().plan_id == "power"
    assert UserBattery.objects.get().daily_allowance == 1500


def test_a_downgrade_takes_nothing(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "power")
    stripe.advance(days=10)
    stripe.upgrade(sub, "starter")
    deliver(stripe)
    assert credited() == [45_000]
    assert UserSubscription.objects.get().plan_id == "starter"


def test_within_a_period_credits_never_exceed_the_highest_plan(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    for plan_id in ("ultimate", "starter", "ultimate", "starter", "ultimate"):
        stripe.advance(seconds=60)
        stripe.upgrade(sub, plan_id)
    for event in reversed(stripe.events):
        work(event)
    assert balance() == 150_000


def test_a_change_to_yearly_credits_the_year_less_the_rest_of_the_month(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    start, end = (sub["items"]["data"][0][f"current_period_{name}"] for name in ("start", "end"))
    stripe.advance(seconds=(end - start) // 2)
    stripe.upgrade(sub, "starter", "year")
    left = end - stripe.clock
    deliver(stripe)
    expected = -((-72_000 * (end - start) + 6_000 * left) // (end - start))
    assert sum(credited()) in (6000 + expected, 6000 + expected - 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payment_that_fails_makes_it_past_due_and_the_tier_free(
    stripe: StripeServer, alice: Thing, version: str | None
):
    sub = stripe.subscribe(alice, "starter")
    stripe.fail_payment(sub)
    deliver(stripe, version=version)
    assert user() == ("free", "past_due", sub["id"])
    assert credited() == [6000]
    assert UserBattery.objects.get().daily_allowance == 0
    stripe.pay(sub)
    deliver(stripe, "invoice.paid")
    assert user() == ("paid", "active", sub["id"])
    assert credited() == [6000, 6000]


def test_updated_before_created_and_stale_after_deleted_end_as_stripe_is(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    stripe.cancel(sub)
    stripe.cancel(sub, at_period_end=False)
    types = [f"customer.subscription.{name}" for name in ("updated", "created", "deleted", "updated", "created")]
    for type in types:
        deliver(stripe, type)
        assert user() == ("free", "canceled", sub["id"])
    assert UserSubscription.objects.get().status == "canceled"


def test_an_old_subscription_that_is_deleted_takes_nothing_from_a_newer_one(stripe: StripeServer, alice: Thing):
    old = stripe.subscribe(alice, "starter")
    stripe.advance(days=2)
    new = stripe.subscribe(alice, "power")
    deliver(stripe)
    stripe.cancel(old, at_period_end=False)
    deliver(stripe, "customer.subscription.deleted")
    assert user() == ("paid", "active", new["id"])
    assert dict(UserSubscription.objects.values_list("plan_id", "status")) == {
        "starter": "canceled",
        "power": "active",
    }
    assert UserBattery.objects.get().daily_allowance == 1500


def test_a_row_that_the_app_made_is_kept_and_brought_up_to_date(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    UserSubscription.objects.create(
        id="of-the-app", user_id="user_alice", plan_id="starter", stripe_subscription_id=sub["id"], status="incomplete"
    )
    deliver(stripe)
    assert (UserSubscription.objects.get().id, UserSubscription.objects.get().status) == ("of-the-app", "active")


def test_a_name_that_json_cannot_carry_whole_keeps_nobody_on_a_paid_tier(stripe: StripeServer, alice: Thing):
    User.objects.filter(pk="user_alice").update(name="Ali\0ce")
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe)
    stripe.cancel(sub, at_period_end=False)
    deliver(stripe, "customer.subscription.deleted")
    assert (user()[0], User.objects.get().name) == ("free", "Ali\0ce")


def test_a_second_time_writes_nothing(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    deliver(stripe)
    rows = AuditLog.objects.count()
    for effect in deliver(stripe):
        assert effect.changes.rows == []
    assert AuditLog.objects.count() == rows


@pytest.mark.parametrize(
    ("raw", "stored", "tier"),
    [
        ("unpaid", "past_due", "free"),
        ("paused", "past_due", "free"),
        ("incomplete_expired", "canceled", "free"),
        ("incomplete", "incomplete", "free"),
    ],
)
def test_statuses_are_mapped_to_what_the_column_allows(
    stripe: StripeServer, alice: Thing, raw: str, stored: str, tier: str
):
    _bring_about(stripe, alice, raw)
    deliver(stripe)
    assert {sub["status"] for sub in stripe.all("subscription")} == {raw}
    assert UserSubscription.objects.get().status == stored
    assert user()[:2] == (tier, stored)


def _bring_about(stripe: StripeServer, alice: Thing, raw: str) -> None:
    if raw.startswith("incomplete"):
        stripe.decline(alice)
    sub = stripe.subscribe(alice, "starter", through_checkout=not raw.startswith("incomplete"))
    if raw == "incomplete_expired":
        stripe.advance(days=2)
    if raw == "paused":
        stripe.pause(sub, status=True)
    if raw == "unpaid":
        stripe.decline(alice)
        stripe.advance(days=70)


def test_a_deleted_customer_ends_its_subscriptions_and_keeps_what_was_paid(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    deliver(stripe)
    stripe.delete_customer(alice)
    deliver(stripe, "customer.deleted")
    assert user()[:2] == ("free", "canceled")
    assert credited() == [6000]


def test_a_deleted_customer_whom_nobody_had_asks_nothing_of_staff(stripe: StripeServer, alice: Thing):
    stripe.delete_customer(alice)
    for effect in deliver(stripe, "customer.created", "customer.deleted"):
        assert effect.lines() == [f"{alice['id']} is deleted, and nobody here ever had it."]
    assert user() == ("free", "inactive", None)


def test_a_customer_who_names_a_user_is_linked(stripe: StripeServer, alice: Thing):
    deliver(stripe, "customer.created")
    assert User.objects.get(pk="user_alice").stripe_customer_id == alice["id"]
    assert user() == ("free", "inactive", None)


def test_one_who_names_nobody_is_no_matter_of_ours(stripe: StripeServer):
    stripe.customer("stranger@example.com", "Stranger")
    assert not needs_of(stripe.events[-1])


def test_what_was_changed_at_the_same_moment_is_begun_anew(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    sub = stripe.subscribe(alice, "starter")
    client = stripe_of_settings()
    usual: Callable[..., Any] = client.list
    asked: list[str] = []

    def race(path: str, **params: Any) -> Any:
        if path == "/v1/subscriptions":
            found = list(usual(path, **params))
            asked.append(path)
            if len(asked) == 1:
                # Stripe moves on, and another worker writes it before this one does.
                stripe.cancel(sub, at_period_end=False)
                deliver(stripe, "customer.subscription.deleted")
            return iter(found)
        return usual(path, **params)

    monkeypatch.setattr(client, "list", race)
    deliver(stripe, "customer.subscription.created")
    assert len(asked) == 3
    assert user()[:2] == ("free", "canceled")


def test_a_plan_writes_nothing(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    event = next(each for each in stripe.events if each["type"] == "invoice.paid")
    changes = plan(stripe_of_settings(), needs_of(event))
    assert isinstance(changes, Changes)
    assert {row.table for row in changes.rows} == {"users", "user_subscriptions", "user_battery"}
    assert [entry.amount for entry in changes.entries] == [6000]
    assert (ledger(), AuditLog.objects.count(), UserSubscription.objects.count()) == ({}, 0, 0)


def test_the_apps_own_credit_of_the_same_cause_is_noted_and_not_repeated(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    paid_at = stripe.all("invoice")[0]["status_transitions"]["paid_at"]
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata, created_at) "
            "VALUES ('app', 'user_alice', 'subscription', 6000, 6000, '{}', %s)",
            [datetime.fromtimestamp(paid_at + 3600, UTC).strftime("%Y-%m-%d %H:%M:%S")],
        )
    deliver(stripe)
    assert ledger() == {"app": 6000}
    assert AuditLog.objects.get(action="battery.credited_by_app").resource_id == "app"


def test_events_of_one_customer_are_joined(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    stripe.buy_pack(alice, 999, 5000)
    needs = Needs()
    for event in stripe.events:
        if event["type"] in HANDLERS:
            needs = needs.join(needs_of(event))
    stripe.reset_calls()
    carry_out(stripe_of_settings(), needs)
    assert credited() == [5000, 6000]
    assert sum(stripe.calls.values()) <= 4
