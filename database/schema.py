"""The schema of a database as meanings: tables, columns, keys, indexes and CHECKs, however they are spelled."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from database.spelling import Terms, checks, expression, index_terms, plain, spelled, words_after_body

# Tables of nobody's: the engine's own, and what wrangler keeps.
OURS = "{0}tbl_name NOT GLOB '_cf_*' AND {0}tbl_name NOT GLOB 'sqlite_*' AND {0}tbl_name <> 'd1_migrations'"
_OF_TABLES = f"WHERE m.type = 'table' AND m.sql NOT LIKE 'create virtual%' AND {OURS.format('m.')}"

# One statement, for on D1 each is a request; a compound SELECT has at most 5 terms there.
SCHEMA_SQL = f"""
SELECT 'object' AS part, m.name, json_array(m.type, m.tbl_name, m.sql) AS detail FROM sqlite_master m
WHERE {OURS.format("m.")} AND m.sql IS NOT NULL
UNION ALL
SELECT 'column', m.name, json_array(c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden)
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c {_OF_TABLES}
UNION ALL
SELECT 'key', m.name, json_array(k.id, k.seq, k."table", k."from", k."to", k.on_delete, k.on_update)
FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k {_OF_TABLES}
UNION ALL
SELECT 'index', m.name, json_array(i.name, i."unique", i.origin, t.seqno, t.cid, t.name, t."desc", t.coll)
FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN pragma_index_xinfo(i.name) t {_OF_TABLES} AND t.key = 1
"""  # noqa: S608


class Cursor(Protocol):
    """What is asked of a cursor: Django's, of either database, or one of sqlite3."""

    def execute(self, sql: str, /) -> Any: ...
    def fetchall(self) -> Sequence[Sequence[Any]]: ...


