"""Invoices: drafts with their lines, finalized, paid, voided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from standins.stripe import payments
from standins.stripe.account import Account
from standins.stripe.store import Thing

HOUR = 3_600


def subscription_line(
    account: Account, sub: Thing, item: Thing, cents: int, period: tuple[int, int], *, price: Thing | None = None,
    description: str = "", proration: bool = False, credited: Thing | None = None,
) -> Thing:  # fmt: skip
    """A line for an item of a subscription over a period (Unix seconds)."""
    price = price or item["price"]
    product = account.store["product"].find(price["product"])
    each = f"${price['unit_amount'] / 100:.2f} / {price['recurring']['interval']}"
    text = description or f"{item['quantity']} × {product['name'] if product else ''} (at {each})"
    details = {
        "invoice_item": None, "proration": proration,
        "proration_details": {"credited_items": credited} if proration else None,
        "subscription": sub["id"], "subscription_item": item["id"],
    }  # fmt: skip
    return account.part(
        "line_item", amount=cents, subtotal=cents, description=text, quantity=item["quantity"],
        period={"start": period[0], "end": period[1]}, metadata=dict(sub["metadata"]),
        parent={
            "invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details",
        },
        pricing=pricing(price), discountable=not proration,
    )  # fmt: skip


def pricing(price: Thing) -> Thing:
    return {
        "price_details": {"price": price["id"], "product": price["product"]}, "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }  # fmt: skip


def build(account: Account, customer: Thing, reason: str, lines: Sequence[Thing], sub: Thing | None = None) -> Thing:
    """An invoice as it would be, kept nowhere. Its discounts are the subscription's."""
    id = account.new_id("invoice")
    now = account.clock.now()
    for line in lines:
        line["invoice"] = id
    parent = sub and {
        "quote_details": None, "type": "subscription_details",
        "subscription_details": {"metadata": dict(sub["metadata"]), "subscription": sub["id"]},
    }  # fmt: skip
    invoice = account.part(
        "invoice", id, customer=customer["id"], customer_email=customer["email"], customer_name=customer["name"],
        billing_reason=reason, parent=parent, period_start=now, period_end=now,
        starting_balance=customer["balance"], automatically_finalizes_at=now + HOUR,
        lines={"object": "list", "data": list(lines), "has_more": False, "url": f"/v1/invoices/{id}/lines"},
    )  # fmt: skip
    _total(account, invoice, sub)
    return invoice


def _total(account: Account, invoice: Thing, sub: Thing | None) -> None:
    subtotal = sum(line["amount"] for line in invoice["lines"]["data"])
    taken = 0
    for id in sub["discounts"] if sub else ():
        taken += _discount(account, invoice, id)
    total = subtotal - taken
    due = max(0, total + invoice["starting_balance"]) if total > 0 else 0
    invoice |= {
        "subtotal": subtotal, "subtotal_excluding_tax": subtotal, "total": total, "total_excluding_tax": total,
        "amount_due": due, "amount_remaining": due,
    }  # fmt: skip


def _discount(account: Account, invoice: Thing, id: str) -> int:
    coupon = account.store["coupon"].get(account.discounts[id]["source"]["coupon"])
    taken = 0
    for line in invoice["lines"]["data"]:
        if line["discountable"] and line["amount"] > 0:
            cents = round(line["amount"] * coupon["percent_off"] / 100)
            line["discount_amounts"].append({"amount": cents, "discount": id})
            line["discounts"].append(id)
            taken += cents
    if taken:
        invoice["discounts"].append(id)
        invoice["total_discount_amounts"].append({"amount": taken, "discount": id})
    return taken


def draft(
    account: Account, customer: Thing, reason: str, lines: Sequence[Thing], sub: Thing | None = None, **values: Any
) -> Thing:
    invoice = build(account, customer, reason, lines, sub) | values
    account.store["invoice"].add(invoice)
    _use_discounts(account, sub)
    account.emit("invoice.created", invoice)
    return invoice


