"""Backups made on the spot, and what a database holds, for tests of restores."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from database.archive_format import Member, member_of
from database.archive_writer import ArchiveWriter
from database.backup_sqlite import SQLiteSource

Query = Callable[[str], list[Any]]


def pack(database: sqlite3.Connection, path: Path, **manifest: Any) -> Path:
    """Write a backup of a database to `path`."""
    source = SQLiteSource(database, "packed")
    contents = source.contents()
    with TemporaryFile() as spool, path.open("wb") as file:
        writer = ArchiveWriter(spool)
        for shape in contents.shapes:
            columns = source.columns(shape)
            member = Member(member_of(shape.name), shape.name, shape.kind, columns)
            writer.add_lines(member, source.lines(shape, columns))
        members = [member.as_dict() for member in writer.members]
        for piece in writer.chunks({"members": members, "objects": contents.objects, **manifest}):
            file.write(piece)
    return path


def made(script: str) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(script)
    return database


def snapshot(query: Query) -> dict[str, Any]:
    """All that a database holds, each value with its kind: equal for two that are the same row by row."""
    objects = query(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~' "
        "AND name NOT GLOB '_cf_*' AND sql IS NOT NULL ORDER BY type, name"
    )
    tables = [row[1] for row in objects if row[0] == "table"]
    if query("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
        tables.append("sqlite_sequence")
    return {"objects": [tuple(row) for row in objects], "rows": {table: values(query, table) for table in tables}}


def values(query: Query, table: str) -> list[str]:
    """The rows as text: a BLOB, a NUL or a float of 17 digits shows."""
    name = table.replace('"', '""')
    literal = table.replace("'", "''")
    columns = [row[0] for row in query(f"SELECT name FROM pragma_table_xinfo('{literal}') WHERE hidden <> 1")]
    shown = [part for column in columns for part in (_text(quoted(column)), _real(quoted(column)))]
    return sorted(" ".join(map(_spelled, row)) for row in query(f'SELECT {", ".join(shown)} FROM "{name}"'))


def _text(column: str) -> str:
    blob = f"CAST({column} AS BLOB)"
    # Of a value that is too long in hex for D1 its ends.
    ends = f"length({blob}) || hex(substr({blob}, 1, 99)) || hex(substr({blob}, -99))"
    text = f"CASE WHEN length({blob}) > 50000 THEN {ends} ELSE hex({blob}) END"
    return f"typeof({column}) || CASE WHEN typeof({column}) IN ('real', 'null') THEN '' ELSE {text} END"


def _real(column: str) -> str:
    """As a number, for versions of SQLite print the last digits differently; an infinity in words, as D1 has none."""
    infinite = f"CASE WHEN abs({column}) > 1.7976931348623157e308 THEN 'inf' || sign({column}) ELSE {column} END"
    return f"CASE typeof({column}) WHEN 'real' THEN {infinite} END"


def _spelled(value: Any) -> str:
    return repr(float(value)) if isinstance(value, int | float) else str(value)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def querying(path: Path) -> Query:
    """Queries of a file, each over a connection of its own."""

    def query(sql: str) -> list[Any]:
        database = sqlite3.connect(path)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    return query
