"""The statements of the ledger, for SQLite and D1 alike. Each takes thousands of entries as one JSON parameter."""

from __future__ import annotations

#: From here on JavaScript, and so the OmniChat app and D1's answers, cannot tell whole numbers apart.
TOO_LARGE = 2**53
# The clock of the database, inside the transaction: nobody who waited for the lock writes a time from before it.
NOW = "strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now')"

#: Parameters: the entries as arrays of id, user, type, amount, payment intent, metadata, policy, whether its cause may
#: be settled otherwise (`ledger_settled`), the day on which a reset was not to be yet; the mark.
INSERT = f"""
INSERT INTO battery_transactions
  (id, user_id, type, amount, balance_after, stripe_payment_intent_id, metadata, created_at)
WITH asked AS MATERIALIZED (
  SELECT value ->> 0 AS id, value ->> 1 AS user_id, value ->> 2 AS type, value ->> 3 AS amount,
    value ->> 4 AS intent, value ->> 5 AS metadata, value ->> 6 AS policy,
    value ->> 7 AS may_be_settled, value ->> 8 AS unless_reset_on
  FROM json_each(%s)
),
judged AS MATERIALIZED (
  SELECT asked.*, coalesce(b.total_balance, 0) AS balance,
    CASE WHEN amount > 0 OR policy <> 'clip' THEN amount ELSE max(amount, -max(coalesce(b.total_balance, 0), 0)) END
      AS moved
  FROM asked JOIN users u ON u.id = asked.user_id LEFT JOIN user_battery b ON b.user_id = asked.user_id
  WHERE NOT EXISTS (SELECT 1 FROM battery_transactions t WHERE t.id = asked.id)
    AND NOT (may_be_settled AND EXISTS (SELECT 1 FROM audit_logs n WHERE n.id = 'settled:' || asked.id))
    AND (unless_reset_on IS NULL OR coalesce(date(b.last_daily_reset), '') <> unless_reset_on)
    AND (b.total_balance IS NULL OR typeof(b.total_balance) = 'integer' AND abs(b.total_balance) < {TOO_LARGE})
)
SELECT id, user_id, type, moved, balance + moved, intent,
  json_patch(metadata, json_object('post', %s,
    'asked', CASE WHEN moved <> amount THEN amount END,
    'overdrawn', CASE WHEN amount < 0 AND balance + moved < 0 THEN json('true') END)),
  {NOW}
FROM judged WHERE moved <> 0 AND (amount > 0 OR policy <> 'refuse' OR balance + moved >= 0)
"""  # noqa: S608

_MINE = """
FROM json_each(%s) AS i JOIN battery_transactions t ON t.id = i.value ->> 0
WHERE instr(t.metadata, %s) > 0
"""

#: Parameters: pairs of id and user; the mark in quotes. Only rows of this very attempt move the balance.
UPSERT = f"""
INSERT INTO user_battery (user_id, total_balance, daily_allowance, created_at, updated_at)
SELECT t.user_id, t.balance_after, coalesce((
    SELECT max(p.daily_battery) FROM user_subscriptions s JOIN subscription_plans p ON p.id = s.plan_id
    WHERE s.user_id = t.user_id AND s.status IN ('active', 'trialing')), 0), {NOW}, {NOW}
{_MINE}
ON CONFLICT (user_id) DO UPDATE SET total_balance = excluded.total_balance, updated_at = excluded.updated_at
"""  # noqa: S608

#: Parameters: the beginning of the ids; the metadata of all; arrays of id, user and the entry's own metadata; the mark
#: in quotes.
AUDIT = f"""
INSERT INTO audit_logs (id, userId, action, resourceType, resourceId, metadata, createdAt)
SELECT %s || i.key, t.user_id, 'battery.' || t.type, 'battery_transactions', t.id,
  json_patch(json_patch(%s, i.value -> 2), json_object('amount', t.amount,
    'before', json_object('total_balance', t.balance_after - t.amount),
    'after', json_object('total_balance', t.balance_after))),
  t.created_at
{_MINE}
"""

#: Parameters: the mark of the call; pairs. Rows: place, the row as JSON, whether the call made it, user, balance.
OUTCOMES = """
SELECT i.key, CASE WHEN t.id IS NOT NULL THEN json_array(t.user_id, t.type, t.amount, t.balance_after) END,
  coalesce(instr(t.metadata, %s) > 0, 0), u.id IS NOT NULL, b.total_balance
FROM json_each(%s) AS i LEFT JOIN battery_transactions t ON t.id = i.value ->> 0
LEFT JOIN users u ON u.id = i.value ->> 1 LEFT JOIN user_battery b ON b.user_id = i.value ->> 1
"""