def _use_discounts(account: Account, sub: Thing | None) -> None:
    """A coupon of duration `once` is spent by the first invoice."""
    for id in list(sub["discounts"]) if sub else ():
        coupon = account.store["coupon"].get(account.discounts[id]["source"]["coupon"])
        if sub and coupon["duration"] == "once":
            sub["discounts"] = [each for each in sub["discounts"] if each != id]


def finalize(account: Account, invoice: Thing) -> None:
    """Open it, with a payment intent where something is due. Does not pay."""
    customer = account.store["customer"].get(invoice["customer"])
    now = account.clock.now()
    _use_balance(account, invoice, customer)
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    invoice |= {
        "status": "open", "number": number, "effective_at": now, "automatically_finalizes_at": None,
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{invoice['id']}",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{invoice['id']}/pdf", "webhooks_delivered_at": now,
    }  # fmt: skip
    invoice["status_transitions"]["finalized_at"] = now
    if invoice["amount_due"]:
        _ask_payment(account, invoice)
    account.emit("invoice.finalized", invoice)


def _use_balance(account: Account, invoice: Thing, customer: Thing) -> None:
    total, balance = invoice["total"], customer["balance"]
    invoice["starting_balance"] = balance
    ending = balance + total if total < 0 else min(0, balance + total)
    due = max(0, total + balance) if total > 0 else 0
    invoice |= {"ending_balance": ending, "amount_due": due, "amount_remaining": due}
    account.change(customer, "customer.updated", balance=ending)


def _ask_payment(account: Account, invoice: Thing) -> None:
    product = "Subscription creation" if invoice["billing_reason"] == "subscription_create" else "Subscription update"
    intent = payments.create_intent(account, invoice["customer"], invoice["amount_due"], description=product)
    account.new(
        "invoice_payment", invoice=invoice["id"], amount_requested=invoice["amount_due"],
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
    )  # fmt: skip


def payment_of(account: Account, invoice: Thing) -> Thing | None:
    """The invoice's own payment, or None where nothing was due."""
    found = account.store["invoice_payment"].of("invoice", invoice["id"])
    return next((each for each in reversed(found) if each["is_default"]), None)


def intent_of(account: Account, invoice: Thing) -> Thing | None:
    payment = payment_of(account, invoice)
    return payment and account.store["payment_intent"].get(payment["payment"]["payment_intent"])


def mark_paid(account: Account, invoice: Thing, *, out_of_band: bool = False) -> None:
    """After the money came, here or outside of Stripe, or at once where nothing is due."""
    now = account.clock.now()
    before = {"status": invoice["status"]}
    invoice |= {
        "status": "paid", "attempted": True, "auto_advance": False, "amount_paid": invoice["amount_due"],
        "amount_remaining": 0, "next_payment_attempt": None,
    }  # fmt: skip
    invoice["status_transitions"]["paid_at"] = now
    if out_of_band:
        _cancel_payment(account, invoice)
        account.emit("invoice.updated", invoice, before)
    elif payment := payment_of(account, invoice):
        payment |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment["status_transitions"]["paid_at"] = now
        account.emit("invoice_payment.paid", payment)
        account.emit("invoice.updated", invoice, before)
    account.emit("invoice.paid", invoice)
    if not out_of_band:
        account.emit("invoice.payment_succeeded", invoice)


def void(account: Account, invoice: Thing) -> None:
    invoice |= {"status": "void", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = account.clock.now()
    _cancel_payment(account, invoice)
    account.emit("invoice.voided", invoice)


def _cancel_payment(account: Account, invoice: Thing) -> None:
    if (payment := payment_of(account, invoice)) and (intent := intent_of(account, invoice)):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = account.clock.now()
        payments.cancel(account, intent)


def mark_uncollectible(account: Account, invoice: Thing) -> None:
    invoice |= {"status": "uncollectible", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["marked_uncollectible_at"] = account.clock.now()
    account.emit("invoice.marked_uncollectible", invoice)
