"""Values that a column should not hold, found by the database itself: counts in one pass over a table, then samples.

The conditions say in SQL what `database.values` says in Python. Patterns stay below the 50 bytes that D1 allows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from database.backup_tables import quoted
from database.fields import DayField, InstantField, JSONTextField
from database.identifiers import KINDS
from database.schema import Schema, Table

T = TypeVar("T")

#: The last second that a Python datetime has, in Unix seconds.
LAST_SECOND = 253402300799
SAMPLES = 5
# D1 gives a request 30 seconds, of which a million rows take 5 or so, and a result 100 columns at most.
_ROWS_AT_ONCE, _SUBQUERIES_AT_ONCE = 1_000_000, 50

# '+0 days' lets older versions of SQLite, too, turn February 31st into March, by which it is found out.
_ZONES = "('', 'Z', '+00:00')"
_INSTANT_TEXT = (
    "CASE WHEN datetime(substr({0},1,19),'+0 days') = replace(substr({0},1,19),'T',' ') "
    f"THEN substr({{0}},20) NOT IN {_ZONES} AND NOT (substr({{0}},20) GLOB '.[0-9]*' "
    f"AND ltrim(substr({{0}},21),'0123456789') IN {_ZONES}) "
    "WHEN {0} NOT GLOB '*[^0-9]*' THEN {1} "
    "WHEN length({0}) = 10 THEN date({0},'+0 days') IS NOT {0} "
    "ELSE datetime(substr({0},1,16),'+0 days') IS NOT replace(substr({0},1,16),'T',' ') || ':00' "
    f"OR substr({{0}},17) NOT IN {_ZONES} END"
)
_SECONDS_TEXT = f"{{0}} = '' OR length({{0}}) > 12 OR CAST({{0}} AS INTEGER) > {LAST_SECOND}"
_INSTANT = (
    f"CASE typeof({{0}}) WHEN 'null' THEN 0 WHEN 'integer' THEN {{0}} NOT BETWEEN 0 AND {LAST_SECOND} "
    f"WHEN 'text' THEN {_INSTANT_TEXT.replace('{1}', _SECONDS_TEXT)} ELSE 1 END"
)
_DAY = f"CASE typeof({{0}}) WHEN 'null' THEN 0 WHEN 'text' THEN {_INSTANT_TEXT.replace('{1}', '1')} ELSE 1 END"
_JSON = "CASE typeof({0}) WHEN 'null' THEN 0 WHEN 'text' THEN NOT json_valid({0}) ELSE 1 END"
_ID = (
    "CASE typeof({0}) WHEN 'null' THEN 0 WHEN 'text' THEN "
    "NOT ({0} GLOB '{1}_?*' AND {0} NOT GLOB '*[^A-Za-z0-9_]*') ELSE 1 END"
)
_EXPECTED = {"timestamp": "a date and time", "date": "a date", "json": "JSON"}


class Extent(NamedTuple):
    """How many rows a table has, and its first and last rowid; None for a table without rows or rowids."""

    rows: int
    first: int | None
    last: int | None


@dataclass(frozen=True)
class Rule:
    """What one column should hold: `condition` is SQL that is true of an odd value, with {0} for the column."""

    table: str
    column: str
    kind: str
    expected: str
    condition: str


@dataclass(frozen=True)
class Oddity:
    """Odd values of one column: how many, and a few of them with their rows' keys. JSON is not shown."""

    rule: Rule
    count: int
    samples: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        rule = self.rule
        found = {"count": self.count, "samples": self.samples}
        return {"table": rule.table, "column": rule.column, "kind": rule.kind, "expected": rule.expected, **found}

    def __str__(self) -> str:
        shown = ", ".join(
            f"{each['key']}" + (f" ({each['value']!r})" if each["value"] is not None else "") for each in self.samples
        )
        return f"{self.rule.table}.{self.rule.column}: {self.count:,} not {self.rule.expected}: {shown}"


_ids: list[Rule] = []


def register_ids(table: str, **prefixes: str) -> None:
    """Say which columns hold ids of Clerk or Stripe: `register_ids("users", id="user", stripeCustomerId="cus")`."""
    for column, prefix in prefixes.items():
        rule = Rule(table, column, "id", KINDS[prefix], _ID.replace("{1}", prefix))
        if rule not in _ids:
            _ids.append(rule)


def rules(schema: Schema) -> list[Rule]:
    """The rules of all columns that the live schema has: dates and JSON as the models have them, and the ids."""
    wanted = [*_of_models(), *_ids]
    return [rule for rule in wanted if _has(schema.tables.get(rule.table), rule.column)]


def _has(table: Table | None, column: str) -> bool:
    return table is not None and column.lower() in table.columns


def _of_models() -> Iterator[Rule]:
    kinds = ((InstantField, "timestamp", _INSTANT), (DayField, "date", _DAY), (JSONTextField, "json", _JSON))
    for model in apps.get_models():
        if model._meta.managed:
            continue
        for field in model._meta.concrete_fields:
            for field_class, kind, condition in kinds:
                if isinstance(field, field_class) and field.column:
                    yield Rule(model._meta.db_table.lower(), field.column, kind, _EXPECTED[kind], condition)


