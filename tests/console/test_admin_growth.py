"""No page of the admin takes longer because a table is large.

The work of a query is the number of steps that SQLite's virtual machine takes for it: the same on any machine, however
busy. Every list is visited by what it offers: pages, filters, two filters at once, orders, a day and searches.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import combinations
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.demo import seed
from database.admin import CheapAdmin
from database.listing import KeysetChangeList

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("it counts the steps of SQLite's virtual machine")]
# Steps of a page, all its queries together: five rows, the bounded count, the bounded look where no index serves.
MOST = 4_500
# What begins like a term: the first 200 of each of two columns are found, and sorted.
MOST_FOUND = 9_000
# Tables large enough that a walk from end to end takes more.
USERS, MESSAGES, ENTRIES = 2_400, 12_000, 6
CAP, WINDOW = 100, 300
STEP = 100
# Tables of a handful of rows, whatever the number of accounts.
SHORT = ("subscription_plans", "schema_version")
OURS = [model_admin for model, model_admin in admin.site._registry.items() if not model._meta.managed]


@contextmanager
def steps() -> Iterator[list[int]]:
    connection = connections["omnichat"]
    connection.ensure_connection()
    taken = [0]

    def count() -> int:
        taken[0] += STEP
        return 0

    connection.connection.set_progress_handler(count, STEP)
    try:
        yield taken
    finally:
        connection.connection.set_progress_handler(None, STEP)


class Visits:
    """Pages by what one does to get there: (steps, statements)."""

    def __init__(self, client: Client, model_admin: Any) -> None:
        opts = model_admin.model._meta
        self.client, self.model_admin = client, model_admin
        self.list = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        self.made: dict[str, tuple[int, list[str]]] = {}

    def visit(self, name: str, query: str) -> str:
        address = query if query.startswith("/") else self.list + query
        with steps() as taken, CaptureQueriesContext(connections["omnichat"]) as captured:
            response = self.client.get(address)
        assert response.status_code == 200, address
        self.made[name] = taken[0], [made["sql"] for made in captured.captured_queries]
        return response.content.decode()

    def all(self) -> dict[str, tuple[int, list[str]]]:
        first = self.visit("first page", "")
        self._turn("", first)
        filters = self._filters()
        for name, query in filters:
            self._turn(f"{name}: ", self.visit(name, query))
        for (one, query), (other, second) in combinations(filters, 2):
            if one.split("=")[0] != other.split("=")[0]:
                self.visit(f"{one}, {other}", f"{query}&{second[1:]}")
        for place in range(1, 9):
            self.visit(f"order {place}", f"?o={place}")
            self.visit(f"order -{place}", f"?o=-{place}")
        self.visit("a day", "?at=2026-06-01")
        for name, term in self._terms():
            self.visit(f"search {name}", f"?q={term}")
        self.visit("a row", f"{self.list}{quote(self._row().pk)}/change/")
        return self.made

    def _turn(self, name: str, text: str) -> None:
        for link in ("next", "last"):
            found = re.search(rf'<a class="{link}"[^>]*href="([^"]+)"', text)
            if found:
                text = self.visit(f"{name}{link}", html.unescape(found[1]))

    def _filters(self) -> list[tuple[str, str]]:
        """One link for each value of each filter, made from a row of the table where one types the value."""
        row = self._row()
        links = []
        for filter_ in self.model_admin.list_filter:
            values = [value for value, _ in getattr(filter_, "options", ())] or {
                "period": ["week", "year"], "pinned": ["yes", "no"], "archived": ["yes", "no"], "cached": ["yes", "no"],
            }.get(filter_.parameter, [getattr(row, filter_.column, "")])  # fmt: skip
            few_values = dict.fromkeys([values[0], values[-1]])
            links += [(f"{filter_.parameter}={value}", f"?{filter_.parameter}={value}") for value in few_values]
        return links

    def _terms(self) -> list[tuple[str, str]]:
        """Every text that a row has, the owner's email, the beginning of each, and what nobody has."""
        row = self._row()
        owner = getattr(row, "user", None)
        email = getattr(row, "email", None) or getattr(owner, "email", "")
        values = {field.name: getattr(row, field.attname) for field in row._meta.fields}
        texts = {name: value for name, value in values.items() if isinstance(value, str) and len(value) < 60}
        terms = [*texts.items(), *((f"beginning of {name}", value[:4]) for name, value in texts.items())]
        return [*terms, ("email", email), ("beginning of an email", email[:2]), ("nothing", "nothing-like-it")]

    def _row(self) -> Any:
        return self.model_admin.model._default_manager.order_by("pk")[5 if self._many() else 0]

    def _many(self) -> bool:
        return self.model_admin.model._meta.db_table not in SHORT


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few rows, small counts and windows: what is bounded shows its bound on small tables too."""
    monkeypatch.setattr(CheapAdmin, "list_per_page", 5)
    monkeypatch.setattr("database.listing.CAP", CAP)
    monkeypatch.setattr(KeysetChangeList, "window", WINDOW)


@pytest.fixture
def large() -> None:
    seed(USERS, MESSAGES, seed=1, day=date(2026, 11, 22))
    with connections["omnichat"].cursor() as cursor:
        columns = "userId, action, resourceType, resourceId, metadata, createdAt"
        again = f"SELECT audit_logs.id || value, {columns} FROM audit_logs, json_each(%s)"
        cursor.execute(f"INSERT INTO audit_logs (id, {columns}) {again}", [str(list(range(ENTRIES)))])


def test_no_page_walks_over_a_whole_table(few: None, large: None, admin_client: Client) -> None:
    slow = []
    for model_admin in OURS:
        made = Visits(admin_client, model_admin).all()
        table = model_admin.model._meta.db_table
        with steps() as whole, connections["omnichat"].cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE rowid % 2")
        assert whole[0] > MOST or table in SHORT, f"{table} is too small to tell"
        for page, (work, sql) in made.items():
            if work > (MOST_FOUND if "beginning" in page else MOST):
                slow.append(f"{table}, {page}: {work} steps: {sql}")
    assert not slow, "\n".join(slow)
