"""A handful of odd rows, as live databases have them: what staff has to see marked, and never as an error page."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import connections

from chat.demo import ID_PREFIX
from database.router import OMNICHAT

_EARLY, _TORN, _GONE = f"{ID_PREFIX}0dd1", f"{ID_PREFIX}0dd2", f"{ID_PREFIX}0dd9"

#: (table, cells). A row comes after the rows that it points to.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    # The third form of a moment, from the app's first days, and nothing where something is expected.
    ("users", {"id": _EARLY, "email": "early.adopter@example.com", "createdAt": "1700000000", "updatedAt": None}),
    # Paid, with a subscription that says otherwise, and a moment that no calendar has.
    ("users", {
        "id": _TORN, "email": "two.minds@example.com", "name": "Two Minds", "createdAt": "2026-02-31 25:61",
        "tier": "paid", "subscriptionStatus": "active", "subscriptionId": "sub_1Qodd",
        "stripeCustomerId": "cus_1Qodd",
    }),
    ("user_subscriptions", {
        "id": "odd-subscription", "user_id": _TORN, "plan_id": "power", "stripe_subscription_id": "sub_1Qodd",
        "stripe_customer_id": "cus_1Qodd", "status": "canceled",
    }),
    ("conversations", {"id": "odd-conversation", "userId": _EARLY, "title": None, "createdAt": "yesterday"}),
    ("messages", {
        "id": "odd-message", "conversationId": "odd-conversation", "role": "user", "content": "",
        "metadata": '{"attachments": [',
    }),
    # A ledger whose last entry and balance disagree, by a type that the app added.
    ("user_battery", {"user_id": _TORN, "total_balance": 100, "last_daily_reset": "never"}),
    ("battery_transactions", {
        "id": "odd-transaction", "user_id": _TORN, "type": "subscription_upgrade", "amount": 90, "balance_after": 90,
    }),
    # The account that it tells of is gone; no key stands on this column.
    ("audit_logs", {"id": "odd-entry", "userId": _GONE, "action": "users.delete", "metadata": "none"}),
)  # fmt: skip


def add(day: date) -> int:
    """Adds what of the odd rows is not there yet, as of `day`; returns how many there are in all."""
    with connections[OMNICHAT].cursor() as cursor:
        for table, cells in ROWS:
            created = "createdAt" if table in ("users", "conversations", "messages", "audit_logs") else "created_at"
            cells = {created: f"{day} 00:00:00", **cells}
            names, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
            cursor.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", list(cells.values()))  # noqa: S608
    return len(ROWS)