def count_rows(connection: BaseDatabaseWrapper, schema: Schema) -> dict[str, Extent]:
    """Rows of each table and the rowids that they span, by key in `schema.tables`."""
    extents = {}
    for keys in _packed(list(schema.tables), lambda key: 1, _SUBQUERIES_AT_ONCE):
        terms = []
        for table in map(schema.tables.__getitem__, keys):
            span = "NULL, NULL" if table.without_rowid else "min(rowid), max(rowid)"
            terms.append(f"(SELECT json_array(count(*), {span}) FROM {quoted(table.name)})")  # noqa: S608
        for key, extent in zip(keys, _one_row(connection, terms), strict=True):
            extents[key] = Extent(*json.loads(extent))
    return extents


def count_oddities(connection: BaseDatabaseWrapper, schema: Schema, extents: dict[str, Extent]) -> dict[Rule, int]:
    """Odd values by rule, where there are any. One pass over each table, in queries of some million rows each."""
    by_table: dict[str, list[Rule]] = {}
    for rule in rules(schema):
        by_table.setdefault(rule.table, []).append(rule)
    quote, odd = connection.ops.quote_name, Counter[Rule]()
    slices = [(key, where, rows) for key in by_table for where, rows in _slices(extents[key])]
    for some in _packed(slices, lambda each: each[2], _ROWS_AT_ONCE):
        terms = [
            f"(SELECT json_array({', '.join(_counted(rule, quote) for rule in by_table[key])})"  # noqa: S608
            f" FROM {quote(schema.tables[key].name)}{where})"
            for key, where, _ in some
        ]
        for (key, _, _), counts in zip(some, _one_row(connection, terms), strict=True):
            odd.update(dict(zip(by_table[key], json.loads(counts), strict=True)))
    return {rule: count for rule, count in odd.items() if count}


def _slices(extent: Extent) -> Iterator[tuple[str, int]]:
    """A WHERE for each slice of a table, and about how many rows it has."""
    first, last = extent.first or 0, extent.last or 0
    # Where rowids are far apart, as where somebody chose them, slices would be many and empty.
    if extent.rows <= _ROWS_AT_ONCE or last - first > 4 * extent.rows:
        yield "", extent.rows
        return
    for start in range(first, last + 1, _ROWS_AT_ONCE):
        yield f" WHERE rowid BETWEEN {start} AND {start + _ROWS_AT_ONCE - 1}", _ROWS_AT_ONCE


def _counted(rule: Rule, quote: Any) -> str:
    return f"count(CASE WHEN {_condition(rule, quote)} THEN 1 END)"


def _condition(rule: Rule, quote: Any) -> str:
    return rule.condition.replace("{0}", quote(rule.column))


def look_closer(
    connection: BaseDatabaseWrapper, schema: Schema, extents: dict[str, Extent], odd: dict[Rule, int]
) -> list[Oddity]:
    """The odd values that were counted, each with samples; no query where there are none."""
    found, quote = [], connection.ops.quote_name
    for some in _packed(list(odd), lambda rule: extents[rule.table].rows, _ROWS_AT_ONCE):
        terms = [_sampled(rule, schema.tables[rule.table], quote) for rule in some]
        for rule, samples in zip(some, _one_row(connection, terms), strict=True):
            pairs = [{"key": key, "value": value} for key, value in json.loads(samples)]
            found.append(Oddity(rule, odd[rule], pairs))
    return found


def _sampled(rule: Rule, table: Table, quote: Any) -> str:
    key = quote(table.columns[table.primary_key[0]].name) if table.primary_key else "rowid"
    column = quote(rule.column)
    # Attachments and what staff noted are nobody's business here: their row is named, they are not shown.
    value = "NULL" if rule.kind == "json" else f"CASE typeof({column}) WHEN 'blob' THEN 'x' || hex({column}) ELSE "
    value += "" if rule.kind == "json" else f"CAST({column} AS TEXT) END"
    return (
        f"(SELECT json_group_array(json_array(key, substr(value, 1, 60))) FROM (SELECT CAST({key} AS TEXT) AS key, "  # noqa: S608
        f"{value} AS value FROM {quote(table.name)} WHERE {_condition(rule, quote)} LIMIT {SAMPLES}))"
    )


def _one_row(connection: BaseDatabaseWrapper, terms: Sequence[str]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(terms)}")
        return tuple(cursor.fetchone())


def _packed(items: Sequence[T], weight: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """The items in lists that together weigh at most `most`, or are alone, and have a result's columns at most."""
    pack: list[T] = []
    for item in items:
        if pack and (sum(map(weight, pack)) + weight(item) > most or len(pack) == _SUBQUERIES_AT_ONCE):
            yield pack
            pack = []
        pack.append(item)
    if pack:
        yield pack
