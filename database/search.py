"""Searches of lists: each way of searching turns a term into a condition that an index serves.

What begins in some way is looked up as a range of the index (`>= x AND < x + U+10FFFF`), never by LIKE. Where the term
names rows of another table their ids come first, then the rows that have these ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, router
from django.db.models import BooleanField, F, Func, Model, Q, QuerySet, TextField, Value
from django.db.models.functions import Collate

from database.paging import Holds

LAST_CHARACTER = "\U0010ffff"
#: How many rows that begin with a term are looked at.
MOST_IDS = 200


@dataclass(frozen=True)
class Found:
    """What the rows must meet, and what has to be said about it."""

    condition: Q
    note: str = ""
    #: How many queries it took to know the condition, and how many rows meet it where that is known.
    queries: int = 0
    rows: int | None = None


class Way:
    """One way of searching. `find` gives None where the term is not meant for it."""

    def find(self, model: type[Model], term: str) -> Found | None:
        raise NotImplementedError


def equals(column: str, value: Any) -> Q:
    return Q(Holds(F(column), "=", Value(value)))


@dataclass(frozen=True)
class Exact(Way):
    """The very value of a column, known by how it `starts`: `cus_`, `sub_`."""

    column: str
    starts: str = ""

    def find(self, model: type[Model], term: str) -> Found | None:
        # An address may begin like an id; an id never holds an @.
        if not term.startswith(self.starts) or "@" in term:
            return None
        return Found(equals(self.column, term))


@dataclass(frozen=True)
class FirstOf(Way):
    """The very value of whichever of several columns has it. They are asked in one query."""

    columns: Sequence[str]

    def find(self, model: type[Model], term: str) -> Found | None:
        holders = [column for column, holds in zip(self.columns, self._asked(model, term), strict=True) if holds]
        return Found(equals(holders[0], term), queries=1) if holders else None

    def _asked(self, model: type[Model], term: str) -> Sequence[Any]:
        connection = connections[router.db_for_read(model)]
        quoted, table = connection.ops.quote_name, connection.ops.quote_name(model._meta.db_table)
        columns = [quoted(str(model._meta.get_field(name).column)) for name in self.columns]  # type: ignore[union-attr]
        asked = [f"EXISTS (SELECT 1 FROM {table} WHERE {column} = %s)" for column in columns]  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(asked)}", [term] * len(asked))
            return cursor.fetchone() or ()


@dataclass(frozen=True)
class Beginning(Way):
    """Rows of whose `columns` one begins with the term, whatever its case: the first 200 of each column."""

    columns: Sequence[str]
    most: int = MOST_IDS

    def find(self, model: type[Model], term: str) -> Found | None:
        columns = [column for column in self.columns if "@" not in term or column == "email"]
        ids, more = ids_beginning(model, columns, term, self.most)
        note = f"The first {self.most} that begin like this: type more letters to see the others." if more else ""
        return Found(Q(pk__in=ids), note, len(columns), len(ids))


def ids_beginning(model: type[Model], columns: Iterable[str], term: str, most: int) -> tuple[list[Any], bool]:
    """The ids of at most `most` rows for each column, and whether there are more."""
    ids: dict[Any, None] = {}
    more = False
    for column in columns:
        found = list(_beginning(model, column, term).values_list("pk", flat=True)[: most + 1])
        more |= len(found) > most
        ids |= dict.fromkeys(found[:most])
    return list(ids), more


def _beginning(model: type[Model], column: str, term: str) -> QuerySet[Any]:
    folded = Collate(F(column), "NOCASE")
    low, high = Value(term), Value(term + LAST_CHARACTER)
    rows = model._default_manager.filter(Holds(folded, ">=", low), Holds(folded, "<", high))
    return rows.order_by(folded)


@dataclass(frozen=True)
class Owners(Way):
    """Rows of the users whose email begins with the term: the users' ids first, then the rows that have them."""

    column: str
    owner: type[Model]
    most: int = 20

    def find(self, model: type[Model], term: str) -> Found | None:
        if "@" not in term:
            return None
        ids, more = ids_beginning(self.owner, ["email"], term, self.most)
        note = f"Of the first {self.most} users whose email begins like this." if more else ""
        return Found(among(self.column, ids), note, 1)


def among(column: str, ids: Sequence[Any]) -> Q:
    return equals(column, ids[0]) if len(ids) == 1 else Q(**{f"{column}__in": list(ids)})


class Contains(Func):
    """Whether a column has a text in it, whatever its case in ASCII. No index serves it."""

    template = "instr(lower(coalesce(%(expressions)s)) > 0"
    arg_joiner = ", '')), lower("

    def __init__(self, column: str, term: str) -> None:
        super().__init__(F(column), Value(term, output_field=TextField()), output_field=BooleanField())


@dataclass(frozen=True)
class Search:
    """The ways in which a list is searched, in the order they are tried, and what is said beside the box.

    `inside` are columns that are looked through for the term on demand, in a bounded number of rows at a time.
    """

    ways: Sequence[Way]
    help_text: str
    inside: Sequence[str] = field(default=())

    def find(self, model: type[Model], term: str) -> Found:
        """The rows of the first way that the term is meant for. Nothing is found by a term that no way takes."""
        for way in self.ways:
            found = way.find(model, term)
            if found:
                return found
        return Found(Q(pk__in=[]))

    def within(self, term: str) -> Q:
        condition = Q(pk__in=[])
        for column in self.inside:
            condition |= Q(Contains(column, term))
        return condition
