"""Payment intents and their charges."""

from __future__ import annotations

from typing import Any

from standins.stripe.account import Account
from standins.stripe.store import Thing


def create_intent(account: Account, customer: str | None, cents: int, **values: Any) -> Thing:
    intent = account.new("payment_intent", customer=customer, amount=cents, **values)
    intent["client_secret"] = f"{intent['id']}_secret_{account.random.randrange(16**16):016x}"
    account.emit("payment_intent.created", intent)
    return intent


def card_of(account: Account, customer: Thing) -> str:
    """The id of the customer's card, which is made when it is first used."""
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] is None:
        method = account.new("payment_method", customer=customer["id"])
        account.emit("payment_method.attached", method)
        changed = {**settings, "default_payment_method": method["id"]}
        account.change(customer, "customer.updated", invoice_settings=changed, currency="usd")
    return str(customer["invoice_settings"]["default_payment_method"])


def succeed(account: Account, intent: Thing) -> Thing:
    """The money is there; the charge."""
    charge = _charge(account, intent)
    transaction = book(account, "charge", charge["id"], charge["amount"], fee=round(charge["amount"] * 0.029) + 30)
    charge["balance_transaction"] = transaction["id"]
    account.emit("charge.succeeded", charge)
    intent["payment_method"] = charge["payment_method"]
    intent |= {
        "status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"],
        "last_payment_error": None, "next_action": None,
    }  # fmt: skip
    account.emit("payment_intent.succeeded", intent)
    return charge


def decline(account: Account, intent: Thing) -> Thing:
    """The card says no; the failed charge."""
    outcome = {
        "advice_code": "try_again_later", "network_advice_code": None, "network_decline_code": "05",
        "network_status": "declined_by_network", "reason": "generic_decline",
        "seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined",
    }  # fmt: skip
    charge = _charge(
        account, intent, status="failed", paid=False, captured=False, amount_captured=0, outcome=outcome,
        failure_code="card_declined", failure_message="Your card was declined.",
    )  # fmt: skip
    account.emit("charge.failed", charge)
    intent |= {
        "status": "requires_payment_method", "latest_charge": charge["id"], "last_payment_error": {
            "charge": charge["id"], "code": "card_declined", "decline_code": "generic_decline",
            "message": "Your card was declined.", "type": "card_error",
        },
    }  # fmt: skip
    account.emit("payment_intent.payment_failed", intent)
    return charge


def cancel(account: Account, intent: Thing, reason: str = "void_invoice") -> None:
    intent |= {"status": "canceled", "canceled_at": account.clock.now(), "cancellation_reason": reason}
    account.emit("payment_intent.canceled", intent)


def book(account: Account, kind: str, source: str, cents: int, *, fee: int = 0) -> Thing:
    """A movement of the account's balance, in cents."""
    now = account.clock.now()
    return account.new(
        "balance_transaction", type=kind, source=source, amount=cents, fee=fee, net=cents - fee, available_on=now,
        reporting_category={"adjustment": "dispute", "refund_failure": "refund_failure"}.get(kind, kind),
    )  # fmt: skip


def _charge(account: Account, intent: Thing, **values: Any) -> Thing:
    customer = account.store["customer"].find(intent["customer"]) if intent["customer"] else None
    given = {
        "amount": intent["amount"], "amount_captured": intent["amount"], "customer": intent["customer"],
        "payment_intent": intent["id"], "description": intent["description"], "metadata": dict(intent["metadata"]),
        "payment_method": card_of(account, customer) if customer else None,
    }  # fmt: skip
    charge = account.new("charge", **(given | values))
    if customer:
        charge["billing_details"] |= {"email": customer["email"], "name": customer["name"]}
    return charge
