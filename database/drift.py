"""What a live schema lacks, has otherwise, or has besides, against the one that the SQL migrations make.

Less, or other, is drift. More is no error: the app adds columns, tables and indexes of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field

from database.migrations import Migration, MigrationError
from database.schema import Schema, Table, read_schema


@dataclass(frozen=True)
class Difference:
    """One difference; `expected` is None for what is more, `found` for what is missing.

    `kind` is table, column, type, not_null, generated, primary_key, rowid, foreign_key, index, check, default, strict,
    trigger, view or virtual table.
    """

    kind: str
    table: str
    name: str
    expected: str | None
    found: str | None

    def as_dict(self) -> dict[str, str | None]:
        return asdict(self)

    def __str__(self) -> str:
        where = self.kind.replace("_", " ") if self.name == self.table else f"{self.kind.replace('_', ' ')} {self.name}"
        if self.expected is None:
            return f"{self.table}: more: {where}: {self.found}"
        if self.found is None:
            return f"{self.table}: missing: {where}: {self.expected}"
        return f"{self.table}: {where} is {self.found} instead of {self.expected}"


@dataclass
class Comparison:
    drift: list[Difference] = field(default_factory=list)
    more: list[Difference] = field(default_factory=list)


def expected_schema(migrations: Iterable[Migration]) -> Schema:
    """The schema that these files make, built in memory. Raises MigrationError for a file that does not apply."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for migration in migrations:
            for number, statement in enumerate(migration.statements, start=1):
                try:
                    database.execute(statement)
                except sqlite3.Error as error:
                    text = f"{migration} does not apply to an empty database: statement {number} fails: {error}."
                    raise MigrationError(text) from None
        return read_schema(database.cursor())


def compare(expected: Schema, live: Schema) -> Comparison:
    """Every difference between the two, tables in the order of `expected`."""
    result = Comparison()
    for key, table in expected.tables.items():
        found = live.tables.get(key)
        if found is None:
            result.drift.append(Difference("table", table.name, table.name, _description(table), None))
        else:
            _sort_out(_of_table(table, found), result)
    for key, table in live.tables.items():
        if key not in expected.tables:
            result.more.append(Difference("table", table.name, table.name, None, _description(table)))
    _sort_out(_of_others(expected, live), result)
    return result


def _sort_out(differences: Iterable[Difference], result: Comparison) -> None:
    for each in differences:
        # Another DEFAULT changes no row and no query of ours, so it is told and is no drift.
        (result.more if each.expected is None or each.kind == "default" else result.drift).append(each)


def _description(table: Table) -> str:
    return f"({', '.join(column.name for column in table.columns.values())})"


def _of_table(expected: Table, live: Table) -> Iterator[Difference]:
    yield from _of_columns(expected, live)
    if expected.primary_key != live.primary_key:
        wanted, found = (", ".join(table.primary_key) or "none" for table in (expected, live))
        yield Difference("primary_key", expected.name, expected.name, f"({wanted})", f"({found})")
    if expected.without_rowid != live.without_rowid:
        wanted, found = ("WITHOUT ROWID" if table.without_rowid else "with rowid" for table in (expected, live))
        yield Difference("rowid", expected.name, expected.name, wanted, found)
    if live.strict and not expected.strict:
        yield Difference("strict", expected.name, expected.name, None, "STRICT")
    yield from _of_foreign_keys(expected, live)
    yield from _of_indexes(expected, live)
    yield from _of_checks(expected, live)


def _of_columns(expected: Table, live: Table) -> Iterator[Difference]:
    for key, column in expected.columns.items():
        found = live.columns.get(key)
        if found is None:
            yield Difference("column", expected.name, column.name, str(column), None)
            continue
        if column.affinity != found.affinity:
            yield Difference("type", expected.name, column.name, column.type, found.type or "no type")
        if column.not_null != found.not_null:
            wanted = "NOT NULL" if column.not_null else None
            yield Difference("not_null", expected.name, column.name, wanted, "NULL" if wanted else "NOT NULL")
        if column.generated != found.generated:
            wanted, is_now = ("generated" if each.generated else "stored" for each in (column, found))
            yield Difference("generated", expected.name, column.name, wanted, is_now)
        if column.meant_default != found.meant_default:
            yield Difference("default", expected.name, column.name, column.default, found.default)
    for key, column in live.columns.items():
        if key not in expected.columns:
            yield Difference("column", expected.name, column.name, None, str(column))


def _of_foreign_keys(expected: Table, live: Table) -> Iterator[Difference]:
    missing = [key for key in expected.foreign_keys if key not in live.foreign_keys]
    more = [key for key in live.foreign_keys if key not in expected.foreign_keys]
    for key in missing:
        other = next((each for each in more if each.columns == key.columns), None)
        if other:
            more.remove(other)
        name = _as_written(key.columns, expected)
        yield Difference("foreign_key", expected.name, name, str(key), str(other) if other else None)
    for key in more:
        yield Difference("foreign_key", expected.name, _as_written(key.columns, live), None, str(key))


def _as_written(columns: Iterable[str], table: Table) -> str:
    return ", ".join(table.columns[column].name if column in table.columns else column for column in columns)


def _of_indexes(expected: Table, live: Table) -> Iterator[Difference]:
    """An index serves under any name; a primary key's own stands for a UNIQUE one."""
    wanted = [index for index in expected.indexes if index.origin != "pk"]
    there = {index.meaning for index in live.indexes}
    missing = [index for index in wanted if index.meaning not in there]
    for index in missing:
        other = next((each for each in live.indexes if each.name.lower() == index.name.lower()), None)
        name = index.name if index.origin == "c" else ", ".join(index.terms)
        replaced = other if index.origin == "c" else None
        yield Difference("index", expected.name, name, str(index), str(replaced) if replaced else None)
    known = {index.meaning for index in wanted} | {index.meaning for index in expected.indexes}
    names = {index.name.lower() for index in missing if index.origin == "c"}
    for index in live.indexes:
        if index.meaning not in known and index.name.lower() not in names and index.origin != "pk":
            yield Difference("index", expected.name, index.name, None, str(index))


def _of_checks(expected: Table, live: Table) -> Iterator[Difference]:
    missing = [check for check in expected.checks if check not in live.checks]
    more = [check for check in live.checks if check not in expected.checks]
    for check in missing:
        columns = _columns_in(check, expected)
        other = next((each for each in more if _columns_in(each, live) == columns), None)
        if other:
            more.remove(other)
        yield Difference("check", expected.name, ", ".join(columns), f"CHECK ({check})", other and f"CHECK ({other})")
    for check in more:
        yield Difference("check", expected.name, ", ".join(_columns_in(check, live)), None, f"CHECK ({check})")


def _columns_in(check: str, table: Table) -> list[str]:
    return [column.name for key, column in table.columns.items() if key in check.split()]


def _of_others(expected: Schema, live: Schema) -> Iterator[Difference]:
    for (kind, name), text in expected.others.items():
        found = live.others.get((kind, name))
        if found != text:
            yield Difference(kind, name, name, text, found)
    for (kind, name), text in live.others.items():
        if (kind, name) not in expected.others:
            yield Difference(kind, name, name, None, text)
