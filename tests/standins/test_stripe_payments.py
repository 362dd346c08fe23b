"""Packs, refunds, disputes: what happens to the money, and what Stripe tells of it."""

from __future__ import annotations

from typing import Any

import pytest
import stripe as real

from standins.stripe import StripeServer


@pytest.fixture
def alice(stripe: StripeServer) -> dict[str, Any]:
    return stripe.customer("alice@example.com", "Alice", "user_alice")


def types(stripe: StripeServer, start: int = 0) -> list[str]:
    return [event["type"] for event in stripe.events[start:]]


@pytest.mark.parametrize(
    ("where", "in_session", "in_intent"),
    [("payment_intent", None, "5000"), ("session", "5000", None), ("both", "5000", "5000")],
)
def test_a_pack_has_its_units_where_it_is_told(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any], where: str, in_session: Any, in_intent: Any
) -> None:
    bought = stripe.buy_pack(alice, 999, 5000, where)
    session = client.v1.checkout.sessions.retrieve(bought["id"], {"expand": ["payment_intent", "line_items"]})
    assert (session.mode, session.status, session.payment_status) == ("payment", "complete", "paid")
    assert session.metadata.to_dict().get("units") == in_session
    assert session.payment_intent.metadata.to_dict().get("units") == in_intent
    assert session.line_items.data[0].amount_total == session.payment_intent.amount_received == 999
    charge = client.v1.charges.list({"payment_intent": session.payment_intent.id}).data[0]
    assert charge.metadata.to_dict() == session.payment_intent.metadata.to_dict()


def test_a_pack_can_be_bought_without_checkout(stripe: StripeServer, alice: dict[str, Any]) -> None:
    intent = stripe.buy_pack(alice, 999, 5000, through_checkout=False)
    assert (intent["object"], intent["status"]) == ("payment_intent", "succeeded")
    assert intent["metadata"] == {"userId": "user_alice", "type": "battery", "units": "5000"}
    assert stripe.all("checkout.session") == []


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_delayed_payment_is_settled_later(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any], succeeded: bool
) -> None:
    session = stripe.buy_pack(alice, 999, 5000, async_payment=True)
    completed = stripe.events[-1]
    assert (completed["type"], completed["data"]["object"]["payment_status"]) == (
        "checkout.session.completed",
        "unpaid",
    )
    assert client.v1.payment_intents.retrieve(session["payment_intent"]).status == "processing"
    after = stripe.settle(session, succeeded)
    assert after["payment_status"] == ("paid" if succeeded else "unpaid")
    assert types(stripe)[-1] == f"checkout.session.async_payment_{'succeeded' if succeeded else 'failed'}"
    with pytest.raises(Exception, match="does not wait"):
        stripe.settle(session)


def test_a_pack_that_the_card_refuses_leaves_the_session_open(stripe: StripeServer, alice: dict[str, Any]) -> None:
    stripe.decline(alice)
    session = stripe.buy_pack(alice, 999, 5000)
    assert (session["status"], session["payment_status"]) == ("open", "unpaid")
    assert types(stripe)[-1] == "payment_intent.payment_failed"


def test_a_refund_in_parts_is_whole_in_the_end(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    intent = stripe.buy_pack(alice, 999, 5000)["payment_intent"]
    start = len(stripe.events)
    stripe.refund(intent, 300)
    charge = client.v1.charges.list({"payment_intent": intent}).data[0]
    assert (charge.amount_refunded, charge.refunded) == (300, False)
    assert types(stripe, start) == ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
    assert stripe.events[start + 1]["data"]["previous_attributes"] == {"amount_refunded": 0}
    second = client.v1.refunds.create({"payment_intent": intent, "reason": "requested_by_customer"})
    assert (second.amount, second.status) == (699, "succeeded")
    assert client.v1.charges.retrieve(charge.id).refunded is True
    assert [refund.amount for refund in client.v1.refunds.list({"payment_intent": intent}).data] == [699, 300]
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent})
    assert raised.value.code == "charge_already_refunded"


def test_more_than_what_is_left_cannot_be_refunded(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    intent = stripe.buy_pack(alice, 999, 5000)["payment_intent"]
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent, "amount": 1000})
    assert raised.value.param == "amount"
    assert client.v1.refunds.list().data == []


