"""Refunds, whole and in parts."""

from __future__ import annotations

from standins.stripe import payments
from standins.stripe.account import Account
from standins.stripe.errors import StripeError, invalid
from standins.stripe.store import Thing


def charge_of(account: Account, intent: Thing) -> Thing:
    charge = account.store["charge"].find(str(intent["latest_charge"]))
    if charge is None or intent["status"] != "succeeded":
        raise invalid(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
    return charge


def create(
    account: Account, charge: Thing, cents: int | None = None, *, reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Thing:  # fmt: skip
    """Of what is left by default.

    Raises:
        StripeError: all of it is refunded already, or less is left than is asked for.
    """
    left = charge["amount"] - charge["amount_refunded"]
    if left <= 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeError(message, code="charge_already_refunded")
    if charge["disputed"] and not _won(account, charge):
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    if cents is not None and not 0 < cents <= left:
        message = (
            f"Refund amount (${(cents or 0) / 100:.2f}) is greater than unrefunded amount on charge (${left / 100:.2f})"
        )
        raise invalid(message, "amount", "amount_too_large" if cents > 0 else "parameter_invalid_integer")
    return _book(account, charge, cents or left, reason, metadata or {})


def _won(account: Account, charge: Thing) -> bool:
    return all(each["status"] == "won" for each in account.store["dispute"].of("charge", charge["id"]))


def _book(account: Account, charge: Thing, cents: int, reason: str | None, metadata: dict[str, str]) -> Thing:
    refund = account.new(
        "refund", amount=cents, charge=charge["id"], payment_intent=charge["payment_intent"], reason=reason,
        metadata=metadata, currency=charge["currency"],
    )  # fmt: skip
    refund["balance_transaction"] = payments.book(account, "refund", refund["id"], -cents)["id"]
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += cents
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    account.emit("refund.created", refund)
    account.emit("charge.refunded", charge, {k: v for k, v in before.items() if charge[k] != v})
    account.change(refund, None, destination_details={
        "card": {"reference": "123456789012", "reference_status": "available", "type": "refund"}, "type": "card",
    })  # fmt: skip
    account.emit("refund.updated", refund, {"destination_details": {"card": {"reference_status": "pending"}}})
    account.emit("charge.refund.updated", refund, {"destination_details": {"card": {"reference_status": "pending"}}})
    return refund


def fail(account: Account, refund: Thing) -> None:
    """The bank sends the money back: the charge is no longer refunded by it."""
    charge = account.store["charge"].get(refund["charge"])
    back = payments.book(account, "refund_failure", refund["id"], refund["amount"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    refund |= {
        "status": "failed",
        "failure_reason": "expired_or_canceled_card",
        "failure_balance_transaction": back["id"],
    }
    account.emit("refund.failed", refund)
    account.emit("refund.updated", refund, {"status": "succeeded"})
    account.emit("charge.refund.updated", refund, {"status": "succeeded"})
