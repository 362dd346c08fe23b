"""The balance over time as a drawing: a step for each day, in the units of an SVG that stretches to its place.

Words and numbers stand in HTML around it, so that they keep their size on a phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import NamedTuple

WIDTH, HEIGHT = 720, 200
#: About so many lines go across.
LINES = 4


class Point(NamedTuple):
    day: date
    balance: int

    @property
    def units(self) -> str:
        return f"{self.balance:,}"


@dataclass(frozen=True)
class Bar:
    """The place of a day, for whoever points at it."""

    x: float
    width: float
    point: Point


@dataclass(frozen=True)
class Plot:
    """`line` and `area` are path data. `ticks` run from the top: (y, units). `zero` is None where the edge is it."""

    points: list[Point]
    line: str
    area: str
    ticks: list[tuple[float, str]]
    zero: float | None
    bars: list[Bar]

    width, height = WIDTH, HEIGHT

    @property
    def first(self) -> Point:
        return self.points[0]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def lowest(self) -> Point:
        return min(self.points, key=lambda point: point.balance)

    @property
    def highest(self) -> Point:
        return max(self.points, key=lambda point: point.balance)

    @property
    def changes(self) -> list[Point]:
        """The days on which the balance is another than the day before, the newest first."""
        changed = [later for earlier, later in pairwise(self.points) if later.balance != earlier.balance]
        return [self.first, *changed][::-1]


def plot_of(days: list[tuple[date, int | None]]) -> Plot | None:
    """The drawing of the days from the first with a balance on; None where none has one."""
    points: list[Point] = []
    for day, balance in days:
        if balance is not None or points:
            points.append(Point(day, points[-1].balance if balance is None else balance))
    if not points:
        return None
    balances = [balance for _, balance in points]
    ticks = _ticks(min(0, *balances), max(0, *balances))
    low, high = ticks[0], ticks[-1]

    def y(balance: int) -> float:
        return round(HEIGHT * (high - balance) / (high - low), 2)

    step = WIDTH / len(points)
    line = f"M0 {y(balances[0])}H{step:g}"
    line += "".join(f"V{y(balance)}H{step * number:g}" for number, balance in enumerate(balances[1:], start=2))
    bars = [Bar(round(step * number, 2), round(step, 2), point) for number, point in enumerate(points)]
    zero = y(0) if low < 0 < high else None
    across = [(y(tick), f"{tick:,}") for tick in reversed(ticks)]
    return Plot(points, line, f"{line}V{y(0)}H0Z", across, zero, bars)


def _ticks(low: int, high: int) -> list[int]:
    """Round numbers, evenly spaced, from below the lowest to above the highest."""
    span = max(high - low, 1)
    size = 10 ** max(len(str(span // LINES)) - 1, 0)
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor * LINES >= span)
    return list(range(low // step * step, -(-high // step) * step + 1, step)) if high > low else [0, 1]