def test_a_refund_that_fails_is_taken_back(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    refund = stripe.refund(stripe.buy_pack(alice, 999, 5000))
    failed = stripe.fail_refund(refund)
    assert (failed["status"], client.v1.charges.retrieve(refund["charge"]).amount_refunded) == ("failed", 0)
    assert "refund.failed" in types(stripe)


def test_an_invoice_can_be_refunded(stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]) -> None:
    sub = stripe.subscribe(alice, "starter")
    refund = stripe.refund(sub["latest_invoice"])
    payments = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": refund["payment_intent"]}}
    ).data
    assert [payment.invoice for payment in payments] == [sub["latest_invoice"]]


@pytest.mark.parametrize(("won", "left"), [(True, 999 - 59 - 1500), (False, -59 - 1500)])
def test_a_dispute_takes_the_money_and_gives_it_back_if_won(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any], won: bool, left: int
) -> None:
    session = stripe.buy_pack(alice, 999, 5000)
    start = len(stripe.events)
    dispute = stripe.dispute(session)
    assert (dispute["status"], dispute["amount"]) == ("needs_response", 999)
    assert types(stripe, start) == ["charge.dispute.created", "charge.updated", "charge.dispute.funds_withdrawn"]
    with pytest.raises(real.InvalidRequestError, match="charged back"):
        client.v1.refunds.create({"payment_intent": session["payment_intent"]})
    stripe.answer_dispute(dispute)
    closed = stripe.close_dispute(dispute, won)
    assert closed["status"] == ("won" if won else "lost")
    assert types(stripe)[-1] == "charge.dispute.closed"
    assert ("charge.dispute.funds_reinstated" in types(stripe)) is won
    assert client.v1.balance.retrieve().available[0].amount == left
    listed = client.v1.disputes.list({"payment_intent": session["payment_intent"]}).data[0]
    assert [each.amount for each in listed.balance_transactions] == ([-999, 999] if won else [-999])


def test_an_answer_to_a_lost_dispute_is_an_appeal(stripe: StripeServer, alice: dict[str, Any]) -> None:
    dispute = stripe.close_dispute(stripe.dispute(stripe.buy_pack(alice, 999, 5000)), won=False)
    assert stripe.answer_dispute(dispute)["status"] == "appeal_under_review"
    assert stripe.close_dispute(dispute, won=True)["status"] == "won"
    with pytest.raises(Exception, match="already closed"):
        stripe.answer_dispute(dispute)


def test_a_preview_costs_what_the_change_then_costs(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    sub = stripe.subscribe(alice, "starter")
    stripe.advance(days=11)
    at, count = stripe.clock, len(stripe.events)
    wanted = {"id": sub["items"]["data"][0]["id"], "price": stripe.prices["power", "month"]}
    details: Any = {"items": [wanted], "proration_behavior": "always_invoice", "proration_date": at}
    preview = client.v1.invoices.create_preview({"subscription": sub["id"], "subscription_details": details})
    assert preview.id.startswith("upcoming_")
    assert len(stripe.events) == count, "a preview changes nothing"
    client.v1.subscriptions.update(
        sub["id"],
        {"items": [wanted], "proration_behavior": "always_invoice", "proration_date": at},  # type: ignore
    )
    done = client.v1.invoices.list({"subscription": sub["id"], "limit": 1}).data[0]
    assert (done.total, done.billing_reason) == (preview.total, "subscription_update")
    assert [line.amount for line in done.lines.data] == [line.amount for line in preview.lines.data]


def test_a_preview_without_a_change_is_the_next_invoice(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    sub = stripe.subscribe(alice, "starter")
    assert client.v1.invoices.create_preview({"subscription": sub["id"]}).total == 499
    stripe.cancel(sub)
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.invoices.create_preview({"subscription": sub["id"]})
    assert raised.value.code == "invoice_upcoming_none"


def test_a_change_that_must_be_paid_is_not_made_when_the_card_refuses(
    stripe: StripeServer, client: real.StripeClient, alice: dict[str, Any]
) -> None:
    sub = stripe.subscribe(alice, "starter")
    stripe.decline(alice)
    item = {"id": sub["items"]["data"][0]["id"], "price": stripe.prices["power", "month"]}
    with pytest.raises(real.CardError) as raised:
        client.v1.subscriptions.update(
            sub["id"],
            {"items": [item], "proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"},  # type: ignore
        )
    assert raised.value.code == "card_declined"
    assert stripe.get(sub)["items"]["data"][0]["price"]["id"] == stripe.prices["starter", "month"]
