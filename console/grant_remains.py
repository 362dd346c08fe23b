"""What is left of a grant: the units of it that the user has not spent.

Rule: units that expire are spent first, those that expire soonest before the others; then units that do not expire, the
oldest first, whether granted, bought or of the allowance. What counts as spent are debits that are neither a refund nor
a bonus. What a reversal or an expiry took is taken from its own grant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connections

from console.models.grant import Grant
from database.instants import EXPRESSION
from database.router import CONSOLE, OMNICHAT

_MARKED = "(id LIKE 'grant:%%' OR id LIKE 'grant-reversal:%%' OR id LIKE 'grant-expiry:%%')"
# A stretch begins with an entry of a grant. What follows it up to the next is summed: its order does not matter.
_STRETCHES = f"""
WITH entries AS (
  SELECT user_id, id, type, amount, balance_after, {_MARKED} AS is_mark,
    sum({_MARKED}) OVER (PARTITION BY user_id ORDER BY {EXPRESSION.format(c="created_at")}, rowid) AS stretch
  FROM battery_transactions
  WHERE user_id IN (SELECT value FROM json_each(%s)) AND typeof(amount) = 'integer'
)
SELECT user_id, max(CASE WHEN is_mark THEN id END), sum(CASE WHEN is_mark THEN amount ELSE 0 END),
  sum(CASE WHEN is_mark THEN coalesce(balance_after, 0) - amount ELSE 0 END),
  sum(CASE WHEN NOT is_mark AND amount > 0 THEN amount ELSE 0 END),
  sum(CASE WHEN NOT is_mark AND amount < 0 AND coalesce(type, '') NOT IN ('refund', 'bonus') THEN -amount ELSE 0 END)
FROM entries WHERE stretch > 0 GROUP BY user_id, stretch ORDER BY user_id, stretch
"""  # noqa: S608


class Stretch(NamedTuple):
    """An entry of a grant, `amount` units with `before` in the battery, and the sums of what came until the next."""

    entry_id: str
    amount: int
    before: int
    credited: int
    spent: int


@dataclass
class Pile:
    """Units that are spent together. `rank` says when: the day on which they expire, then their age."""

    rank: tuple[date, int]
    units: int


def remains(grants: Sequence[Grant]) -> dict[UUID, int]:
    """The units left of each of these grants, by its id: one query to each database for all of them."""
    users = sorted({grant.user_id for grant in grants})
    with_day = Grant.objects.using(CONSOLE).filter(user_id__in=users, expires_on__isnull=False)
    days = {f"grant:{pk}": day for pk, day in with_day.values_list("pk", "expires_on") if day}
    left: dict[str, int] = {}
    for stretches in _stretches(users).values():
        left |= spend(stretches, days)
    return {grant.pk: max(0, min(left.get(grant.entry_id, 0), grant.units)) for grant in grants}


def _stretches(users: list[str]) -> dict[str, list[Stretch]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_STRETCHES, [orjson.dumps(users).decode()])
        rows: Iterable[tuple[Any, ...]] = cursor.fetchall()
    return {user: [Stretch(*row[1:]) for row in some] for user, some in groupby(rows, lambda row: str(row[0]))}


def spend(stretches: Iterable[Stretch], days: Mapping[str, date]) -> dict[str, int]:
    """Go through one user's stretches: the units left of each grant, by the id of its entry."""
    piles: dict[str, Pile] = {}
    for number, stretch in enumerate(stretches):
        cause, _, grant = stretch.entry_id.partition(":")
        if number == 0:
            piles["before"] = Pile((date.max, -1), max(stretch.before, 0))
        if cause == "grant":
            day = days.get(stretch.entry_id, date.max)
            piles[stretch.entry_id] = Pile((day, 2 * number), max(stretch.amount, 0))
        elif f"grant:{grant}" in piles:
            _take(piles[f"grant:{grant}"], -stretch.amount, ended=cause == "grant-expiry")
        piles[f"credits {number}"] = Pile((date.max, 2 * number + 1), stretch.credited)
        _drain(piles.values(), stretch.spent)
    return defaultdict(int, {name: pile.units for name, pile in piles.items() if name.startswith("grant:")})


def _take(pile: Pile, units: int, *, ended: bool) -> None:
    # After its expiry nothing of a grant is left, also where the battery held less.
    pile.units = 0 if ended else max(pile.units - units, 0)


def _drain(piles: Iterable[Pile], units: int) -> None:
    for pile in sorted(piles, key=lambda pile: pile.rank):
        taken = min(pile.units, units)
        pile.units -= taken
        units -= taken
