"""One user's ledger, row by row: does each `balance_after` follow from the one before?

Rows of the same second are taken together, because the OmniChat app writes times with milliseconds or only seconds:
what counts is whether there is any order of them that chains. Each row leads from `balance_after - amount` to
`balance_after`, so such an order is a path over all of them (Euler's), and is found in linear time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from typing import Any, NamedTuple

import orjson

#: Ids of the entries that `audit_battery --fix` writes begin so.
CORRECTION = "correction:"
_CREDITS = ("purchase", "subscription", "bonus")
_CAUSES = ("invoice", "cause", "date")
_MENTION = re.compile(f'"(?:{"|".join(_CAUSES)})"').search


class Finding(NamedTuple):
    """Something that is not as it has to be. `row` is the id of a row, or a day; None where it is the user as such."""

    user: str | None
    row: str | None
    kind: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        place = f" {self.row}" if self.row else ""
        return f"{self.user}: {self.kind}{place}: expected {self.expected}, found {self.found}"


class Row(NamedTuple):
    """`moment` is the text by which instants sort; None where the row's time is none."""

    user: str
    moment: str | None
    id: str
    type: Any
    amount: Any
    after: Any
    metadata: Any


@dataclass
class Book:
    """What is known of one user's ledger after walking it. `balance` is the last `balance_after`."""

    user: str
    rows: int = 0
    total: int = 0
    balance: int = 0
    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    findings: list[Finding] = field(default_factory=list)
    _breaks: list[Finding] = field(default_factory=list)
    _causes: dict[tuple[str, str, Any], str] = field(default_factory=dict)

    def walk(self, rows: Iterable[tuple[Any, ...]]) -> Book:
        """Read the cells of `Row`s, in order of moment and id. Of them only those of one second are kept."""
        second: str | None = None
        group: list[tuple[Any, ...]] = []
        start, balance, chains = 0, 0, True
        for row in rows:
            _, moment, _, kind, amount, after, metadata = row
            self.rows += 1
            if type(amount) is not int or type(after) is not int:
                self._note(Row(*row), "amount", "whole numbers", f"{amount!r}, {after!r}")
                self.total += amount if type(amount) is int else 0
                continue
            if moment is None or moment[:19] != second:
                if not chains or self._breaks:
                    balance = self._close(group, start, balance, chains)
                second, group, start, chains = moment and moment[:19], [], balance, True
            group.append(row)
            chains = chains and after == balance + amount
            balance = after
            self.total += amount
            # The usual rows are done with here: this loop is what the time of an audit goes to.
            if kind != "usage" or amount > 0 or moment is None or moment[4:5] != "-":
                if amount < 0 or metadata is not None or kind not in _CREDITS or moment is None or moment[4:5] != "-":
                    self._look_at(Row(*row))
            else:
                self.used[moment[:10]] -= amount
        self.balance = self._close(group, start, balance, chains)
        self.findings += self._breaks
        return self

    def _note(self, row: Row, kind: str, expected: Any, found: Any) -> None:
        self.findings.append(Finding(self.user, row.id, kind, expected, found))

    def _look_at(self, row: Row) -> None:
        if row.moment is None or row.moment[4:5] != "-":
            self._note(row, "time", "a date and time", row.moment)
        if row.type == "usage":
            if row.amount > 0:
                self._note(row, "sign", "usage of 0 or less", row.amount)
                self.used[str(row.moment)[:10]] -= row.amount
        elif not isinstance(row.type, str) or not row.type:
            self._note(row, "type", "a type", row.type if row.type is None else str(row.type))
        elif row.amount < 0:
            if row.type in _CREDITS and not (row.type == "bonus" and '"grant"' in str(row.metadata)):
                self._note(row, "sign", f"{row.type} of 0 or more", row.amount)
        elif row.metadata is not None and _MENTION(str(row.metadata)):
            self._compare_causes(row)

    def _compare_causes(self, row: Row) -> None:
        """Two credits of one type name the same invoice, the same cause, or the same day of the allowance."""
        try:
            metadata = orjson.loads(row.metadata)
        except (orjson.JSONDecodeError, TypeError):
            return
        for key in _CAUSES:
            value = metadata.get(key) if isinstance(metadata, dict) else None
            if isinstance(value, str) and (key != "date" or (row.type == "subscription" and "invoice" not in metadata)):
                first = self._causes.setdefault((key, value, row.type), row.id)
                if first != row.id:
                    self._note(row, "cause", f"one entry for {key} {value}", f"{first} as well")

    def _close(self, cells: list[tuple[Any, ...]], start: int, balance: int, chains: bool) -> int:
        """The balance after the rows of a second."""
        if chains and not self._breaks:
            return balance
        group = list(starmap(Row, cells))
        if not chains:
            whole = is_path(start, group)
            balance = start + sum(row.amount for row in group) if whole else self._follow(group, start)
        # A correction says what the balance is: breaks before it are settled, if the sum of all entries says so too.
        # In a second with breaks no order is certain, so it is enough that one of its rows arrives at the sum.
        corrected = self._breaks and any(row.id.startswith(CORRECTION) for row in group)
        if corrected and any(row.after == self.total for row in group):
            self._breaks.clear()
            return self.total
        return balance

    def _follow(self, group: list[Row], balance: int) -> int:
        """Go on as far as rows chain; then a correction may lead anywhere, and any other row is a break."""
        waiting: dict[int, list[Row]] = defaultdict(list)
        for row in reversed(group):
            waiting[row.after - row.amount].append(row)
        left = dict.fromkeys(group)
        corrections = [row for row in reversed(group) if row.id.startswith(CORRECTION)]
        while left:
            fitting = waiting[balance]
            while fitting and fitting[-1] not in left:
                fitting.pop()
            while corrections and corrections[-1] not in left:
                corrections.pop()
            row = (fitting or corrections or [next(iter(left))])[-1]
            if not fitting and not corrections:
                self._breaks.append(Finding(self.user, row.id, "chain", balance + row.amount, row.after))
            del left[row]
            balance = row.after
        return balance


def is_path(start: int, rows: list[Row]) -> bool:
    """Whether the rows, in some order, chain from a balance of `start`. Hierholzer's algorithm."""
    edges: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        edges[row.after - row.amount].append(row.after)
    stack, path = [start], []
    while stack:
        if edges[stack[-1]]:
            stack.append(edges[stack[-1]].pop())
        else:
            path.append(stack.pop())
    path.reverse()
    steps: dict[tuple[int, int], int] = defaultdict(int)
    for row in rows:
        steps[row.after - row.amount, row.after] += 1
    for step in pairwise(path):
        steps[step] -= 1
    return len(path) == len(rows) + 1 and not any(steps.values())
