"""The states of a subscription and the steps from one to the next."""

from __future__ import annotations

from typing import Any

from standins.stripe.account import Account
from standins.stripe.store import Thing, copy

ENDED = ("canceled", "incomplete_expired")


def set_status(account: Account, sub: Thing, status: str) -> None:
    account.change(sub, "customer.subscription.updated", status=status)


def set_period(account: Account, sub: Thing, start: int, end: int, **values: Any) -> None:
    """Moves every item to a period and plans its end."""
    items = copy(sub["items"])
    for item in items["data"]:
        item |= {"current_period_start": start, "current_period_end": end}
    account.change(sub, "customer.subscription.updated", items=items, **values)
    account.clock.plan(end, "renew", sub["id"])


def period(sub: Thing) -> tuple[int, int]:
    item = sub["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def end(account: Account, sub: Thing, *, reason: str = "cancellation_requested", at: int | None = None) -> None:
    """Canceled now. Open drafts stay as they are, as with Stripe."""
    now = at or account.clock.now()
    asked = sub["canceled_at"] if sub["cancel_at"] and sub["canceled_at"] else now
    sub |= {"status": "canceled", "canceled_at": asked, "ended_at": now}
    sub["cancellation_details"] |= {"reason": reason}
    account.emit("customer.subscription.deleted", sub)


def cancel_later(account: Account, sub: Thing, *, at: int | None = None, by_portal: bool = False) -> None:
    """At the period's end, or `at`. The customer's portal sets `cancel_at` and leaves the flag false."""
    flag = at is None and not by_portal
    moment = period(sub)[1] if at is None else at
    details = {**sub["cancellation_details"], "reason": "cancellation_requested"}
    account.change(
        sub, "customer.subscription.updated", cancel_at=moment, cancel_at_period_end=flag,
        canceled_at=account.clock.now(), cancellation_details=details,
    )  # fmt: skip
    account.clock.plan(moment, "cancel", sub["id"])


def keep(account: Account, sub: Thing) -> None:
    """Undo a cancellation that was to come."""
    details = {**sub["cancellation_details"], "reason": None}
    account.change(
        sub, "customer.subscription.updated", cancel_at=None, cancel_at_period_end=False, canceled_at=None,
        cancellation_details=details,
    )  # fmt: skip
