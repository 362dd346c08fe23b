"""What the accounts of the demo pay for and how their battery went: subscriptions, balances and ledgers that agree."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from chat.demo import DAY, Account, Calendar, Rows, Use, stripe_id
from chat.demo_texts import pick

COLUMNS = {
    "user_subscriptions": (
        "id", "user_id", "plan_id", "stripe_customer_id", "stripe_subscription_id", "status",
        "current_period_start", "current_period_end", "cancel_at", "canceled_at", "trial_end",
        "created_at", "updated_at",
    ),
    "user_battery": (
        "user_id", "total_balance", "daily_allowance", "last_daily_reset", "created_at", "updated_at",
    ),
    "battery_transactions": (
        "id", "user_id", "type", "amount", "balance_after", "stripe_payment_intent_id", "metadata", "created_at",
    ),
}  # fmt: skip

#: Units a month and units a day, as the SQL migrations have them.
PLANS = {"starter": (6_000, 200), "daily": (18_000, 600), "power": (45_000, 1_500), "ultimate": (150_000, 5_000)}
# Most people take the small plans.
_CHOSEN = ("starter", "starter", "starter", "daily", "daily", "power", "power", "ultimate")
MONTH, YEAR, TRIAL = 30 * DAY, 365 * DAY, 14 * DAY
WELCOME, TOP_UP = 500, 5_000


@dataclass(slots=True)
class Subscription:
    """Moments in seconds of the calendar. `paid_at` are those at which an invoice credited the plan's units."""

    plan: str
    annual: bool
    started_at: int
    period_start: int
    period_end: int
    paid_at: list[int]
    cancel_at: int | None = None
    canceled_at: int | None = None
    trial_end: int | None = None


@dataclass(slots=True)
class Entry:
    """One entry of the ledger before its place in the chain is known."""

    at: int
    type: str
    amount: int
    metadata: dict[str, Any]
    payment_intent: str | None = None


def subscription(account: Account) -> Subscription | None:
    """What the account's status says about its subscription; None where it never had one."""
    rng, plan = account.rng, pick(account.rng, _CHOSEN)
    now = Calendar.now
    if account.status == "inactive":
        return None
    if account.status == "trialing":
        started = now - rng.randrange(DAY, TRIAL)
        return Subscription(plan, False, started, started, started + TRIAL, [], trial_end=started + TRIAL)
    if account.status == "incomplete":
        started = now - rng.randrange(DAY // 24, DAY)
        return Subscription(plan, False, started, started, started + MONTH, [])
    return _renewed(account, plan)


def _renewed(account: Account, plan: str) -> Subscription:
    """A subscription that went through its periods: it still does, or could not be paid, or was canceled."""
    rng, now = account.rng, Calendar.now
    annual = account.status == "active" and rng.random() < 0.2
    length = YEAR if annual else MONTH
    started = rng.randrange(account.created_at, now - MONTH // 2)
    ended = now if account.status != "canceled" else rng.randrange(started + DAY, now)
    paid_at = list(range(started, ended, length))
    result = Subscription(plan, annual, started, paid_at[-1], paid_at[-1] + length, paid_at)
    if account.status == "past_due" and len(paid_at) > 1:
        paid_at.pop()
    if account.status == "canceled":
        result.period_end = min(result.period_end, now)
        result.canceled_at, result.cancel_at = ended, result.period_end
    elif account.status == "active" and rng.random() < 0.05:
        result.cancel_at = result.period_end
    return result


def subscription_row(account: Account, sub: Subscription, calendar: Calendar) -> list[Any]:
    def text(at: int | None) -> str | None:
        return None if at is None else calendar.text(at)

    return [
        account.new_id(), account.id, sub.plan, account.customer, account.subscription, account.status,
        text(sub.period_start), text(sub.period_end), text(sub.cancel_at), text(sub.canceled_at),
        text(sub.trial_end), text(sub.started_at), text(sub.canceled_at or sub.period_start),
    ]  # fmt: skip


def books(account: Account, calendar: Calendar, used: list[Use], rows: Rows) -> None:
    """Adds the subscription, the ledger and the balance that the last entry left."""
    sub = subscription(account)
    if sub:
        rows["user_subscriptions"].append(subscription_row(account, sub, calendar))
    balance = 0
    written = account.created_at - 1
    for entry in _entries(account, sub, used):
        balance += entry.amount
        # A second of its own for each entry, so that the order of time is the order of the chain.
        written = max(entry.at, written + 1)
        rows["battery_transactions"].append([
            account.new_id(), account.id, entry.type, entry.amount, balance, entry.payment_intent,
            orjson.dumps(entry.metadata).decode(), calendar.text(written),
        ])  # fmt: skip
    allowance = PLANS[sub.plan][1] if sub and account.status in ("active", "trialing") else 0
    reset = calendar.day(written) if allowance else None
    opened, updated = calendar.text(account.created_at), calendar.text(written)
    rows["user_battery"].append([account.id, balance, allowance, reset, opened, updated])


def _entries(account: Account, sub: Subscription | None, used: list[Use]) -> list[Entry]:
    """Credits and usage in order of time, with a top-up wherever the balance would not have been enough."""
    planned = [Entry(account.created_at, "bonus", WELCOME, {"reason": "welcome"})]
    planned += _invoices(account.rng, sub) if sub else []
    planned += [
        Entry(use.at, "usage", -use.units, {"model": use.model, "message_id": use.message}) for use in used if use.units
    ]
    planned.sort(key=lambda entry: entry.at)
    entries: list[Entry] = []
    balance = 0
    for entry in planned:
        if balance + entry.amount < 0:
            entries.append(_top_up(account, entry.at - 1))
            balance += entries[-1].amount
        entries.append(entry)
        balance += entry.amount
        if entry.type == "usage" and account.rng.random() < 0.002:
            entries.append(Entry(entry.at + 1, "refund", -entry.amount, {"reason": "the answer was cut off"}))
            balance -= entry.amount
    return entries


def _invoices(rng: Random, sub: Subscription) -> list[Entry]:
    units = PLANS[sub.plan][0] * (12 if sub.annual else 1)
    reasons = ["subscription_create"] + ["subscription_cycle"] * len(sub.paid_at)
    return [
        Entry(at, "subscription", units, {"invoice": stripe_id(rng, "in"), "billing_reason": reason, "plan": sub.plan})
        for at, reason in zip(sub.paid_at, reasons, strict=False)
    ]


def _top_up(account: Account, at: int) -> Entry:
    if account.customer:
        return Entry(at, "purchase", TOP_UP, {"units": TOP_UP}, stripe_id(account.rng, "pi"))
    return Entry(at, "bonus", WELCOME, {"reason": "free units"})
