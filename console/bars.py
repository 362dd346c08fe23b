"""Plots of figures by day: stacked bars as SVG, drawn on the server, with the figures as a table behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

#: The drawing in units of its own; the page scales it.
WIDTH, HEIGHT, GAP = 720, 160, 2


@dataclass(frozen=True)
class Bar:
    """One piece of a day's column. `series` counts from 1 and gives the colour."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


@dataclass(frozen=True)
class Plot:
    """`rows` are the table: a day and a figure for each series, days without any left out."""

    label: str
    unit: str
    series: list[str]
    days: list[date]
    bars: list[Bar]
    rows: list[tuple[date, list[int]]]
    highest: int
    totals: list[int]

    width, height = WIDTH, HEIGHT

    @property
    def legend(self) -> list[tuple[int, str, int]]:
        return [(number, *pair) for number, pair in enumerate(zip(self.series, self.totals, strict=True), 1)]


def days_to(last: date, count: int) -> list[date]:
    return [last - timedelta(days=back) for back in range(count - 1, -1, -1)]


def stacked(label: str, unit: str, days: Sequence[date], series: Mapping[str, Mapping[date, int]]) -> Plot:
    """One column a day, of one piece a series; the piece of a day without a figure is left out."""
    figures = [[max(of_day.get(day, 0), 0) for of_day in series.values()] for day in days]
    highest = max((sum(row) for row in figures), default=0)
    step = WIDTH / max(len(days), 1)
    bars = [
        bar
        for number, (day, row) in enumerate(zip(days, figures, strict=True))
        for bar in _column(number * step, step - GAP, row, highest, [f"{day}: {name}" for name in series], unit)
    ]
    rows = [(day, row) for day, row in zip(days, figures, strict=True) if any(row)]
    totals = [sum(column) for column in zip(*figures, strict=True)] or [0] * len(series)
    return Plot(label, unit, list(series), list(days), bars, rows[::-1], highest, totals)


def _column(x: float, width: float, row: Sequence[int], highest: int, names: Sequence[str], unit: str) -> list[Bar]:
    bars, top = [], float(HEIGHT)
    for number, (figure, name) in enumerate(zip(row, names, strict=True), 1):
        height = figure / highest * HEIGHT if highest else 0
        top -= height
        if figure:
            shown = (round(x, 2), round(top, 2), round(width, 2), round(height, 2))
            bars.append(Bar(*shown, number, f"{name}: {figure:,} {unit}"))
    return bars


def largest(series: Mapping[str, Mapping[date, int]], most: int, others: str) -> dict[str, dict[date, int]]:
    """The `most` series with the largest sums; all others together under one name."""
    by_size = sorted(series, key=lambda name: (-sum(series[name].values()), name))
    kept = {name: dict(series[name]) for name in by_size[:most]}
    for name in by_size[most:]:
        rest = kept.setdefault(others, {})
        for day, figure in series[name].items():
            rest[day] = rest.get(day, 0) + figure
    return kept
