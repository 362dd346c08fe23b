"""What refunds and disputes take is what the payment brought, whatever became of plans, inquiries and other parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from billing import stripe_events
from billing.ledger import Entry, post
from billing.models import SubscriptionPlan, TransactionType, UserBattery
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, balance, deliver, intent_of, ledger

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


@pytest.fixture
def spare(stripe: StripeServer, alice: Thing) -> int:
    """Units of another pack, so that nothing is clipped."""
    stripe.buy_pack(alice, 9999, 50_000)
    return 50_000


def status(stripe: StripeServer, dispute: Thing, status: str) -> None:
    stripe.account.store["dispute"].get(dispute["id"])["status"] = status
    deliver(stripe)


def test_an_edit_of_the_plan_changes_nothing_about_what_a_refund_takes(stripe: StripeServer, alice: Thing, spare: int):
    stripe.subscribe(alice, "starter")
    deliver(stripe)
    SubscriptionPlan.objects.filter(pk="starter").update(battery_units=9000)
    stripe.refund(stripe.all("invoice")[0])
    deliver(stripe)
    assert balance() == spare


def test_a_credit_is_reversed_though_no_plan_has_its_price_any_longer(stripe: StripeServer, alice: Thing, spare: int):
    stripe.subscribe(alice, "starter")
    deliver(stripe)
    SubscriptionPlan.objects.filter(pk="starter").update(stripe_price_id_monthly=None)
    stripe.refund(stripe.all("invoice")[0])
    deliver(stripe, "refund.created")
    assert balance() == spare


def test_of_a_credit_by_the_app_as_much_is_taken_as_the_app_gave(stripe: StripeServer, alice: Thing, spare: int):
    stripe.subscribe(alice, "starter")
    intent = next(each["id"] for each in stripe.all("payment_intent") if not each["metadata"])
    UserBattery.objects.create(user_id="user_alice", total_balance=5000, daily_allowance=0)
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO battery_transactions "
            "(id, user_id, type, amount, balance_after, stripe_payment_intent_id, created_at) "
            "VALUES ('app', 'user_alice', 'subscription', 5000, 5000, %s, datetime('now'))",
            [intent],
        )
    deliver(stripe)
    stripe.refund(intent)
    deliver(stripe)
    assert balance() == spare


def test_an_inquiry_holds_nothing_until_it_becomes_a_dispute(stripe: StripeServer, alice: Thing):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    for word, left in [
        ("warning_needs_response", 5000),
        ("warning_under_review", 5000),
        ("needs_response", 0),
        ("under_review", 0),
        ("won", 5000),
    ]:
        status(stripe, dispute, word)
        assert balance() == left, word


def test_an_inquiry_that_is_closed_takes_nothing_ever(stripe: StripeServer, alice: Thing):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    status(stripe, dispute, "warning_needs_response")
    status(stripe, dispute, "warning_closed")
    assert balance() == 5000
    assert AuditLog.objects.filter(pk=f"settled:dispute:{dispute['id']}").exists()


@pytest.mark.parametrize("end", [("lost", 0), ("won", 5000)])
def test_an_appeal_against_a_lost_dispute_holds_what_was_taken(
    stripe: StripeServer, alice: Thing, end: tuple[str, int]
):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    for word, left in [("lost", 0), ("appeal_needs_response", 0), ("appeal_under_review", 0), end]:
        status(stripe, dispute, word)
        assert balance() == left, word


@pytest.mark.parametrize("word", ["prevented", "of_a_day_to_come"])
@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_of_another_status_the_money_tells_whether_it_takes(
    stripe: StripeServer, alice: Thing, word: str, is_withdrawn: bool
):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    if not is_withdrawn:
        stripe.account.store["dispute"].get(dispute["id"])["balance_transactions"] = []
    status(stripe, dispute, word)
    assert balance() == (0 if is_withdrawn else 5000)


def test_parts_add_up_to_the_whole_though_one_failed_between(stripe: StripeServer, alice: Thing, spare: int):
    session = stripe.buy_pack(alice, 1000, 5001)
    failing = stripe.refund(session, 333)
    deliver(stripe)
    stripe.advance(seconds=5)
    stripe.refund(session, 667)
    deliver(stripe)
    stripe.fail_refund(failing)
    deliver(stripe)
    stripe.advance(seconds=5)
    stripe.refund(session, 333)
    deliver(stripe)
    assert balance() == spare


def test_an_invoice_paid_in_parts_is_reversed_in_parts(stripe: StripeServer, alice: Thing, spare: int):
    stripe.subscribe(alice, "starter")
    (invoice,) = stripe.all("invoice")
    (payment,) = stripe.account.store["invoice_payment"].of("invoice", invoice["id"])
    other = stripe.buy_pack(alice, 200, 1, metadata={})
    stripe.account.new(
        "invoice_payment", invoice=invoice["id"], amount_requested=200, amount_paid=200, status="paid",
        payment={"type": "payment_intent", "payment_intent": intent_of(stripe, other)},
    )  # fmt: skip
    deliver(stripe)
    refund = stripe.refund(other)
    deliver(stripe)
    part = -ledger()[f"refund:{refund['id']}"]
    assert part == pytest.approx(6000 * 200 / (payment["amount_paid"] + 200), abs=1)
    stripe.refund(payment["payment"]["payment_intent"])
    deliver(stripe)
    assert balance() == spare


def test_units_that_another_holds_while_the_win_is_read_are_given_back(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    stripe.close_dispute(dispute, won=True)
    UserBattery.objects.create(user_id="user_alice", total_balance=5000, daily_allowance=0)
    usual: Callable[..., Any] = stripe_events.apply
    held = Entry(f"dispute:{dispute['id']}", "user_alice", TransactionType.REFUND, -5000)

    def late(changes: Any, **how: Any) -> Any:
        post([held], by="another worker")
        return usual(changes, **how)

    monkeypatch.setattr(stripe_events, "apply", late)
    deliver(stripe, "charge.dispute.closed")
    assert ledger()[f"{held.id}:won"] == 5000
