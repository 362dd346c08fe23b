"""Checkout sessions: how people subscribe and buy packs."""

from __future__ import annotations

from typing import Any

from standins.stripe import collection, payments, subscriptions
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.errors import invalid
from standins.stripe.store import Thing


def open_session(account: Account, customer: Thing, mode: str, lines: list[Thing], **values: Any) -> Thing:
    """`lines` are `{"description", "price", "quantity", "amount"}`, kept for /line_items."""
    total = sum(line["amount_total"] for line in lines)
    now = account.clock.now()
    session = account.new(
        "checkout.session", customer=customer["id"], mode=mode, amount_subtotal=total, amount_total=total,
        expires_at=now + DAY, **values,
    )  # fmt: skip
    session["url"] = f"https://checkout.stripe.com/c/pay/{session['id']}"
    account.session_lines[session["id"]] = lines
    account.clock.plan(session["expires_at"], "close", session["id"])
    return session


def line(account: Account, cents: int, description: str, price: Thing | None) -> Thing:
    return {
        "id": account.new_id("item"), "object": "item", "adjustable_quantity": None, "amount_discount": 0,
        "amount_subtotal": cents, "amount_tax": 0, "amount_total": cents, "currency": "usd",
        "description": description, "metadata": {}, "price": price, "quantity": 1,
    }  # fmt: skip


def complete(account: Account, session: Thing, *, payment_status: str) -> None:
    customer = account.store["customer"].find(session["customer"]) or {"email": None, "name": None}
    session["customer_details"] = {
        "address": None, "business_name": None, "email": customer["email"], "individual_name": None,
        "name": customer["name"], "phone": None, "tax_exempt": "none", "tax_ids": [],
    }  # fmt: skip
    session |= {"status": "complete", "payment_status": payment_status, "url": None}
    account.emit("checkout.session.completed", session)


def subscribe(account: Account, customer: Thing, price: Thing, metadata: dict[str, str], **values: Any) -> Thing:
    """The subscription; its session is completed only where the first payment came."""
    product = account.store["product"].get(price["product"])
    session = open_session(
        account, customer, "subscription", [line(account, price["unit_amount"], product["name"], price)],
        metadata=metadata, client_reference_id=metadata.get("userId"), payment_method_collection="always",
    )  # fmt: skip
    sub, first = subscriptions.begin(account, customer, price, metadata=metadata, **values)
    session["invoice"] = first["id"]
    account.store["checkout.session"].relate(session, "subscription", sub["id"])
    subscriptions.start(account, sub, first)
    complete_paid(account, sub, first)
    return sub


def complete_paid(account: Account, sub: Thing, first: Thing) -> None:
    """Completes the session of a subscription whose first invoice is paid, now or by a later try."""
    for session in account.store["checkout.session"].of("subscription", sub["id"]):
        if session["status"] == "open" and first["status"] == "paid":
            session |= {"amount_total": first["total"], "amount_subtotal": first["subtotal"]}
            complete(account, session, payment_status="paid" if first["amount_due"] else "no_payment_required")


def buy(
    account: Account, customer: Thing, cents: int, *, session_metadata: dict[str, str],
    intent_metadata: dict[str, str], delayed: bool = False, description: str = "Battery pack",
) -> Thing:  # fmt: skip
    """A session of mode payment. Delayed: completed but unpaid, until `settle`."""
    session = open_session(
        account, customer, "payment", [line(account, cents, description, None)], metadata=session_metadata,
        customer_creation="if_required", client_reference_id=session_metadata.get("userId"),
        payment_method_types=["us_bank_account" if delayed else "card"],
    )  # fmt: skip
    intent = payments.create_intent(
        account, customer["id"], cents, metadata=intent_metadata, description=description,
        payment_method_types=session["payment_method_types"],
    )  # fmt: skip
    account.store["checkout.session"].relate(session, "payment_intent", intent["id"])
    if delayed:
        intent |= {"status": "processing", "payment_method": payments.card_of(account, customer)}
        account.emit("payment_intent.processing", intent)
        complete(account, session, payment_status="unpaid")
    elif collection.can_pay(account, customer["id"]):
        payments.succeed(account, intent)
        complete(account, session, payment_status="paid")
    else:
        payments.decline(account, intent)
    return session


def pay(account: Account, customer: Thing, cents: int, metadata: dict[str, str]) -> Thing:
    """A payment intent by itself, as a form of one's own makes it."""
    intent = payments.create_intent(account, customer["id"], cents, metadata=metadata, description="Battery pack")
    (payments.succeed if collection.can_pay(account, customer["id"]) else payments.decline)(account, intent)
    return intent


def settle(account: Account, session: Thing, *, succeeded: bool = True) -> None:
    """What became of a delayed payment."""
    intent = account.store["payment_intent"].get(session["payment_intent"])
    if session["status"] != "complete" or intent["status"] != "processing":
        raise invalid(f"The session {session['id']} does not wait for its payment.")
    if succeeded:
        payments.succeed(account, intent)
        session["payment_status"] = "paid"
        account.emit("checkout.session.async_payment_succeeded", session)
    else:
        payments.decline(account, intent)
        account.emit("checkout.session.async_payment_failed", session)


def expire(account: Account, session: Thing) -> None:
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        )
    session |= {"status": "expired", "url": None}
    account.emit("checkout.session.expired", session)
