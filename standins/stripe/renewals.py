"""What time does: periods end, trials end, drafts are finalized, failed payments are tried again."""

from __future__ import annotations

from standins.stripe import checkout, collection, invoices, standing, subscriptions
from standins.stripe.account import Account
from standins.stripe.clock import add_interval
from standins.stripe.store import Thing


def advance(account: Account, until: int) -> None:
    """Moves the clock to `until` (Unix seconds), doing on the way, in order and at its time, all that falls due."""
    while due := account.clock.next_due(until):
        account.clock.set(max(due.at, account.clock.now()))
        _DEEDS[due.deed](account, due.id, due.at)
    account.clock.set(max(until, account.clock.now()))


def _renew(account: Account, id: str, at: int) -> None:
    sub = account.store["subscription"].find(id)
    if sub is None or standing.period(sub)[1] != at or sub["status"] in (*standing.ENDED, "paused", "incomplete"):
        return
    if sub["cancel_at"] and sub["cancel_at"] <= at:
        standing.end(account, sub, at=at)
    elif sub["status"] == "trialing" and sub["customer"] in account.cardless and _without_card(account, sub):
        return
    else:
        _next_period(account, sub, at)


def _without_card(account: Account, sub: Thing) -> bool:
    """A trial's end without a card: paused or canceled, or False where it goes on to an invoice."""
    wanted = sub["trial_settings"]["end_behavior"]["missing_payment_method"]
    if wanted == "pause":
        subscriptions.stop(account, sub)
    elif wanted == "cancel":
        standing.end(account, sub, reason="payment_failed")
    return wanted in ("pause", "cancel")


def _next_period(account: Account, sub: Thing, at: int) -> None:
    item = sub["items"]["data"][0]
    until = add_interval(at, item["price"]["recurring"]["interval"], anchor=sub["billing_cycle_anchor"])
    line = invoices.subscription_line(account, sub, item, item["price"]["unit_amount"], (at, until))
    customer = account.store["customer"].get(sub["customer"])
    lines = [*subscriptions.take_waiting(account, sub), line]
    frozen = sub["status"] == "unpaid" or bool(sub["pause_collection"])
    invoice = invoices.draft(account, customer, "subscription_cycle", lines, sub, auto_advance=not frozen)
    values = {"status": "active"} if sub["status"] == "trialing" else {}
    standing.set_period(account, sub, at, until, latest_invoice=invoice["id"], **values)
    if not frozen:
        account.clock.plan(at + invoices.HOUR, "finalize", invoice["id"])
    elif sub["pause_collection"]:
        _not_collected(account, invoice, sub["pause_collection"]["behavior"])


def _not_collected(account: Account, invoice: Thing, behavior: str) -> None:
    if behavior == "keep_as_draft":
        return
    invoices.finalize(account, invoice)
    (invoices.void if behavior == "void" else invoices.mark_uncollectible)(account, invoice)


def _finalize(account: Account, id: str, at: int) -> None:
    invoice = account.store["invoice"].get(id)
    sub = collection.subscription_of(account, invoice)
    if (
        invoice["status"] == "draft"
        and invoice["auto_advance"]
        and invoice["customer"] in account.store["customer"].rows
    ):
        collection.settle(account, invoice, attempt=sub is None or sub["status"] not in standing.ENDED)


def _retry(account: Account, id: str, at: int) -> None:
    invoice = account.store["invoice"].get(id)
    sub = collection.subscription_of(account, invoice)
    ended = sub is not None and sub["status"] in standing.ENDED
    if invoice["status"] == "open" and invoice["next_payment_attempt"] == at and not ended:
        collection.collect(account, invoice)


def _cancel(account: Account, id: str, at: int) -> None:
    sub = account.store["subscription"].find(id)
    if sub and sub["cancel_at"] == at and sub["status"] not in standing.ENDED:
        standing.end(account, sub, at=at)


def _expire(account: Account, id: str, at: int) -> None:
    sub = account.store["subscription"].find(id)
    if sub:
        collection.expire(account, sub)


def _warn(account: Account, id: str, at: int) -> None:
    sub = account.store["subscription"].find(id)
    if sub and sub["status"] == "trialing":
        account.emit("customer.subscription.trial_will_end", sub)


def _close(account: Account, id: str, at: int) -> None:
    session = account.store["checkout.session"].get(id)
    if session["status"] == "open":
        checkout.expire(account, session)


_DEEDS = {
    "renew": _renew, "finalize": _finalize, "retry": _retry, "cancel": _cancel, "expire": _expire, "warn": _warn,
    "close": _close,
}  # fmt: skip
