"""A list of the admin that costs as little at a million rows as at ten: pages by key, capped counts, served filters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Page as NumberedPage
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from database import cells
from database.filters import OneValueFilter
from database.instants import shortest_text
from database.paging import Order, Place, Walk, capped_count
from database.search import Found, Search

AFTER, BEFORE, LAST, AT, COUNT, INSIDE = "after", "before", "last", "at", "count", "inside"
#: What leads to a place in the list, and falls away when the list itself changes.
PLACES = (AFTER, BEFORE, LAST, AT, COUNT)
#: Rows are counted up to here unless somebody asks for more.
CAP = 1000
#: A page does not count where this many queries have been made already.
MOST_QUERIES = 3


class KeysetChangeList(ChangeList):
    """A change list whose admin is a `database.admin.CheapAdmin`. `pager` is for the template."""

    #: How many rows are looked through at a time for what no index serves.
    window = 20_000
    pager: dict[str, Any]
    model_admin: Any
    list_filter: Sequence[type[OneValueFilter]]  # type: ignore[assignment]
    filter_specs: list[OneValueFilter]  # type: ignore[assignment]

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Only what a filter of this list understands: anything else in an address is passed over."""
        known = {filter_.parameter for filter_ in self.list_filter}
        return {name: values for name, values in (params or self.filter_params).items() if name in known}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All the rows of the list as filtered and searched, in its order. A page of them is `get_results`."""
        for name in PLACES:
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        self.filter_specs = [
            filter_(request, self.filter_params.copy(), self.model, self.model_admin) for filter_ in self.list_filter
        ]
        self.has_filters = bool(self.filter_specs)
        self.has_active_filters = any(spec.value is not None for spec in self.filter_specs)
        self.clear_all_filters_qs = self.get_query_string(remove=[spec.parameter for spec in self.filter_specs])
        self.order = self._order()
        self.found = self._found(request)
        self.driving, self.rest = self._conditions()
        rows = self.root_queryset.filter(self.driving, self.rest or Q())
        return self.order.applied(rows, descending=self.order.descending)

    def _order(self) -> Order:
        """The order that a header was clicked for, or the first of the admin's. `-` turns it around."""
        orders: Sequence[Order] = self.model_admin.orders_of_table()
        asked = self.params.get(ORDER_VAR, "")
        with contextlib.suppress(ValueError, IndexError):
            column = self.list_display[abs(int(asked))]
            for order in orders:
                if order.column == column:
                    return order.turned(descending=asked.startswith("-"))
        return orders[0]

    def _found(self, request: HttpRequest) -> Found | None:
        self.inside = INSIDE in self.params and bool(self.model_admin.search.inside)
        term = self.query.strip()
        if not term:
            return None
        if self.inside:
            return Found(self.model_admin.search.within(term))
        search: Search = self.model_admin.search
        return search.find(self.model, term)

    def _conditions(self) -> tuple[Q, Q | None]:
        """What an index serves in this order, and the rest, which is looked up row by row."""
        driving, rest = Q(), Q()
        led = bool(self.found and not self.inside)
        if self.found:
            driving, rest = (self.found.condition, Q()) if led else (Q(), self.found.condition)
        for spec in sorted(self.filter_specs, key=lambda spec: not spec.narrow):
            if spec.follows(self.order):
                driving &= spec.condition(indexed=True) or Q()
                continue
            serves = not led and spec.servable and spec.parameter in self.order.leads
            condition = spec.condition(indexed=serves)
            if condition is None:
                continue
            driving, rest = (driving & condition, rest) if serves else (driving, rest & condition)
            led = led or serves
        return driving, rest or None

    def url_for_result(self, result: Any) -> str:
        return cells.row_url(self.model, result.pk)

    def get_results(self, request: HttpRequest) -> None:
        walk = self._walk(request)
        self.page = walk.page(self.root_queryset, self.list_per_page)
        self.result_list = self.page.rows
        self.paginator = WholePaginator(self.result_list, self.list_per_page)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions, self.can_show_all, self.multi_page = bool(self.result_list), False, False
        self.result_count = len(self.result_list)
        self.pager = self._pager(walk, self._counted(request, walk))

    def _walk(self, request: HttpRequest) -> Walk:
        place, backwards = None, False
        if LAST in request.GET:
            backwards = True
        elif BEFORE in request.GET:
            place, backwards = Place.decode(request.GET[BEFORE]), True
        elif AFTER in request.GET:
            place = Place.decode(request.GET[AFTER])
        elif AT in request.GET:
            place = self._day(request.GET[AT])
        backwards = backwards and (place is not None or LAST in request.GET)
        return Walk(self.order, self.driving, self.rest, place, backwards, self.window)

    def _day(self, text: str) -> Place | None:
        """The place before all rows of a day: its end where the list runs down, its start where it runs up."""
        self.day = None
        if not self.order.field:
            return None
        try:
            self.day = date.fromisoformat(text.strip())
            edge = self.day + timedelta(days=1) if self.order.descending else self.day
        except (ValueError, OverflowError):
            return None
        return Place(shortest_text(datetime(edge.year, edge.month, edge.day, tzinfo=UTC)), None)

    def _counted(self, request: HttpRequest, walk: Walk) -> tuple[int, str] | None:
        """How many rows there are, and whether that is "exactly" or "at least"; None where nobody can say cheaply."""
        page = self.page
        if not (page.earlier or page.later or page.stopped_at):
            return len(page.rows), ""
        rows = self.model._default_manager.filter(self.driving, self.rest or Q())
        if request.GET.get(COUNT) == "exact":
            return rows.order_by().count(), ""
        if self.found and self.found.rows is not None and not self.has_active_filters:
            return self.found.rows, ""
        if self.rest or page.queries + (self.found.queries if self.found else 0) >= MOST_QUERIES:
            return None
        counted = capped_count(rows, CAP + 1)
        return (CAP, "+") if counted > CAP else (counted, "")

    def _pager(self, walk: Walk, counted: tuple[int, str] | None) -> dict[str, Any]:
        page = self.page
        first, last = page.place(0), page.place(-1)
        return {
            "first": self.get_query_string() if page.earlier else "",
            "previous": self._to(BEFORE, first) if page.earlier else "",
            "next": self._to(AFTER, last) if page.later else "",
            "last": self.get_query_string({LAST: 1}) if page.later and not self.rest else "",
            "count": f"{counted[0]:,}{counted[1]}" if counted else "",
            "exact_count": self.get_query_string({COUNT: "exact"}) if not counted or counted[1] else "",
            "window": f"{walk.window:,}",
            "go_on": self._to(BEFORE if walk.backwards else AFTER, page.stopped_at),
            "inside": self.get_query_string({INSIDE: 1}) if self._may_look_inside() else "",
            "dated": bool(self.order.field),
            "day": getattr(self, "day", None),
        }

    def _to(self, parameter: str, place: Place | None) -> str:
        return self.get_query_string({parameter: place.encode()}) if place else ""

    def _may_look_inside(self) -> bool:
        return bool(self.query.strip() and self.model_admin.search.inside and not self.inside)

    def kept_parameters(self) -> Iterable[tuple[str, str]]:
        """What a small form on the page sends along, so that filters and search stay."""
        return [(name, value) for name, value in self.params.items() if name not in PLACES]

    def without_search(self) -> str:
        return self.get_query_string(remove=[SEARCH_VAR, INSIDE])

    def get_ordering_field_columns(self) -> dict[int, Literal["desc", "asc"]]:
        columns = list(self.list_display)
        if self.order.column not in columns:
            return {}
        return {columns.index(self.order.column): "desc" if self.order.descending else "asc"}

    @property
    def notes(self) -> list[str]:
        """What has to be said above the rows."""
        uncertain = (
            "The table has no column for the time at which a row was made: the rows stand as the database keeps them, "
            "and their order is not certain to be that of time."
        )
        notes = [] if self.order.certain else [uncertain]
        return [*notes, self.found.note] if self.found and self.found.note else notes


class WholePaginator(Paginator):
    """A paginator that never counts: it looks whether there is one row more than the page."""

    @property
    def count(self) -> int:  # type: ignore[override]
        return len(self.object_list) if isinstance(self.object_list, list) else 0

    def validate_number(self, number: Any) -> int:
        try:
            return max(1, min(int(number), 1000))
        except (TypeError, ValueError):
            return 1

    def page(self, number: Any) -> NumberedPage:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        page = NumberedPage(rows[: self.per_page], number, self)
        more = len(rows) > self.per_page
        page.has_next = lambda: more  # type: ignore[method-assign]
        return page
