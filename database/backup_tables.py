"""What a database holds, as a backup sees it: each table with its columns, its rows' numbers and its parents.

Of SQLite and D1 alike, by whatever runs a query. Tables that nobody knows are among them; those of the engine are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from database.archive_format import SEQUENCE, TABLE, VIRTUAL
from database.restore_order import order_of
from database.schema import affinity

#: Runs a query and gives its rows.
Query = Callable[[str], Sequence[Sequence[Any]]]
_MASTER = r"""SELECT type, name, tbl_name, sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT GLOB '_cf_*' ORDER BY rowid"""
_KINDS = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'"
# An index of its own for the key tells INTEGER PRIMARY KEY DESC, which is no rowid, from one that is.
# https://www.sqlite.org/lang_createtable.html#rowid
_COLUMNS = """SELECT m.name, c.name, c.type, c.pk, c.hidden,
EXISTS(SELECT 1 FROM pragma_index_list(m.name) WHERE origin = 'pk')
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
WHERE m.type = 'table' AND m.sql NOT LIKE 'create virtual%' AND m.name NOT GLOB '_cf_*'"""
_PARENTS = """SELECT DISTINCT m.name, k."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k
WHERE m.type = 'table' AND m.sql NOT LIKE 'create virtual%' AND m.name NOT GLOB '_cf_*'"""
_HAS_SEQUENCE = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
_CONTENTLESS = re.compile(r"content\s*=\s*(''|\"\")", re.IGNORECASE)
_FTS = re.compile(r"USING\s+[\"'`\[]?fts\d", re.IGNORECASE)
_ORDER = {"table": 0, "index": 1, "view": 2, "trigger": 3}


@dataclass(frozen=True)
class Shape:
    """A table to read. `rowid` is the name under which the rows' numbers can be had, if they have any.

    `rowid_column` is the column that is that number itself. `key` are the columns of the primary key. `affinities` go
    with `columns`.
    """

    name: str
    kind: str = TABLE
    columns: tuple[str, ...] = ()
    affinities: tuple[str, ...] = ()
    rowid: str | None = None
    rowid_column: str | None = None
    key: tuple[str, ...] = ()
    contentless: bool = False


@dataclass(frozen=True)
class Contents:
    """All tables, parents first, and `objects` of sqlite_master in the order to make them."""

    shapes: list[Shape]
    objects: list[dict[str, str]]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_contents(query: Query) -> Contents:
    """What a database holds, in five queries and one for each virtual table. Errors are the engine's own."""
    kinds = {name: (kind, bool(wr)) for name, kind, wr in query(_KINDS)}
    objects = [
        {"type": kind, "name": name, "table": table, "sql": sql}
        for kind, name, table, sql in query(_MASTER)
        if kinds.get(table, ("table", False))[0] != "shadow"
    ]
    sql_of = {each["name"]: each["sql"] for each in objects if each["type"] == "table"}
    virtual = [name for name in sql_of if kinds.get(name, ("table", False))[0] == "virtual"]
    columns = _columns(query, virtual)
    shapes = {name: _shape(name, columns.get(name, []), kinds[name][1]) for name in sql_of if name not in virtual}
    ordered = [shapes[name] for name in _parents_first(query, list(shapes))]
    ordered += [_virtual(name, columns.get(name, []), sql_of[name]) for name in virtual]
    if query(_HAS_SEQUENCE):
        ordered.append(Shape("sqlite_sequence", SEQUENCE, ("name", "seq"), ("BLOB", "BLOB"), "rowid"))
    places = {shape.name: number for number, shape in enumerate(ordered)}
    objects.sort(key=lambda each: (_ORDER[each["type"]], places.get(each["name"], 0)))
    return Contents(ordered, objects)


def _columns(query: Query, virtual: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for name, *column in query(_COLUMNS):
        found.setdefault(name, []).append(tuple(column))
    for name in virtual:
        text = name.replace("'", "''")
        sql = f"SELECT name, type, pk, hidden, 0 FROM pragma_table_xinfo('{text}')"  # noqa: S608
        found[name] = [tuple(row) for row in query(sql)]
    return found


def _parents_first(query: Query, tables: list[str]) -> list[str]:
    named = {name.lower(): name for name in tables}
    parents: dict[str, set[str]] = {name: set() for name in tables}
    for child, parent in query(_PARENTS):
        if child in parents and parent.lower() in named and named[parent.lower()] != child:
            parents[child].add(named[parent.lower()])
    order = order_of(parents)
    return [*order.straight, *order.tangled]


def _shape(name: str, columns: list[tuple[Any, ...]], without_rowid: bool) -> Shape:
    kept = [column for column in columns if column[3] == 0]
    key = [column for column in sorted(columns, key=lambda each: each[2]) if column[2]]
    is_rowid = len(key) == 1 and key[0][1].upper() == "INTEGER" and not (without_rowid or key[0][4])
    taken = {column[0].lower() for column in columns}
    free = next((each for each in ("rowid", "_rowid_", "oid") if each not in taken), None)
    return Shape(
        name,
        TABLE,
        tuple(column[0] for column in kept),
        tuple(affinity(column[1]) for column in kept),
        None if without_rowid else key[0][0] if is_rowid else free,
        key[0][0] if is_rowid else None,
        tuple(column[0] for column in key),
    )


def _virtual(name: str, columns: list[tuple[Any, ...]], sql: str) -> Shape:
    """A full-text index is read with its rows' numbers, as they tie it to the table that it indexes."""
    kept = tuple(column[0] for column in columns if column[3] == 0)
    rowid = "rowid" if _FTS.search(sql) else None
    contentless = bool(rowid and _CONTENTLESS.search(sql))
    return Shape(name, VIRTUAL, kept, ("BLOB",) * len(kept), rowid, contentless=contentless)
