"""Stripe's time, which can be moved on, and what falls due in it."""

from __future__ import annotations

import calendar
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

DAY = 86_400


class Due(NamedTuple):
    """Something to be done at `at` (Unix seconds) with the object `id`."""

    at: int
    number: int
    deed: str
    id: str


class Clock:
    """Unix seconds that tick on from where they were set, or stand still when frozen."""

    def __init__(self, start: int | None = None, *, frozen: bool = False) -> None:
        self._frozen = frozen
        self.set(int(time.time()) if start is None else start)
        self._due: list[Due] = []
        self._numbers = count()

    def now(self) -> int:
        return self._start if self._frozen else self._start + int(time.monotonic() - self._since)

    def set(self, at: int) -> None:
        self._start, self._since = at, time.monotonic()

    def plan(self, at: int, deed: str, id: str) -> None:
        heapq.heappush(self._due, Due(at, next(self._numbers), deed, id))

    def next_due(self, until: int) -> Due | None:
        """Takes the earliest that is due by then; None where there is none."""
        return heapq.heappop(self._due) if self._due and self._due[0].at <= until else None


def add_interval(at: int, interval: str, count: int = 1, *, anchor: int | None = None) -> int:
    """`count` days, weeks, months or years later, on the anchor's day of the month or the month's last."""
    moment = datetime.fromtimestamp(at, UTC)
    if interval in ("day", "week"):
        return int((moment + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    day = datetime.fromtimestamp(at if anchor is None else anchor, UTC).day
    months = moment.year * 12 + moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return int(moment.replace(year=year, month=month + 1, day=min(day, last)).timestamp())
