"""What a verification checks of billing's tables: Stripe's ids, and users beside their subscriptions.

A user is `paid` while a subscription is active or trialing, and else `free`; `users.subscriptionStatus` says what the
subscription says. With several, the one that is active or trialing counts, then the one that the user's row names,
then the one whose period ends last. Where none is in force, `inactive` is as right as the status of the last one.
"""

from __future__ import annotations

from typing import Any

from database.oddities import register_ids
from database.verification import Context, Finding, register_check

#: So many pairs that disagree are in the JSON; all are counted.
LISTED = 1000

_IN_FORCE = "('active', 'trialing')"
_HELD = f"""
WITH ranked AS (
  SELECT s.user_id, s.status, row_number() OVER (PARTITION BY s.user_id ORDER BY
    coalesce(s.status, '') IN {_IN_FORCE} DESC, coalesce(s.stripe_subscription_id = u.subscriptionId, 0) DESC,
    datetime(s.current_period_end) DESC, s.id) AS place
  FROM user_subscriptions s JOIN users u ON u.id = s.user_id
),
held AS (SELECT user_id, status FROM ranked WHERE place = 1),
pairs AS (
  SELECT u.id, u.email, u.tier, u.subscriptionStatus AS told, h.status AS held,
    h.user_id IS NOT NULL AS has_one, coalesce(h.status, '') IN {_IN_FORCE} AS pays
  FROM users u LEFT JOIN held h ON h.user_id = u.id
),
judged AS (
  SELECT *, coalesce(tier, 'free') <> CASE WHEN pays THEN 'paid' ELSE 'free' END AS wrong_tier,
    CASE WHEN has_one THEN told IS NOT held AND NOT (held = 'canceled' AND told IS 'inactive')
    ELSE coalesce(told, 'inactive') <> 'inactive' END AS wrong_status
  FROM pairs
)
"""  # noqa: S608
_DISAGREEING = f"""{_HELD}
SELECT id, email, tier, told, held, wrong_tier, wrong_status, count(*) OVER () FROM judged
WHERE wrong_tier OR wrong_status LIMIT {LISTED}
"""  # noqa: S608
_OTHERS = f"""{_HELD}
SELECT id, email, tier, told, held FROM judged WHERE NOT wrong_tier AND NOT wrong_status LIMIT %s
"""  # noqa: S608

_NEEDED = {
    "users": ("id", "email", "tier", "subscriptionStatus", "subscriptionId"),
    "user_subscriptions": ("id", "user_id", "status", "stripe_subscription_id", "current_period_end"),
}


def register() -> None:
    register_ids("subscription_plans", stripe_price_id_monthly="price", stripe_price_id_annual="price")
    register_ids("user_subscriptions", stripe_customer_id="cus", stripe_subscription_id="sub")
    register_ids("battery_transactions", stripe_payment_intent_id="pi")
    register_check("pairs", pair_users_with_subscriptions)


def pair_users_with_subscriptions(context: Context) -> Finding:
    """The table of users beside their subscriptions, the pairs that disagree first. Two queries."""
    if not all(context.has(table, *columns) for table, columns in _NEEDED.items()):
        lines = ["Users and subscriptions cannot be paired: columns are missing, see above."]
        return Finding({"mismatches": [], "mismatch_count": 0, "users": []}, lines)
    with context.connection.cursor() as cursor:
        cursor.execute(_DISAGREEING)
        rows = cursor.fetchall()
        count = rows[0][-1] if rows else 0
        cursor.execute(_OTHERS, [max(0, context.limit - len(rows))])
        others = [_pair(row) for row in cursor.fetchall()]
    mismatches = [_pair(row) | {"problem": _problem(*row[2:7])} for row in rows]
    data = {"mismatches": mismatches, "mismatch_count": count, "users": others}
    problem = f"users whose subscriptions disagree: {count:,}" if count else None
    shown = [*mismatches, *others][: context.limit]
    lines = list(_table(shown))
    if more := context.rows.get("users", 0) - len(shown):
        lines.append(f"and {more:,} more users, {max(0, count - len(shown)):,} of them in disagreement: see --limit")
    return Finding(data, lines, problem)


def _pair(row: Any) -> dict[str, Any]:
    user, email, tier, told, held = row[:5]
    return {"user": user, "email": email, "tier": tier, "subscription_status": told, "held_status": held}


def _problem(tier: Any, told: Any, held: Any, wrong_tier: int, wrong_status: int) -> str:
    holds = f"the subscription is {held}" if held else "there is no subscription"
    parts = [f"tier is {tier or 'free'}"] if wrong_tier else []
    parts += [f"subscriptionStatus is {told or 'empty'}"] if wrong_status else []
    return f"{' and '.join(parts)}, and {holds}"


def _table(pairs: list[dict[str, Any]]) -> list[str]:
    """Fixed columns, as wide as the widest value up to 40 characters."""
    heads = ("user", "email", "tier", "subscription_status", "held_status", "problem")
    titles = ("user", "email", "tier", "status", "subscription", "")
    rows = [titles, *(tuple(_cell(pair.get(head), head) for head in heads) for pair in pairs)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(value: Any, head: str) -> str:
    text = str(value) if value is not None else "" if head == "problem" else "-"
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if head == "problem" or len(text) <= 40 else f"{text[:39]}…"
