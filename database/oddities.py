"""Values that a column should not hold, found by the database itself: counts in one pass over a table, then samples.

The conditions say in SQL what `database.values` says in Python. Patterns stay below the 50 bytes that D1 allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from database.fields import DayField, InstantField, JSONTextField
from database.identifiers import KINDS
from database.schema import Schema, Table

#: The last second that a Python datetime has, in Unix seconds.
LAST_SECOND = 253402300799
SAMPLES = 5
# A result has at most 100 columns on D1; a scan of a big table is given a request of its own kind of length.
_TABLES_AT_ONCE, _SUBQUERIES_AT_ONCE = 4, 50

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


def count_rows(
    connection: BaseDatabaseWrapper, schema: Schema, wanted: Iterable[Rule] = ()
) -> tuple[dict[str, int], dict[Rule, int]]:
    """Rows by table, and values that are odd by a wanted rule. One pass over each table, several in one query."""
    by_table: dict[str, list[Rule]] = {key: [] for key in schema.tables}
    for rule in wanted:
        by_table[rule.table].append(rule)
    rows: dict[str, int] = {}
    odd: dict[Rule, int] = {}
    for keys in _slices([key for key, found in by_table.items() if found], _TABLES_AT_ONCE):
        _count(connection, schema, {key: by_table[key] for key in keys}, rows, odd)
    for keys in _slices([key for key, found in by_table.items() if not found], _SUBQUERIES_AT_ONCE):
        _count(connection, schema, {key: [] for key in keys}, rows, odd)
    return {table.name: rows[key] for key, table in schema.tables.items()}, odd


def _count(
    connection: BaseDatabaseWrapper,
    schema: Schema,
    by_table: dict[str, list[Rule]],
    rows: dict[str, int],
    odd: dict[Rule, int],
) -> None:
    quote = connection.ops.quote_name
    terms = [
        f"(SELECT json_array(count(*){''.join(_counted(rule, quote) for rule in found)})"  # noqa: S608
        f" FROM {quote(schema.tables[key].name)})"
        for key, found in by_table.items()
    ]
    for (key, found), counts in zip(by_table.items(), _one_row(connection, terms), strict=True):
        rows[key], *odd_counts = json.loads(counts)
        odd.update({rule: count for rule, count in zip(found, odd_counts, strict=True) if count})


def _counted(rule: Rule, quote: Any) -> str:
    return f", count(CASE WHEN {_condition(rule, quote)} THEN 1 END)"


def _condition(rule: Rule, quote: Any) -> str:
    return rule.condition.replace("{0}", quote(rule.column))


def look_closer(connection: BaseDatabaseWrapper, schema: Schema, odd: dict[Rule, int]) -> list[Oddity]:
    """The odd values that were counted, each with samples; no query where there are none."""
    found = []
    quote = connection.ops.quote_name
    for some in _slices(list(odd), _SUBQUERIES_AT_ONCE):
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


def _slices(items: Sequence[str] | Sequence[Rule] | Iterable[Any], size: int) -> Iterator[list[Any]]:
    whole = list(items)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
