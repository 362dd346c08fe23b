"""Taking the money of an invoice, and what success and failure do to the subscription."""

from __future__ import annotations

from standins.stripe import invoices, payments, standing
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.store import Thing

RETRY_DAYS = (3, 5, 7)  # after the first failure of a renewal; then `account.after_dunning`
INCOMPLETE_HOURS = 23


def can_pay(account: Account, customer_id: str) -> bool:
    return customer_id not in account.declining and customer_id not in account.cardless


def settle(account: Account, invoice: Thing, *, attempt: bool = True) -> bool:
    """Finalizes a draft, and pays it if the card lets it. False where the payment failed or was not tried."""
    if invoice["status"] == "draft":
        invoices.finalize(account, invoice)
    if not invoice["amount_due"]:
        invoices.mark_paid(account, invoice)
        _succeeded(account, invoice)
        return True
    return attempt and collect(account, invoice)


def settle_out_of_band(account: Account, invoice: Thing) -> None:
    """Marked paid outside of Stripe: no charge, no payment."""
    if invoice["status"] == "draft":
        invoices.finalize(account, invoice)
    invoices.mark_paid(account, invoice, out_of_band=True)
    _succeeded(account, invoice)


def collect(account: Account, invoice: Thing) -> bool:
    """One attempt at an open invoice."""
    intent = invoices.intent_of(account, invoice)
    if intent is None:
        raise RuntimeError(f"the open invoice {invoice['id']} has no payment intent")
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if can_pay(account, invoice["customer"]):
        payments.succeed(account, intent)
        invoices.mark_paid(account, invoice)
        _succeeded(account, invoice)
        return True
    payments.decline(account, intent)
    _failed(account, invoice)
    return False


def subscription_of(account: Account, invoice: Thing) -> Thing | None:
    details = (invoice["parent"] or {}).get("subscription_details")
    return account.store["subscription"].find(details["subscription"]) if details else None


def _succeeded(account: Account, invoice: Thing) -> None:
    customer = account.store["customer"].find(invoice["customer"])
    if customer:
        account.change(customer, "customer.updated", delinquent=False)
    sub = subscription_of(account, invoice)
    if sub and sub["status"] in ("incomplete", "past_due", "unpaid") and sub["latest_invoice"] == invoice["id"]:
        standing.set_status(account, sub, "active")


def _failed(account: Account, invoice: Thing) -> None:
    sub = subscription_of(account, invoice)
    if sub and invoice["billing_reason"] != "subscription_create":
        _plan_retry(account, invoice)
    account.emit("invoice.payment_failed", invoice)
    customer = account.store["customer"].find(invoice["customer"])
    if customer:
        account.change(customer, "customer.updated", delinquent=True)
    if sub and sub["status"] in ("active", "trialing"):
        standing.set_status(account, sub, "past_due")
    if sub and sub["status"] == "past_due" and invoice["next_payment_attempt"] is None:
        _give_up(account, sub)


def _plan_retry(account: Account, invoice: Thing) -> None:
    failures = invoice["attempt_count"]
    again = account.clock.now() + RETRY_DAYS[failures - 1] * DAY if failures <= len(RETRY_DAYS) else None
    invoice["next_payment_attempt"] = again
    if again:
        account.clock.plan(again, "retry", invoice["id"])


def _give_up(account: Account, sub: Thing) -> None:
    if account.after_dunning == "canceled":
        standing.end(account, sub, reason="payment_failed")
    elif account.after_dunning == "unpaid":
        standing.set_status(account, sub, "unpaid")


def expire(account: Account, sub: Thing) -> None:
    """23 hours after a first payment that never came."""
    if sub["status"] != "incomplete":
        return
    for invoice in account.store["invoice"].of("subscription", sub["id"]):
        if invoice["status"] == "open":
            invoices.void(account, invoice)
    now = account.clock.now()
    account.change(sub, "customer.subscription.updated", status="incomplete_expired", ended_at=now)
