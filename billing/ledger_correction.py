"""What `audit_battery --fix` writes: the entry that is missing between a balance and its ledger.

The balance stands, for it is what the user sees and spends, and the entry tells of what changed it without one: type
`refund`, `amount` the difference between the balance and the sum of all entries, `balance_after` the balance. So a
correction never gives or takes a unit; what a race took from a user is given back by a grant, by a person who looked.
Where there is no battery at all, one is made with the sum of the entries.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable

import orjson

from billing import ledger_sql
from billing.ledger import send
from billing.ledger_chain import CORRECTION, Finding
from database.audit import Actor, entry
from database.transactions import Step

#: The findings that a correction settles. Others are for a person to look at.
SETTLED = ("chain", "balance", "no ledger", "no battery")

# Parameters: arrays of user and the beginning of the id; the mark. The difference is computed here, in the transaction:
# a second run at the same moment finds none, and what others posted since the audit changes nothing about it.
_INSERT = f"""
INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata, created_at)
WITH sums AS MATERIALIZED (
  SELECT a.value ->> 0 AS user_id, a.value ->> 1 AS beginning, b.user_id IS NOT NULL AS has_battery,
    coalesce(b.total_balance, 0) AS balance, count(t.id) AS entries,
    coalesce(sum(CASE WHEN typeof(t.amount) = 'integer' THEN t.amount END), 0) AS total
  FROM json_each(%s) a LEFT JOIN user_battery b ON b.user_id = a.value ->> 0
  LEFT JOIN battery_transactions t ON t.user_id = a.value ->> 0 GROUP BY a.key
),
differing AS MATERIALIZED (
  SELECT *, CASE WHEN has_battery THEN balance ELSE total END AS stands FROM sums
  WHERE typeof(balance) = 'integer' AND abs(balance) < {ledger_sql.TOO_LARGE}
    AND (has_battery OR EXISTS (SELECT 1 FROM users u WHERE u.id = sums.user_id))
)
SELECT beginning || ':' || entries, user_id, 'refund', stands - total, stands,
  json_object('correction', 'audit_battery', 'sum', total, 'balance', stands, 'post', %s), {ledger_sql.NOW}
FROM differing d WHERE stands <> total OR NOT EXISTS (
  SELECT 1 FROM battery_transactions t WHERE t.id >= d.beginning || ':' AND t.id < d.beginning || ';')
"""  # noqa: S608
_MINE = """
FROM json_each(%s) i JOIN battery_transactions t ON t.user_id = i.value ->> 0
WHERE t.id >= (i.value ->> 1) || ':' AND t.id < (i.value ->> 1) || ';' AND instr(t.metadata, %s) > 0
"""
# Makes the battery that is missing; one that is there keeps its balance.
_BATTERY = f"""
INSERT INTO user_battery (user_id, total_balance, daily_allowance, created_at, updated_at)
SELECT t.user_id, t.balance_after, 0, {ledger_sql.NOW}, {ledger_sql.NOW} {_MINE}
ON CONFLICT (user_id) DO UPDATE SET total_balance = excluded.total_balance, updated_at = excluded.updated_at
"""
_AUDIT = f"""
INSERT INTO audit_logs (id, userId, action, resourceType, resourceId, metadata, createdAt)
SELECT %s || t.id, t.user_id, 'battery.correction', 'battery_transactions', t.id,
  json_patch(%s, json_object('amount', t.amount,
    'before', json_object('sum_of_entries', t.balance_after - t.amount),
    'after', json_object('sum_of_entries', t.balance_after))), t.created_at
{_MINE}
"""


def correct(findings: Iterable[Finding], *, by: Actor) -> None:
    """Write the correcting entries for users with findings that one settles, in one transaction, once for each.

    Run again, or by two at once, it writes no second one: there is no difference any more.
    """
    of_users: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.kind in SETTLED and finding.user:
            of_users[finding.user].append(finding)
    wanted = orjson.dumps([(user, _beginning(user, found)) for user, found in of_users.items()]).decode()
    extra = orjson.dumps(entry("battery.correction", by=by, user_id=None).metadata).decode()
    mark = uuid.uuid4().hex

    def steps(attempt: int) -> list[Step]:
        own = f"{mark}.{attempt}"
        return [
            (_INSERT, [wanted, own]),
            (_BATTERY, [wanted, f'"{own}"']),
            (_AUDIT, [f"{own}.", extra, wanted, f'"{own}"']),
        ]

    if of_users:
        send(steps)


def _beginning(user: str, findings: list[Finding]) -> str:
    """The same for the same findings, so that a chain that is broken twice over is corrected once."""
    text = "\n".join(sorted(map(str, findings)))
    return f"{CORRECTION}{user}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
