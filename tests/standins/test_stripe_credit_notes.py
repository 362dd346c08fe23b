"""Invoices that are paid outside of Stripe, and credit notes: what money moves, and what Stripe tells of it."""

from __future__ import annotations

from typing import Any

import pytest
import stripe as real

from standins.stripe import StripeServer

OLD = "2024-06-20"


@pytest.fixture
def unpaid(stripe: StripeServer, client: real.StripeClient) -> str:
    """An open invoice of 4.99 USD, of a subscription that is incomplete."""
    return str(stripe.subscribe(stripe.customer("alice@example.com", card=False), "starter")["latest_invoice"])


@pytest.fixture
def paid(stripe: StripeServer) -> str:
    return str(stripe.subscribe(stripe.customer("alice@example.com"), "starter")["latest_invoice"])


def told(stripe: StripeServer, start: int) -> list[str]:
    return [event["type"] for event in stripe.events[start:]]


def test_what_is_paid_outside_of_stripe_makes_no_charge(stripe: StripeServer, client: real.StripeClient, unpaid: str):
    start = len(stripe.events)
    invoice = client.v1.invoices.pay(unpaid, {"paid_out_of_band": True, "expand": ["payments"]})
    assert (invoice.status, [each.status for each in invoice.payments.data]) == ("paid", ["canceled"])
    assert [each["status"] for each in stripe.all("charge")] == ["failed"]
    assert stripe.all("subscription")[0]["status"] == "active"
    assert "invoice.paid" in told(stripe, start)
    assert "invoice.payment_succeeded" not in told(stripe, start)
    (event,) = [each for each in stripe.events if each["type"] == "invoice.paid"]
    assert stripe.event(event, OLD)["data"]["object"]["paid_out_of_band"] is True


def test_of_an_open_invoice_it_leaves_less_to_pay(stripe: StripeServer, client: real.StripeClient, unpaid: str):
    note = client.v1.credit_notes.create({"invoice": unpaid, "amount": 99})
    assert (note.type, note.pre_payment_amount, note.post_payment_amount) == ("pre_payment", 99, 0)
    assert stripe.get(unpaid)["amount_due"] == 400
    client.v1.credit_notes.void_credit_note(note.id)
    assert (stripe.get(note.id)["status"], stripe.get(unpaid)["amount_due"]) == ("void", 499)
    client.v1.credit_notes.create({"invoice": unpaid, "amount": 199})
    assert stripe.pay(unpaid)["amount_paid"] == 300
    assert stripe.all("charge")[-1]["amount"] == 300
    assert [each for each in told(stripe, 0) if "credit_note" in each] == [
        "credit_note.created", "credit_note.voided", "credit_note.created",
    ]  # fmt: skip


def test_an_open_invoice_of_which_nothing_is_left_is_paid(stripe: StripeServer, unpaid: str):
    stripe.credit_note(unpaid, 499)
    assert stripe.get(unpaid)["status"] == "paid"
    assert [each["status"] for each in stripe.all("charge")] == ["failed"]
    (event,) = [each for each in stripe.events if each["type"] == "invoice.paid"]
    assert stripe.event(event, OLD)["data"]["object"]["paid_out_of_band"] is False


def test_of_a_paid_one_it_refunds_credits_and_records(stripe: StripeServer, client: real.StripeClient, paid: str):
    start = len(stripe.events)
    note = client.v1.credit_notes.create(
        {"invoice": paid, "amount": 400, "refund_amount": 300, "credit_amount": 60, "out_of_band_amount": 40}
    )
    refund = stripe.all("refund")[0]
    assert (refund["amount"], [each.refund for each in note.refunds]) == (300, [refund["id"]])
    assert (note.type, note.out_of_band_amount) == ("post_payment", 40)
    assert note.customer_balance_transaction.startswith("cbtxn_")
    assert stripe.all("customer")[0]["balance"] == -60
    invoice = stripe.get(paid)
    assert (invoice["amount_due"], invoice["post_payment_credit_notes_amount"]) == (499, 400)
    assert [each for each in told(stripe, start) if each in ("refund.created", "credit_note.created")] == [
        "refund.created", "credit_note.created",
    ]  # fmt: skip
    (event,) = [each for each in stripe.events if each["type"] == "credit_note.created"]
    assert stripe.event(event, OLD)["data"]["object"]["refund"] == refund["id"]
    assert client.v1.credit_notes.list({"invoice": paid}).data[0].id == note.id
    assert client.v1.credit_notes.line_items.list(note.id).data[0].amount == 400


@pytest.mark.parametrize(
    "given",
    [
        {"amount": 500, "refund_amount": 500},
        {"amount": 100},
        {"amount": 100, "refund_amount": 50, "credit_amount": 49},
        {"amount": 0},
    ],
)
def test_it_is_neither_over_the_invoice_nor_unlike_its_parts(
    stripe: StripeServer, client: real.StripeClient, paid: str, given: Any
):
    with pytest.raises(real.InvalidRequestError):
        client.v1.credit_notes.create({"invoice": paid, **given})
    assert stripe.all("credit_note") == stripe.all("refund") == []


def test_one_of_a_paid_invoice_cannot_be_voided(stripe: StripeServer, client: real.StripeClient, paid: str):
    note = stripe.credit_note(paid, 100, credit=100)
    with pytest.raises(real.InvalidRequestError):
        client.v1.credit_notes.void_credit_note(note["id"])
