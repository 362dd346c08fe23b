"""The rows of battery_transactions that every client writes, the same for the same prefix."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

COLUMNS = (
    "id", "user_id", "type", "amount", "balance_after", "stripe_payment_intent_id", "metadata", "created_at",
)  # fmt: skip
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def values(key: str, number: int = 0) -> dict[str, Any]:
    """One row as Python has it: a dict of metadata, an aware datetime."""
    return {
        "id": key,
        "user_id": f"user_{number % 1000:024}",
        "type": "usage",
        "amount": -(number % 40) - 1,
        "balance_after": 6000 - number % 6000,
        "stripe_payment_intent_id": None,
        "metadata": {"model": "gpt-5-mini", "input_tokens": number % 900, "output_tokens": number % 300},
        "created_at": FIRST + timedelta(seconds=number),
    }


def cells(key: str, number: int = 0) -> list[Any]:
    """The same row as the columns hold it, in the order of COLUMNS."""
    row = values(key, number)
    row["metadata"] = json.dumps(row["metadata"], separators=(",", ":"))
    row["created_at"] = row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return list(row.values())


def key(prefix: str, number: int) -> str:
    return f"bt_{prefix}_{number:024}"
