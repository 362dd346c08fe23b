"""The ledgers in a backup, audited as those of the live database are."""

from __future__ import annotations

from collections import Counter

from django.db import connections

from billing.ledger_audit import audit_ledgers
from database.router import OMNICHAT
from database.words import counted


def audit_backup() -> list[str]:
    """Parts of a sentence about the ledgers in `omnichat`, which is a restored backup; none where they are right."""
    there = set(connections[OMNICHAT].introspection.table_names())
    if not {"battery_transactions", "user_battery", "api_usage", "daily_usage_summary"} <= there:
        return []
    drift = audit_ledgers().drift
    if not drift:
        return []
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(Counter(each.kind for each in drift).items()))
    return [f"the audit of its ledgers has {counted(len(drift), 'finding')} ({kinds}), see docs/battery.md"]
