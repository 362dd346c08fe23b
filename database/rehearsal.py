"""What pending files would do to the schema, found out on a copy of it in memory that has no rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from database.migrations import Migration
from database.sql import words

Batch = tuple[Migration, list[str]]

_DATA = {"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "SELECT"}


@dataclass(frozen=True)
class Hazard:
    """A statement to look at twice.

    `loses` names tables whose rows would go. `refused`: the statement would do nothing where it should make a table.
    """

    migration: Migration
    number: int
    text: str
    loses: tuple[str, ...] = ()
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.migration}, statement {self.number} {self.text}."


def rehearse(connection: BaseDatabaseWrapper, batches: Sequence[Batch]) -> list[Hazard]:
    """The hazards of the statements, in order, up to the first that fails on the schema alone. Reads only."""
    with closing(copy_of_schema(connection)) as copy:
        return list(_hazards(copy, batches))


def copy_of_schema(connection: BaseDatabaseWrapper) -> sqlite3.Connection:
    """A database in memory with the same tables, indexes, triggers and views, and no rows."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sql FROM sqlite_master "
            "WHERE sql IS NOT NULL AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*' "
            "ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid"
        )
        for (sql,) in cursor.fetchall():
            _ran(copy, sql)
    copy.execute("PRAGMA foreign_keys = ON")
    return copy


def _ran(copy: sqlite3.Connection, sql: str) -> str | None:
    """Run a statement on the copy; what SQLite says where it fails, as over a table that a module made by itself."""
    try:
        copy.execute(sql)
    except sqlite3.Error as error:
        return str(error)
    return None


def _hazards(copy: sqlite3.Connection, batches: Sequence[Batch]) -> Iterator[Hazard]:
    for migration, statements in batches:
        spoken = [words(each) or [""] for each in statements]
        for number, statement in enumerate(statements, start=1):
            found = _look(copy, statement, spoken[number - 1], spoken[number:])
            for text, loses, refused in found:
                yield Hazard(migration, number, text, loses, refused)
            # What changes data is only compiled: the copy has no rows to change.
            compiled = f"EXPLAIN {statement}" if spoken[number - 1][0].upper() in _DATA else statement
            if (trouble := _ran(copy, compiled)) is not None:
                yield Hazard(migration, number, f"fails on this schema: {trouble}")
                return


Finding = tuple[str, tuple[str, ...], bool]


def _look(copy: sqlite3.Connection, statement: str, spoken: list[str], later: list[list[str]]) -> Iterator[Finding]:
    upper = [word.upper() for word in spoken]
    if upper[:2] == ["DROP", "TABLE"]:
        yield from _dropped(copy, _named(spoken, 2), later)
    elif upper[0] == "DROP" and upper[1:2] != ["INDEX"]:
        yield f"drops the {spoken[1].lower()} {_named(spoken, 2)}", (), False
    elif upper[:2] == ["ALTER", "TABLE"] and "DROP" in upper[3:6]:
        table = _named(spoken, 2)
        yield f"drops the column {spoken[-1]} of {table} with all it holds", (table,), False
    elif upper[:2] == ["DELETE", "FROM"] and "WHERE" not in upper:
        yield f"deletes every row of {_named(spoken, 2)}", (_named(spoken, 2),), False
    elif upper[0] == "PRAGMA" and "FOREIGN_KEYS" in upper:
        yield "has no effect: PRAGMA foreign_keys does nothing inside a transaction", (), False
    elif upper[0] == "CREATE" and "EXISTS" in upper[:6]:
        yield from _passed_over(copy, statement, upper, spoken)


def _named(spoken: list[str], place: int) -> str:
    """The object's name, behind IF EXISTS and a schema's name."""
    rest = spoken[place:]
    while rest and rest[0].upper() in ("IF", "NOT", "EXISTS"):
        rest = rest[1:]
    if rest[1:2] == ["."]:
        rest = rest[2:]
    return rest[0] if rest else ""


def _dropped(copy: sqlite3.Connection, table: str, later: list[list[str]]) -> Iterator[Finding]:
    lost_by_cascade = tuple(_cascading(copy, table))
    rebuilt = any(
        [word.upper() for word in each[-3:-1]] == ["RENAME", "TO"] and each[-1].lower() == table.lower()
        for each in later
    )
    if lost_by_cascade:
        yield (
            f"{'rebuilds' if rebuilt else 'drops'} {table}, and its DROP deletes every row of "
            f"{', '.join(lost_by_cascade)} as well (ON DELETE CASCADE; no PRAGMA prevents it here)",
            lost_by_cascade if rebuilt else (table, *lost_by_cascade),
            False,
        )
    elif not rebuilt:
        yield f"drops the table {table} with all its rows", (table,), False


def _cascading(copy: sqlite3.Connection, parent: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The tables whose rows go with those of `parent`, theirs included."""
    rows = copy.execute(
        "SELECT m.name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k WHERE m.type = 'table' "
        "AND lower(k.\"table\") = ? AND k.on_delete = 'CASCADE'",
        [parent.lower()],
    ).fetchall()
    for (child,) in rows:
        if child.lower() not in seen | {parent.lower()}:
            seen |= {parent.lower(), child.lower()}
            yield child
            yield from _cascading(copy, child, seen)


def _passed_over(copy: sqlite3.Connection, statement: str, upper: list[str], spoken: list[str]) -> Iterator[Finding]:
    """A CREATE ... IF NOT EXISTS over something of that name that has another shape."""
    kind = "TABLE" if "TABLE" in upper[:3] else "INDEX" if "INDEX" in upper[:3] else ""
    if not kind:
        return
    name = _named(spoken, upper.index(kind) + 1)
    if name.lower() == "schema_version":
        # The runner adds what this one lacks.
        return
    there = copy.execute(
        "SELECT sql FROM sqlite_master WHERE type = ? AND lower(name) = ?", [kind.lower(), name.lower()]
    ).fetchone()
    if there and kind == "TABLE":
        lacking = _lacking(copy, name, statement)
        if lacking:
            yield f"passes over the table {name}, which is there in another shape ({', '.join(lacking)})", (), True
    elif there and _without_existence(there[0]) != _without_existence(statement):
        yield f"passes over the index {name}, which is there over something else", (), False


def _lacking(copy: sqlite3.Connection, name: str, statement: str) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        if _ran(fresh, statement) is not None:
            return []
        wanted, found = _columns(fresh, name), _columns(copy, name)
    different = [
        f"{column} is {found[column]} instead of {kind}"
        for column, kind in wanted.items()
        if column in found and found[column] != kind
    ]
    missing = [column for column in wanted if column not in found]
    return ([f"without {', '.join(missing)}"] if missing else []) + different


def _columns(database: sqlite3.Connection, table: str) -> dict[str, str]:
    rows = database.execute("SELECT lower(name), upper(type), pk FROM pragma_table_xinfo(?)", [table])
    return {name: f"{kind or 'no type'}{' PRIMARY KEY' if key else ''}" for name, kind, key in rows}


def _without_existence(sql: str) -> list[str]:
    plain = [word.lower() for word in words(sql)]
    start = plain.index("index")
    rest = plain[start + 4 :] if plain[start + 1 : start + 4] == ["if", "not", "exists"] else plain[start + 1 :]
    return plain[:start] + rest
