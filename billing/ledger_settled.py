"""Causes that are settled without an entry of ours: credited by the OmniChat app itself, or with nothing left to take.

Each is noted in `audit_logs` under `settled:CAUSE`, in the transaction that finds it so. From then on the cause never
gets an entry, and the app's row counts for no other cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from database.instants import EXPRESSION, next_text, shortest_text

CREDITED_BY_APP, NOTHING_TAKEN = "battery.credited_by_app", "battery.nothing_taken"
#: So far from the payment the app may have written its own row.
WITHIN = timedelta(days=1)


@dataclass(frozen=True)
class Settlement:
    """How a cause may be settled without an entry.

    A credit: by a row of the app's of the same payment intent, or of the same user, units and one of `types` within a
    day of `paid_at`, that no other cause has taken. A debit that is clipped: by a balance that is 0 or less. Without
    `paid_at` no row of the app's is looked for.
    """

    paid_at: datetime | None = None
    types: tuple[str, ...] = ()

    def cells(self) -> list[Any]:
        if self.paid_at is None:
            return [None, None, list(self.types)]
        return [shortest_text(self.paid_at - WITHIN), next_text(self.paid_at + WITHIN), list(self.types)]


# Rows of ours carry the mark of their posting; the app's do not.
_FREE = f"""t.user_id = a.user_id AND t.amount > 0 AND coalesce(instr(t.metadata, '"post":'), 0) = 0
  AND NOT EXISTS (SELECT 1 FROM audit_logs n WHERE n.resourceId = t.id AND n.action = '{CREDITED_BY_APP}')"""  # noqa: S608
_AT = EXPRESSION.format(c="t.created_at")

_OPEN = f"""
WITH asked AS MATERIALIZED (
  SELECT value ->> 0 AS id, value ->> 1 AS user_id, value ->> 2 AS amount, value ->> 3 AS intent,
    value ->> 4 AS policy, value ->> 5 AS earliest, value ->> 6 AS latest, value -> 7 AS types,
    value -> 8 AS audit
  FROM json_each(%s)
),
open AS MATERIALIZED (
  SELECT a.*, coalesce(b.total_balance, 0) AS balance,
    CASE WHEN a.amount > 0 AND a.earliest IS NOT NULL THEN coalesce(
      (SELECT t.id FROM battery_transactions t WHERE t.stripe_payment_intent_id = a.intent AND {_FREE}
        ORDER BY t.rowid LIMIT 1),
      (SELECT t.id FROM battery_transactions t WHERE {_FREE} AND t.amount = a.amount
        AND (t.stripe_payment_intent_id IS NULL OR a.intent IS NULL)
        AND {_AT} >= a.earliest AND {_AT} < a.latest
        AND t.type IN (SELECT value FROM json_each(a.types)) ORDER BY t.rowid LIMIT 1)) END AS row_id
  FROM asked a JOIN users u ON u.id = a.user_id LEFT JOIN user_battery b ON b.user_id = a.user_id
  WHERE NOT EXISTS (SELECT 1 FROM battery_transactions t WHERE t.id = a.id)
    AND NOT EXISTS (SELECT 1 FROM audit_logs n WHERE n.id = 'settled:' || a.id)
)
"""  # noqa: S608

#: Parameters: arrays of id, user, amount, payment intent, policy, from, until, types, audit; the metadata of all.
NOTE = f"""
INSERT INTO audit_logs (id, userId, action, resourceType, resourceId, metadata, createdAt)
{_OPEN}
SELECT 'settled:' || id, user_id, CASE WHEN row_id IS NULL THEN '{NOTHING_TAKEN}' ELSE '{CREDITED_BY_APP}' END,
  'battery_transactions', coalesce(row_id, id),
  json_patch(json_patch(%s, audit), json_object('cause', id, 'amount', amount)),
  strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now')
FROM open WHERE row_id IS NOT NULL
  OR amount < 0 AND policy = 'clip' AND typeof(balance) = 'integer' AND balance <= 0
"""  # noqa: S608

#: Parameter: the arrays of `NOTE`. Rows: cause, the app's row that would count for it.
FOUND = f"{_OPEN} SELECT id, row_id FROM open WHERE row_id IS NOT NULL"  # noqa: S608

#: Parameter: pairs of id and user. Rows: place, the action of the note, the row it names.
SETTLED = """
SELECT i.key, n.action, n.resourceId FROM json_each(%s) i JOIN audit_logs n ON n.id = 'settled:' || (i.value ->> 0)
"""
