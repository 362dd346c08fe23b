"""Disputes: the money goes at once, and comes back when they are won."""

from __future__ import annotations

from standins.stripe import payments
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.errors import invalid
from standins.stripe.store import Thing, copy

FEE = 1_500  # cents, kept by Stripe whatever comes of it


def create(account: Account, charge: Thing, reason: str = "fraudulent") -> Thing:
    cents = charge["amount"] - charge["amount_refunded"]
    if cents <= 0 or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} cannot be disputed.")
    dispute = account.new(
        "dispute", amount=cents, charge=charge["id"], payment_intent=charge["payment_intent"], reason=reason
    )
    dispute["evidence_details"]["due_by"] = account.clock.now() + 9 * DAY
    taken = payments.book(account, "adjustment", dispute["id"], -cents, fee=FEE)
    charge["disputed"] = True
    account.emit("charge.dispute.created", dispute)
    account.emit("charge.updated", charge, {"disputed": False})
    dispute["balance_transactions"] = [copy(taken)]
    account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def answer(account: Account, dispute: Thing) -> None:
    """Evidence was sent; after a dispute was lost it is an appeal."""
    if dispute["status"] == "won":
        raise invalid(f"This dispute is already closed: {dispute['id']}")
    status = "appeal_under_review" if dispute["status"] == "lost" else "under_review"
    details = {**dispute["evidence_details"], "has_evidence": True, "submission_count": 1}
    account.change(dispute, "charge.dispute.updated", status=status, evidence_details=details)


def close(account: Account, dispute: Thing, *, won: bool) -> None:
    if dispute["status"] in ("won", "lost"):
        raise invalid(f"This dispute is already closed: {dispute['id']}")
    previous = {"status": dispute["status"]}
    dispute["status"] = "won" if won else "lost"
    if won:
        given = payments.book(account, "adjustment", dispute["id"], dispute["amount"])
        dispute["balance_transactions"].append(copy(given))
        account.emit("charge.dispute.funds_reinstated", dispute)
    account.emit("charge.dispute.closed", dispute, previous)
