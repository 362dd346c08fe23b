"""Filters of lists: each is one comparison that an index serves, or that is looked up in a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, F, Func, Model, Q, QuerySet, Value
from django.http import HttpRequest
from django.utils import timezone

from database.instants import shortest_text
from database.paging import Holds, Order, Unindexed


class Truth(Func):
    template = "%(expressions)s"
    output_field = BooleanField()


class Untruth(Truth):
    template = "NOT coalesce(+%(expressions)s, 0)"


class OneValueFilter(admin.ListFilter):
    """A filter with one parameter. Subclasses are made by the functions below."""

    parameter = ""
    column = ""
    #: Whether its rows are few: those of one user, of one conversation.
    narrow = False
    #: Whether an index serves the present value, if it serves the column.
    servable = True

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        values = params.pop(self.parameter, [])
        value = str(values[-1]).strip() if values else ""
        if value and "\0" not in value:
            self.used_parameters[self.parameter] = value

    @property
    def value(self) -> str | None:
        value = self.used_parameters.get(self.parameter)
        return None if value is None else str(value)

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def stored(self) -> Any:
        """The value as the column holds it."""
        return self.value

    def condition(self, *, indexed: bool) -> Q | None:
        """What the rows must meet; not `indexed` keeps the database from choosing an index for it."""
        if self.value is None:
            return None
        left = F(self.column) if indexed else Unindexed(F(self.column))
        return Q(Holds(left, "=", Value(self.stored())))

    def follows(self, order: Order) -> bool:
        """Whether the condition is a range of the order's own key, which any index of that order serves."""
        return False

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self.condition(indexed=True)
        return queryset if condition is None else queryset.filter(condition)

    def entries(self) -> Iterable[tuple[str, str]]:
        return ()

    def choices(self, changelist: Any) -> Iterator[Any]:
        entries = [(str(value), str(label)) for value, label in self.entries()]
        if self.value is not None and self.value not in dict(entries):
            entries.append((self.value, self.value))
        without = changelist.get_query_string(remove=[self.parameter])
        yield {"selected": self.value is None, "query_string": without, "display": "All"}
        for value, label in entries:
            yield {
                "selected": value == self.value,
                "query_string": changelist.get_query_string({self.parameter: value}),
                "display": label,
            }


def _made(base: type[OneValueFilter], **attributes: Any) -> type[OneValueFilter]:
    return type(f"{attributes['parameter'].title()}{base.__name__}", (base,), attributes)


class ChoiceFilter(OneValueFilter):
    options: tuple[tuple[str, str], ...] = ()

    def entries(self) -> Iterable[tuple[str, str]]:
        return self.options


def by_choice(column: str, options: Iterable[Any], title: str | None = None) -> type[OneValueFilter]:
    """A filter over fixed values; another value in the address is looked for as it stands."""
    pairs = tuple((str(value), str(value).replace("_", " ")) for value in options)
    return _made(ChoiceFilter, parameter=column, column=column, options=pairs, title=title or column.replace("_", " "))


class FlagFilter(OneValueFilter):
    """Yes or no, where an index may hold the rows with yes alone. NULL is no."""

    def entries(self) -> Iterable[tuple[str, str]]:
        return (("yes", "yes"), ("no", "no"))

    @property
    def servable(self) -> bool:  # type: ignore[override]
        return self.value == "yes"

    def condition(self, *, indexed: bool) -> Q | None:
        # An index over the rows `WHERE pinned` is found by the bare column alone, not by `pinned = 1`.
        if self.value == "yes":
            return Q(Truth(F(self.column) if indexed else Unindexed(F(self.column))))
        return Q(Untruth(F(self.column))) if self.value == "no" else None


def by_flag(column: str, title: str | None = None) -> type[OneValueFilter]:
    return _made(FlagFilter, parameter=column, column=column, title=title or column)


class TypedFilter(OneValueFilter):
    """A filter into which one may type a value."""

    template = "admin/omnichat/filter_by_value.html"
    #: Whether values are offered as well, and what stands in the empty box.
    offers = False
    asks = ""
    others: list[tuple[str, str]] = []

    def choices(self, changelist: Any) -> Iterator[Any]:
        self.others = [pair for pair in changelist.kept_parameters() if pair[0] != self.parameter]
        return super().choices(changelist)


class SeenFilter(TypedFilter):
    """A filter over whatever the app writes: it offers the values of the page one looks at, and takes any other."""

    offers = True

    def choices(self, changelist: Any) -> Iterator[Any]:
        self.seen = sorted({str(getattr(row, self.column) or "") for row in changelist.result_list} - {""})
        return super().choices(changelist)

    def entries(self) -> Iterable[tuple[str, str]]:
        return [(value, value) for value in self.seen]


def by_seen(parameter: str, column: str = "") -> type[OneValueFilter]:
    return _made(SeenFilter, parameter=parameter, column=column or parameter, title=parameter.replace("_", " "))


class ParentFilter(TypedFilter):
    """The rows of one parent, named by its id. Filled by links from the parent's page, or typed."""

    narrow = True


def by_parent(parameter: str, column: str, asks: str) -> type[OneValueFilter]:
    return _made(ParentFilter, parameter=parameter, column=column, title=parameter, asks=asks)


@dataclass(frozen=True)
class Period:
    label: str
    length: timedelta


PERIODS = {
    "day": Period("Past 24 hours", timedelta(days=1)),
    "week": Period("Past 7 days", timedelta(days=7)),
    "month": Period("Past 30 days", timedelta(days=30)),
    "year": Period("Past 365 days", timedelta(days=365)),
}


class PeriodFilter(OneValueFilter):
    """The rows of the last hours or days, by a column of moments; an unknown period is no filter."""

    def entries(self) -> Iterable[tuple[str, str]]:
        return [(name, period.label) for name, period in PERIODS.items()]

    def follows(self, order: Order) -> bool:
        return order.field == self.column

    def start(self) -> datetime:
        return timezone.now().astimezone(UTC) - PERIODS[self.value or "day"].length

    def condition(self, *, indexed: bool) -> Q | None:
        if self.value not in PERIODS:
            return None
        if indexed:
            return Q(**{f"{self.column}__gte": self.start()})
        return Q(Holds(Unindexed(F(self.column)), ">=", Value(shortest_text(self.start()))))


def by_period(column: str, title: str, parameter: str = "period") -> type[OneValueFilter]:
    return _made(PeriodFilter, parameter=parameter, column=column, title=title)
