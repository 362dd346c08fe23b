"""Invoices that are paid outside of Stripe are credited as others are; credit notes take what money they give back."""

from __future__ import annotations

import pytest

from billing.models import BatteryTransaction
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxState
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, balance, deliver, intent_of, ledger, user

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


@pytest.fixture
def unpaid(stripe: StripeServer, alice: Thing) -> Thing:
    """A subscription whose first invoice is open."""
    stripe.decline(alice)
    return stripe.subscribe(alice, "starter")


@pytest.mark.parametrize("version", [None, "2024-06-20"])
def test_what_is_paid_outside_of_stripe_is_credited_once(stripe: StripeServer, unpaid: Thing, version: str | None):
    deliver(stripe, version=version)
    assert (user()[0], ledger()) == ("free", {})
    invoice = stripe.pay(unpaid, out_of_band=True)
    for _ in range(2):
        deliver(stripe, version=version)
    assert (user()[0], ledger()) == ("paid", {f"invoice:{invoice['id']}": 6000})
    assert BatteryTransaction.objects.get().stripe_payment_intent_id is None, "no payment brought it"


def test_what_is_paid_partly_outside_of_stripe_is_reversed_by_the_part_that_goes_back(
    stripe: StripeServer, alice: Thing, unpaid: Thing
):
    invoice = stripe.get(unpaid["latest_invoice"])
    stripe.accept(alice)
    part = intent_of(stripe, stripe.buy_pack(alice, 200, 1, metadata={}))
    stripe.account.new(
        "invoice_payment", invoice=invoice["id"], amount_requested=200, amount_paid=200, status="paid",
        is_default=False, payment={"type": "payment_intent", "payment_intent": part},
    )  # fmt: skip
    stripe.pay(invoice, out_of_band=True)
    deliver(stripe)
    refund = stripe.refund(part)
    deliver(stripe)
    assert ledger()[f"refund:{refund['id']}"] == -(6000 * 200 // 499)


def test_a_credit_note_with_a_refund_takes_what_the_refund_takes_once(stripe: StripeServer, alice: Thing):
    invoice = stripe.subscribe(alice, "starter")["latest_invoice"]
    note = stripe.credit_note(invoice, 100, refund=100)
    deliver(stripe)
    refund = note["refunds"][0]["refund"]
    assert ledger() == {f"invoice:{invoice}": 6000, f"refund:{refund}": -(6000 * 100 // 499)}


def test_a_credit_note_that_gives_no_money_back_takes_nothing(stripe: StripeServer, alice: Thing):
    invoice = stripe.subscribe(alice, "starter")["latest_invoice"]
    stripe.credit_note(invoice, 100, credit=60, out_of_band=40)
    deliver(stripe)
    assert ledger() == {f"invoice:{invoice}": 6000}


@pytest.mark.parametrize("cents", [99, 499])
def test_an_invoice_that_a_credit_note_lowers_credits_the_whole_plan_once_paid(
    stripe: StripeServer, alice: Thing, unpaid: Thing, cents: int
):
    invoice = unpaid["latest_invoice"]
    stripe.void_credit_note(stripe.credit_note(invoice, 10))
    stripe.credit_note(invoice, cents)
    deliver(stripe)
    if cents < 499:
        stripe.pay(invoice)
    deliver(stripe)
    assert (user()[0], ledger()) == ("paid", {f"invoice:{invoice}": 6000})
    if cents < 499:
        stripe.refund(invoice)
        deliver(stripe)
        assert balance() == 0


def test_events_of_credit_notes_are_kept_as_ignored(stripe: StripeServer, alice: Thing):
    stripe.credit_note(stripe.subscribe(alice, "starter")["latest_invoice"], 100, refund=100)
    (event,) = [each for each in stripe.events if each["type"] == "credit_note.created"]
    assert arrival_of_stripe(event).state == InboxState.IGNORED
