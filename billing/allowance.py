"""The daily allowance: once for each UTC day to every user whose subscription is active or trialing.

How much: the user's `daily_allowance`; where that is empty, or there is no battery yet, the largest `daily_battery`
among the plans of the user's subscriptions in force. 0 is 0. Several subscriptions are one allowance.

A day counts as given once `last_daily_reset` is that day (the OmniChat app may have given it) or the ledger has its
entry. So does an earlier day than `last_daily_reset`, unless an entry tells that the reset had passed over it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from django.db import connections

from billing.ledger import LARGEST, Entry, State, post
from billing.models import TransactionType
from database.audit import Actor
from database.router import OMNICHAT
from database.transactions import Step
from database.values import read_day

#: Users of one transaction.
PORTION = 5_000
#: Missed days are named so far back, counted from the day that is given.
NAMED_DAYS = 31

_ELIGIBLE = """
SELECT s.user_id, b.daily_allowance, max(p.daily_battery), b.last_daily_reset,
  min(s.current_period_start)
FROM user_subscriptions s JOIN users u ON u.id = s.user_id
LEFT JOIN subscription_plans p ON p.id = s.plan_id LEFT JOIN user_battery b ON b.user_id = s.user_id
WHERE s.user_id > %s AND s.status IN ('active', 'trialing')
GROUP BY s.user_id ORDER BY s.user_id LIMIT %s
"""
# Of users whose reset has come further: whose entry for a later day says that the reset before it was an earlier one.
_PASSED_OVER = """
SELECT DISTINCT i.value FROM json_each(%s) i JOIN battery_transactions t
  ON t.id > 'allowance:' || i.value || ':' || %s AND t.id < 'allowance:' || i.value || ':~' AND t.user_id = i.value
WHERE CASE WHEN json_valid(t.metadata) THEN t.metadata ->> '$.last_reset' END < %s
"""
# An earlier day than the one that stands there moves nothing back. Both are compared as days.
_MOVE = """
UPDATE user_battery SET last_daily_reset = %s
WHERE user_id IN (SELECT t.user_id FROM json_each(%s) i JOIN battery_transactions t ON t.id = i.value)
  AND coalesce(date(last_daily_reset), '') < %s
"""


@dataclass
class Allowances:
    """What a reset did. `credited` users got `units` together; `missed` maps a day to users who did not get it."""

    day: date
    credited: int = 0
    units: int = 0
    given: int = 0
    nothing: int = 0
    missed: Counter[date] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Holder:
    """A user with a subscription in force. `last` is the day of the last reset, `since` the first day of the period."""

    user_id: str
    units: Any
    last: date | None
    since: date | None


def today() -> date:
    return datetime.now(UTC).date()


def give_allowances(day: date, *, by: Actor, advance: Callable[[int], None] = lambda users: None) -> Allowances:
    """Credit the allowance of a UTC day to all who are to have it, in one transaction for each portion of users.

    Run twice, by two at once, or after a kill, it credits each user once. Days missed since `last_daily_reset` are
    named, not credited. Two requests a portion on D1, for a day that is past three.
    """
    result = Allowances(day)
    for holders in _portions():
        passed_over = _passed_over(holders, day)
        due = [holder for holder in holders if _is_due(holder, result, passed_over)]
        _credit(due, day, by, result)
        advance(len(holders))
    return result


def _portions() -> Iterator[list[Holder]]:
    last = ""
    while rows := _select(_ELIGIBLE, [last, PORTION]):
        yield [_holder(*row) for row in rows]
        last = rows[-1][0]


def _select(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _holder(user_id: str, own: Any, of_plan: Any, last: Any, since: Any) -> Holder:
    return Holder(user_id, of_plan if own is None else own, _day(last), _day(since))


def _day(stored: Any) -> date | None:
    value = read_day(stored)
    return value if isinstance(value, date) else None


def _passed_over(holders: list[Holder], day: date) -> set[str]:
    """Those whose last reset is after this day, and who did not get it."""
    later = [holder.user_id for holder in holders if holder.last is not None and holder.last > day]
    if not later:
        return set()
    return {user for (user,) in _select(_PASSED_OVER, [orjson.dumps(later).decode(), str(day), str(day)])}


def _is_due(holder: Holder, result: Allowances, passed_over: set[str]) -> bool:
    units = holder.units or 0
    if not isinstance(units, int) or not 0 <= units <= LARGEST:
        result.problems.append(f"{holder.user_id}: the daily allowance {units!r} is no number of units.")
        return False
    if holder.last is not None and holder.last >= result.day and holder.user_id not in passed_over:
        result.given += 1
        return False
    if not units:
        result.nothing += 1
        return False
    result.missed.update(_missed(holder, result.day))
    return True


def _missed(holder: Holder, day: date) -> list[date]:
    """The days between the last reset and this one, while the present period ran."""
    if holder.last is None:
        return []
    first = max(holder.last + timedelta(days=1), day - timedelta(days=NAMED_DAYS), holder.since or date.min)
    return [first + timedelta(days=number) for number in range((day - first).days)]


def _credit(holders: list[Holder], day: date, by: Actor, result: Allowances) -> None:
    entries = [
        Entry(
            f"allowance:{holder.user_id}:{day}",
            holder.user_id,
            TransactionType.SUBSCRIPTION,
            holder.units,
            metadata={"date": str(day), "reason": "daily allowance", "last_reset": str(holder.last or "")},
            # The app may have given it since the holders were read.
            unless_reset_on=day,
        )
        for holder in holders
    ]
    ids = orjson.dumps([entry.id for entry in entries]).decode()
    move: Step = (_MOVE, [str(day), ids, str(day)])
    for outcome in post(entries, by=by, then=[move], date=str(day)):
        if outcome.is_posted:
            result.credited += 1
            result.units += outcome.amount
        elif outcome.state in (State.REPEATED, State.REFUSED):
            result.given += 1
        else:
            result.problems.append(f"{outcome.entry.user_id}: nothing was credited ({outcome.state.value}).")
