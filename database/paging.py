"""Pages by key: where a list stands, and the rows before and after that place.

A page is found by the values of its first and last row, never by counting rows from the start, so that a page deep
inside costs as much as the first. SQLite uses an index on an expression for `key <= ? AND (key < ? OR id < ?)` but not
for the row value `(key, id) < (?, ?)`, and leaves rows out whose key is NULL from both: these are a segment of their
own, last where the list runs down and first where it runs up.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import BooleanField, F, Func, IntegerField, Model, Q, QuerySet, TextField, Value
from django.db.models.expressions import Expression

#: A 64-bit integer, as SQLite keeps it.
GREATEST = 2**63 - 1
KEY, TIE = "order_key", "order_tie"
PK = F("pk")


class Holds(Func):
    """A comparison as it stands, `left operator right`, with no look at the field's own ways of comparing."""

    output_field = BooleanField()
    template = "%(left)s %(operator)s %(right)s"

    def __init__(self, left: Any, operator: str, right: Any) -> None:
        super().__init__(left, right, operator=operator)

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        left, right = (compiler.compile(part) for part in self.source_expressions)
        return f"({left[0]} {self.extra['operator']} {right[0]})", [*left[1], *right[1]]


class Unindexed(Func):
    """A column that no index may be chosen for: SQLite's unary plus."""

    template = "+%(expressions)s"

    def __init__(self, expression: Any) -> None:
        super().__init__(expression, output_field=TextField())


class RowId(Expression):
    """SQLite's own number of a row: the order of insertion, as far as nothing was deleted."""

    output_field = IntegerField()

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        alias = compiler.query.get_initial_alias()
        return f"{compiler.quote_name_unless_alias(alias)}.rowid", []


class AmongRows(Func):
    """Whether a row's number is one of these, which go as one parameter however many they are."""

    output_field = BooleanField()

    def __init__(self, numbers: list[int]) -> None:
        super().__init__(RowId(), Value(json.dumps(numbers)))

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        row, numbers = (compiler.compile(part) for part in self.source_expressions)
        return f"{row[0]} IN (SELECT value FROM json_each({numbers[0]}))", [*row[1], *numbers[1]]  # noqa: S608


@dataclass(frozen=True)
class Order:
    """One way a list may run: by `key`, and among equals by `tie`, as an index has them.

    `leads` names the filters for which there is an index that begins with their column and goes on with the key.
    """

    column: str
    key: F | Expression
    descending: bool = True
    leads: frozenset[str] = frozenset()
    tie: F | Expression = PK
    #: The field of moments or days that `key` is made of: one may jump to a date.
    field: str = ""
    #: Whether the order is that of the rows' dates, or only likely to be.
    certain: bool = True

    def turned(self, *, descending: bool) -> Order:
        return replace(self, descending=descending)

    def applied(self, queryset: QuerySet[Any], *, descending: bool, keyed: bool = True) -> QuerySet[Any]:
        """The rows in this order, each with its key and tie. Rows that are not `keyed` are known to have none."""
        # A column that is sorted by twice, or that is NULL in each row, keeps the index from being used.
        names = [TIE] if not keyed else [KEY] if self.key == self.tie else [KEY, TIE]
        sorting = [F(name).desc() if descending else F(name).asc() for name in names]
        rows: QuerySet[Any] = queryset.annotate(**{KEY: self.key, TIE: self.tie})
        return rows.order_by(*sorting)


@dataclass(frozen=True)
class Place:
    """A place between two rows: right after the row of this key and tie in the direction one goes.

    Without a tie it is the place before all rows of this key in a list that runs down.
    """

    key: str | int | None
    tie: str | int | None

    def encode(self) -> str:
        text = json.dumps([self.key, self.tie], separators=(",", ":"), default=str)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Place | None:
        """None for whatever `encode` did not make."""
        try:
            values = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"==="))
        except (ValueError, binascii.Error, RecursionError):
            return None
        if not isinstance(values, list) or len(values) != 2 or not all(map(_is_value, values)):
            return None
        return cls(*values)


def _is_value(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -GREATEST <= value <= GREATEST
    # A lone surrogate has no UTF-8.
    return value is None or (isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value))