@dataclass(frozen=True)
class Column:
    """`affinity` is what the declared type means; see https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""

    name: str
    type: str
    affinity: str
    not_null: bool
    default: str | None
    generated: bool

    @property
    def meant_default(self) -> str:
        return expression(self.default or "null")

    def __str__(self) -> str:
        default = "" if self.default is None else f" DEFAULT {self.default}"
        return f"{self.type or 'no type'}{' NOT NULL' if self.not_null else ''}{default}"


@dataclass(frozen=True)
class ForeignKey:
    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_delete: str
    on_update: str

    def __str__(self) -> str:
        return (
            f"({', '.join(self.columns)}) REFERENCES {self.table} ({', '.join(self.to)})"
            f" ON DELETE {self.on_delete} ON UPDATE {self.on_update}"
        )


@dataclass(frozen=True)
class Index:
    """`terms` are columns or expressions, with COLLATE and DESC where they are not the default."""

    name: str
    unique: bool
    terms: tuple[str, ...]
    where: str
    origin: str = field(compare=False)

    @property
    def meaning(self) -> tuple[bool, tuple[str, ...], str]:
        return self.unique, self.terms, self.where

    def __str__(self) -> str:
        where = f" WHERE {self.where}" if self.where else ""
        return f"{'UNIQUE ' if self.unique else ''}INDEX ({', '.join(self.terms)}){where}"


@dataclass
class Table:
    """A table; the keys of `columns` and all names inside keys, indexes and CHECKs are in lower case."""

    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    without_rowid: bool = False
    strict: bool = False


@dataclass
class Schema:
    """Tables by name in lower case; views, triggers and virtual tables by (kind, name), each with its text."""

    tables: dict[str, Table] = field(default_factory=dict)
    others: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class _Parts:
    objects: list[tuple[str, list[Any]]] = field(default_factory=list)
    columns: dict[str, list[list[Any]]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, list[list[Any]]] = field(default_factory=lambda: defaultdict(list))
    indexes: dict[str, list[list[Any]]] = field(default_factory=lambda: defaultdict(list))


def read_schema(cursor: Cursor) -> Schema:
    """The schema of the database behind `cursor`, in one query. Reads only."""
    cursor.execute(SCHEMA_SQL)
    parts = _sort(cursor.fetchall())
    schema = Schema()
    index_texts = {name: detail[2] for name, detail in parts.objects if detail[0] == "index"}
    for name, (kind, _, sql) in parts.objects:
        if kind == "table" and name in parts.columns:
            schema.tables[name.lower()] = _table(name, sql, parts, index_texts)
        elif kind != "index":
            schema.others["virtual table" if kind == "table" else kind, name.lower()] = spelled(sql)
    _name_implied_keys(schema)
    return schema


def _sort(rows: Iterable[Sequence[Any]]) -> _Parts:
    parts = _Parts()
    into = {"column": parts.columns, "key": parts.keys, "index": parts.indexes}
    for part, name, detail in rows:
        if part == "object":
            parts.objects.append((name, json.loads(detail)))
        else:
            into[part][name].append(json.loads(detail))
    return parts


def _table(name: str, sql: str, parts: _Parts, index_texts: dict[str, str]) -> Table:
    rows = parts.columns[name]
    key = tuple(row[0].lower() for row in sorted(rows, key=lambda row: row[4]) if row[4])
    columns = {row[0].lower(): _column(row, alone=len(key) == 1) for row in rows}
    options = words_after_body(sql)
    return Table(
        name=name,
        columns=columns,
        primary_key=key,
        foreign_keys=list(_foreign_keys(parts.keys[name])),
        indexes=list(_indexes(parts.indexes[name], index_texts, columns)),
        checks=checks(sql, columns),
        without_rowid="rowid" in options,
        strict="strict" in options,
    )


def _column(row: list[Any], *, alone: bool) -> Column:
    name, declared, not_null, default, key, hidden = row
    declared = " ".join(declared.upper().split())
    # Exactly INTEGER, as the whole primary key, is the rowid itself; INT is not.
    meaning = "ROWID" if key and alone and declared == "INTEGER" else affinity(declared)
    return Column(name, declared, meaning, bool(not_null), default, hidden in (2, 3))


def affinity(declared: str) -> str:
    """INTEGER counts as NUMERIC, for the two differ in a CAST alone."""
    rules = {"INT": "NUMERIC", "CHAR|CLOB|TEXT": "TEXT", "BLOB": "BLOB", "REAL|FLOA|DOUB": "REAL"}
    for words, meaning in rules.items():
        if re.search(words, declared.upper()):
            return meaning
    return "NUMERIC" if declared else "BLOB"


def _foreign_keys(rows: list[list[Any]]) -> Iterator[ForeignKey]:
    for number in dict.fromkeys(row[0] for row in rows):
        links = sorted((row for row in rows if row[0] == number), key=lambda row: row[1])
        _, _, table, _, _, on_delete, on_update = links[0]
        columns = tuple(link[3].lower() for link in links)
        to = tuple((link[4] or "").lower() for link in links)
        yield ForeignKey(columns, table.lower(), to, on_delete.upper(), on_update.upper())


def _name_implied_keys(schema: Schema) -> None:
    """`REFERENCES users` alone means the primary key of users."""
    for table in schema.tables.values():
        for place, key in enumerate(table.foreign_keys):
            parent = schema.tables.get(key.table)
            if parent and not any(key.to):
                meant = ForeignKey(key.columns, key.table, parent.primary_key, key.on_delete, key.on_update)
                table.foreign_keys[place] = meant


def _indexes(rows: list[list[Any]], texts: dict[str, str], columns: dict[str, Column]) -> Iterator[Index]:
    for name in dict.fromkeys(row[0] for row in rows):
        terms = sorted((row for row in rows if row[0] == name), key=lambda row: row[3])
        written = index_terms(texts[name], columns) if name in texts else Terms([], "")
        spelled_terms = tuple(_term(row, written.terms) for row in terms)
        yield Index(name, bool(terms[0][1]), spelled_terms, written.where, terms[0][2])


def _term(row: list[Any], written: list[str]) -> str:
    place, number, name, descending, collation = row[3:]
    text = plain(name) if number >= 0 else written[place] if number == -2 else "rowid"
    collate = "" if collation.upper() == "BINARY" else f" COLLATE {collation.upper()}"
    return f"{text}{collate}{' DESC' if descending else ''}"
