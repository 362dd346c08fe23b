"""Subscriptions and their invoices through time, as Stripe has them, read by the real client."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import stripe as real

from standins.stripe import StripeServer

HOUR = 3_600


def invoices(client: real.StripeClient, sub: dict[str, Any]) -> list[real.Invoice]:
    """The newest last."""
    return list(reversed(client.v1.invoices.list({"subscription": sub["id"], "limit": 100}).data))


def status(client: real.StripeClient, sub: dict[str, Any]) -> str:
    return client.v1.subscriptions.retrieve(sub["id"]).status


def types(stripe: StripeServer, start: int = 0) -> list[str]:
    return [event["type"] for event in stripe.events[start:]]


def test_a_trial_begins_with_an_invoice_of_nothing_and_ends_with_a_real_one(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter", trial_days=7)
    assert (status(client, sub), sub["trial_end"] - sub["trial_start"]) == ("trialing", 7 * 86_400)
    first = invoices(client, sub)[0]
    assert (first.billing_reason, first.total, first.status) == ("subscription_create", 0, "paid")
    assert client.v1.invoice_payments.list({"invoice": first.id}).data == []
    stripe.advance(days=7, seconds=HOUR)
    assert status(client, sub) == "active"
    assert [(each.billing_reason, each.amount_paid) for each in invoices(client, sub)] == [
        ("subscription_create", 0), ("subscription_cycle", 499),
    ]  # fmt: skip
    assert "customer.subscription.trial_will_end" in types(stripe)


def test_a_coupon_can_bring_the_first_invoice_to_nothing(stripe: StripeServer, client: real.StripeClient) -> None:
    coupon = stripe.coupon(100)
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter", coupon=coupon)
    first = invoices(client, sub)[0]
    assert (status(client, sub), first.subtotal, first.total, first.amount_due) == ("active", 499, 0, 0)
    assert first.total_discount_amounts[0].amount == 499
    stripe.advance(days=31, seconds=HOUR)
    assert invoices(client, sub)[-1].amount_paid == 499, "a coupon of duration once is spent"


@pytest.mark.parametrize(("percent", "duration", "paid"), [(25, "forever", [374, 374]), (25, "once", [374, 499])])
def test_a_coupon_lasts_as_long_as_it_says(
    stripe: StripeServer, client: real.StripeClient, percent: int, duration: str, paid: list[int]
) -> None:
    sub = stripe.subscribe(stripe.customer("a@example.com"), "starter", coupon=stripe.coupon(percent, duration))
    stripe.advance(days=31, seconds=HOUR)
    assert [invoice.amount_paid for invoice in invoices(client, sub)] == paid


def test_a_first_payment_that_fails_leaves_it_incomplete_and_then_expired(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    bob = stripe.customer("bob@example.com")
    stripe.decline(bob)
    sub = stripe.subscribe(bob, "starter")
    assert (status(client, sub), invoices(client, sub)[0].status) == ("incomplete", "open")
    assert "checkout.session.completed" not in types(stripe)
    stripe.advance(seconds=23 * HOUR)
    assert (status(client, sub), invoices(client, sub)[0].status) == ("incomplete_expired", "void")
    stripe.advance(seconds=HOUR)
    assert types(stripe)[-1] == "checkout.session.expired"


def test_an_incomplete_one_becomes_active_when_its_invoice_is_paid(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    bob = stripe.customer("bob@example.com")
    stripe.decline(bob)
    sub = stripe.subscribe(bob, "starter")
    stripe.pay(sub)
    assert types(stripe)[-1] == "checkout.session.completed"
    stripe.advance(seconds=25 * HOUR)
    assert (status(client, sub), invoices(client, sub)[0].status) == ("active", "paid")
    assert "checkout.session.expired" not in types(stripe)


@pytest.mark.parametrize("after", ["unpaid", "canceled", "past_due"])
def test_a_renewal_that_fails_is_retried_and_then_given_up(after: str) -> None:
    with StripeServer(after_dunning=after) as stripe:
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url})
        sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
        assert stripe.fail_payment(sub)["status"] == "past_due"
        last = invoices(client, sub)[-1]
        assert (last.billing_reason, last.status, last.attempt_count) == ("subscription_cycle", "open", 1)
        assert last.next_payment_attempt == stripe.clock + 3 * 86_400
        stripe.advance(days=20)
        assert status(client, sub) == after
        assert client.v1.invoices.retrieve(last.id).attempt_count == 4


def test_paying_what_is_open_makes_it_active_again(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.fail_payment(sub)
    assert client.v1.customers.retrieve(sub["customer"]).delinquent is True
    paid = stripe.pay(sub)
    assert (paid["status"], status(client, sub)) == ("paid", "active")
    assert client.v1.customers.retrieve(sub["customer"]).delinquent is False


def test_failing_once_more_counts_another_attempt(stripe: StripeServer) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.fail_payment(sub)
    stripe.fail_payment(sub)
    assert stripe.get(stripe.get(sub)["latest_invoice"])["attempt_count"] == 2


def test_an_unpaid_one_gets_drafts_that_nobody_collects(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.fail_payment(sub)
    stripe.advance(days=45)
    last = invoices(client, sub)[-1]
    assert (status(client, sub), last.status, last.auto_advance) == ("unpaid", "draft", False)


def test_an_upgrade_in_mid_period_is_invoiced_at_once_for_the_difference(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    stripe.clock = 1_796_083_200  # 1 December 2026: a period of 31 days
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.clock = 1_796_083_200 + 31 * 86_400 // 2
    stripe.upgrade(sub, "power")
    last = invoices(client, sub)[-1]
    assert last.billing_reason == "subscription_update"
    assert last.status == "paid"
    assert [line.amount for line in last.lines.data] == pytest.approx([-499 / 2, 2999 / 2], abs=1)
    details = [line.parent.subscription_item_details for line in last.lines.data]
    assert all(each.proration for each in details)
    credited = details[0].proration_details.credited_items
    assert credited.invoice == invoices(client, sub)[0].id
    assert [line.pricing.price_details.price for line in last.lines.data] == [
        stripe.prices["starter", "month"], stripe.prices["power", "month"],
    ]  # fmt: skip


def test_prorations_may_wait_for_the_next_invoice(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.advance(days=10)
    stripe.upgrade(sub, "daily", behavior="create_prorations")
    assert len(invoices(client, sub)) == 1
    stripe.advance(days=25)
    last = invoices(client, sub)[-1]
    assert (last.billing_reason, len(last.lines.data), last.lines.data[-1].amount) == ("subscription_cycle", 3, 1299)
    stripe.advance(days=31)
    assert len(invoices(client, sub)[-1].lines.data) == 1, "they are charged once"


def test_a_downgrade_leaves_a_credit_that_the_next_invoice_uses(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "power")
    stripe.upgrade(sub, "starter")
    down = invoices(client, sub)[-1]
    assert (down.total, down.amount_due, down.status, down.ending_balance) == (-2500, 0, "paid", -2500)
    assert client.v1.customers.retrieve(sub["customer"]).balance == -2500
    stripe.advance(days=31, seconds=HOUR)
    renewal = invoices(client, sub)[-1]
    assert (renewal.total, renewal.amount_due, renewal.ending_balance) == (499, 0, -2001)


def test_a_change_to_a_year_begins_a_new_period(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.advance(days=10)
    changed = stripe.upgrade(sub, "starter", "year")
    item = changed["items"]["data"][0]
    assert item["current_period_start"] == changed["billing_cycle_anchor"] == pytest.approx(stripe.clock, abs=60)
    assert 365 <= (item["current_period_end"] - item["current_period_start"]) / 86_400 <= 366
    stripe.advance(days=60)
    reasons = [each.billing_reason for each in invoices(client, sub)]
    assert reasons == ["subscription_create", "subscription_update"], "the old month renews no more"


@pytest.mark.parametrize("by_portal", [False, True])
def test_canceling_at_the_end_keeps_it_until_then(stripe: StripeServer, by_portal: bool) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    asked = stripe.cancel(sub, by_portal=by_portal)
    end = sub["items"]["data"][0]["current_period_end"]
    assert (asked["status"], asked["cancel_at"], asked["cancel_at_period_end"]) == ("active", end, not by_portal)
    stripe.clock = end + HOUR
    assert (stripe.get(sub)["status"], stripe.get(sub)["ended_at"]) == ("canceled", end)
    assert types(stripe)[-1] == "customer.subscription.deleted"
    assert len(stripe.all("invoice")) == 1


def test_a_cancellation_taken_back_lets_it_renew(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.cancel(sub)
    resumed = stripe.resume(sub)
    assert (resumed["cancel_at"], resumed["cancel_at_period_end"], resumed["canceled_at"]) == (None, False, None)
    stripe.advance(days=32)
    assert len(invoices(client, sub)) == 2


def test_canceling_now_ends_it_now(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    assert stripe.cancel(sub, at_period_end=False)["status"] == "canceled"
    stripe.advance(days=32)
    assert len(invoices(client, sub)) == 1
    assert client.v1.subscriptions.list({"customer": sub["customer"]}).data == []
    assert len(client.v1.subscriptions.list({"customer": sub["customer"], "status": "all"}).data) == 1


@pytest.mark.parametrize(
    ("behavior", "left"), [("void", "void"), ("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible")]
)
def test_a_paused_collection_renews_without_money(stripe: StripeServer, behavior: str, left: str) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    assert stripe.pause(sub, behavior=behavior)["status"] == "active"
    stripe.advance(days=32)
    assert [each["status"] for each in stripe.all("invoice")] == ["paid", left]
    assert stripe.resume(sub)["pause_collection"] is None


def test_a_trial_without_a_card_can_end_in_paused_and_resume_with_one(
    stripe: StripeServer, client: real.StripeClient
) -> None:
    carol = stripe.customer("carol@example.com", card=False)
    sub = stripe.subscribe(carol, "starter", trial_days=5, missing_payment_method="pause")
    stripe.advance(days=6)
    assert status(client, sub) == "paused"
    assert "customer.subscription.paused" in types(stripe)
    stripe.advance(days=60)
    assert len(invoices(client, sub)) == 1, "a paused one has no periods"
    stripe.accept(carol)
    assert client.v1.subscriptions.resume(sub["id"]).status == "active"
    assert invoices(client, sub)[-1].amount_paid == 499
    assert "customer.subscription.resumed" in types(stripe)


def test_the_period_keeps_to_the_anchor_day(stripe: StripeServer) -> None:
    stripe.clock = 1_801_353_600  # 31 January 2027
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    ends = []
    for _ in range(3):
        stripe.clock = stripe.get(sub)["items"]["data"][0]["current_period_end"] + HOUR
        ends.append(stripe.get(sub)["items"]["data"][0]["current_period_start"])
    days = [(later - sooner) // 86_400 for sooner, later in itertools.pairwise([1_801_353_600, *ends])]
    assert days == [28, 31, 30], "28 February, 31 March, 30 April"


def test_a_change_in_the_trial_costs_nothing_yet(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter", trial_days=7)
    stripe.upgrade(sub, "power")
    assert len(invoices(client, sub)) == 1
    stripe.advance(days=8)
    assert invoices(client, sub)[-1].amount_paid == 2999


def test_a_deleted_customer_ends_its_subscriptions(stripe: StripeServer, client: real.StripeClient) -> None:
    alice = stripe.customer("alice@example.com")
    sub = stripe.subscribe(alice, "starter")
    client.v1.customers.delete(alice["id"])
    assert status(client, sub) == "canceled"
    assert client.v1.customers.retrieve(alice["id"]).deleted is True
    assert client.v1.customers.list().data == []
    assert types(stripe)[-2:] == ["customer.subscription.deleted", "customer.deleted"]
    stripe.advance(days=40)


def test_a_proration_gives_back_no_more_than_was_paid(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter", coupon=stripe.coupon(50))
    stripe.upgrade(sub, "daily")
    amounts = [line.amount for line in invoices(client, sub)[-1].lines.data]
    assert amounts == pytest.approx([-249, 1299], abs=1)