def segments(order: Order, place: Place | None, *, descending: bool) -> list[tuple[Q, bool]]:
    """The conditions whose rows, one after another, are all the rows from `place` on, and whether these have a key."""
    null, present = Q(Holds(order.key, "IS", Value(None))), Q(Holds(order.key, "IS NOT", Value(None)))
    if place is None:
        return [(Q(), True)]
    if place.key is None:
        rest = null & Q(Holds(order.tie, "<" if descending else ">", Value(place.tie)))
        return [(rest, False)] if descending else [(rest, False), (present, True)]
    beyond = _beyond(order, place, "<" if descending else ">")
    return [(beyond, True), (null, False)] if descending else [(beyond, True)]


def _beyond(order: Order, place: Place, comparison: str) -> Q:
    value = Value(place.key)
    if place.tie is None:
        return Q(Holds(order.key, comparison, value))
    equal = Q(Holds(order.tie, comparison, Value(place.tie)))
    return Q(Holds(order.key, f"{comparison}=", value)) & (Q(Holds(order.key, comparison, value)) | equal)


def up_to(order: Order, place: Place, *, descending: bool) -> Q:
    """The rows from wherever one stands up to `place`, its own row included."""
    comparison = ">" if descending else "<"
    equal = Q(Holds(order.tie, f"{comparison}=", Value(place.tie)))
    if place.key is None:
        null = Q(Holds(order.key, "IS", Value(None)))
        return equal | Q(Holds(order.key, "IS NOT", Value(None))) if descending else equal & null
    value = Value(place.key)
    return Q(Holds(order.key, f"{comparison}=", value)) & (Q(Holds(order.key, comparison, value)) | equal)


@dataclass
class Page:
    """The rows of a page in the order of the list, and what lies beyond them."""

    rows: list[Model] = field(default_factory=list)
    #: Whether there are rows before the first, and after the last.
    earlier: bool = False
    later: bool = False
    #: Where a search that looks at a bounded number of rows stopped.
    stopped_at: Place | None = None
    #: How many queries it took.
    queries: int = 0

    def place(self, index: int) -> Place | None:
        if not self.rows:
            return None
        row = self.rows[index]
        return Place(getattr(row, KEY), getattr(row, TIE))


@dataclass(frozen=True)
class Walk:
    """A walk along `order` from `place`, forwards or backwards, over rows that `condition` leaves.

    `driving` is what an index serves. `rest` is looked up row by row, in no more than `window` rows at a time.
    """

    order: Order
    driving: Q
    rest: Q | None = None
    place: Place | None = None
    backwards: bool = False
    window: int = 0

    @property
    def descending(self) -> bool:
        return self.order.descending != self.backwards

    def page(self, queryset: QuerySet[Any], size: int) -> Page:
        """At most `size` rows, and one more to know whether there are others."""
        page = Page()
        found: list[Model] = []
        for rows, stopped_at in self._pieces(queryset):
            found += rows[: size + 1 - len(found)]
            page.queries += 1 if self.rest is None or page.queries else 2
            page.stopped_at = stopped_at
            if len(found) > size or stopped_at:
                break
        return self._turned(page, found, size)

    def _turned(self, page: Page, found: list[Model], size: int) -> Page:
        more = len(found) > size
        page.stopped_at = None if more else page.stopped_at
        page.rows = found[:size][::-1] if self.backwards else found[:size]
        came_from = self.place is not None
        page.earlier, page.later = (more, came_from) if self.backwards else (came_from, more)
        return page

    def _pieces(self, queryset: QuerySet[Any]) -> Iterator[tuple[QuerySet[Any], Place | None]]:
        ways = segments(self.order, self.place, descending=self.descending)
        for number, (way, keyed) in enumerate(ways):
            condition = self.driving & way
            rows = self.order.applied(queryset.filter(condition), descending=self.descending, keyed=keyed)
            # The second segment are the few rows without a key, or what comes before them.
            floor = self._floor(queryset.model, condition, keyed=keyed) if number == 0 else None
            if self.rest is not None:
                rows = rows.filter(self.rest)
            if floor:
                rows = rows.filter(up_to(self.order, floor, descending=self.descending))
            yield rows, floor

    def _floor(self, model: type[Model], condition: Q, *, keyed: bool) -> Place | None:
        """The row that ends the window, or None where fewer rows are left."""
        if self.rest is None:
            return None
        rows = model._default_manager.filter(condition)
        places = self.order.applied(rows, descending=self.descending, keyed=keyed).values_list(KEY, TIE)
        last = list(places[self.window : self.window + 1])
        return Place(*last[0]) if last else None


def capped_count(queryset: QuerySet[Any], cap: int) -> int:
    """How many rows there are, or `cap` where there are as many or more."""
    return queryset.order_by().values("pk")[:cap].count()
