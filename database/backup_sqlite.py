"""One consistent moment of a SQLite database, while others write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from django.db.backends.base.base import BaseDatabaseWrapper

from database.archive_format import TABLE, VIRTUAL
from database.archive_values import ROWS_TOGETHER, RawText, Row, encoded
from database.backup_lines import can_spell, number_of, spelled_lines
from database.backup_tables import Contents, Shape, quoted, read_contents
from database.restore_build import open_build

#: Seconds that a lock of somebody else is waited for.
PATIENCE = 60
# Python's words for TEXT that is no valid UTF-8.
_UNDECODABLE = "Could not decode to UTF-8"


class BackupError(Exception):
    """A backup that cannot be made, kept or verified. The text is a sentence that says what to do."""


class SQLiteSource:
    """A database to read, within a transaction that shows one moment."""

    engine, method = "sqlite", "snapshot"
    single_moment = True

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self.database, self.name = database, name
        self.bookmarks: dict[str, str] | None = None
        self.warnings: list[str] = []

    def query(self, sql: str) -> list[Any]:
        return self.database.execute(sql).fetchall()

    def contents(self) -> Contents:
        return read_contents(self.query)

    def pragmas(self) -> dict[str, Any]:
        return {name: self.query(f"PRAGMA {name}")[0][0] for name in ("user_version", "application_id", "encoding")}

    def columns(self, shape: Shape) -> list[str]:
        """The columns to read, led by the rows' number where that has to be kept."""
        names = list(shape.columns)
        if shape.rowid is None or shape.rowid_column or shape.kind not in (TABLE, VIRTUAL):
            return names
        return names if shape.kind == TABLE and self._is_dense(shape) else [shape.rowid, *names]

    def _is_dense(self, shape: Shape) -> bool:
        """Whether the numbers are 1, 2, 3 ..., which the order of the rows gives back by itself."""
        parts = (f"min({shape.rowid})", f"max({shape.rowid})", "count(*)")
        # Apart from each other, so that the ends are looked up and the rows counted by the smallest index.
        first, last, count = (f"(SELECT {part} FROM {quoted(shape.name)})" for part in parts)  # noqa: S608
        return bool(self.query(f"SELECT coalesce({first}, 1) = 1 AND coalesce({last}, 0) = {count}")[0][0])

    def lines(self, shape: Shape, columns: list[str]) -> Iterator[tuple[bytes, int]]:
        """The rows as lines of a backup, in chunks, each with its number of rows."""
        if not can_spell(self.database, shape):
            return encoded(self.rows(shape, columns))

        def between(first: int, last: int) -> Iterator[Row]:
            return self._selected(shape, columns, f" WHERE {number_of(shape)} BETWEEN {first} AND {last}")

        return spelled_lines(self.database, shape, columns, between)

    def rows(self, shape: Shape, columns: list[str]) -> Iterator[Row]:
        return iter(()) if shape.contentless else self._selected(shape, columns)

    def _selected(self, shape: Shape, columns: list[str], where: str = "") -> Iterator[Row]:
        names = ", ".join(map(quoted, columns))
        # Without an order an index that covers the query might be read in the table's place.
        order = f" ORDER BY {number_of(shape)}" if shape.rowid and shape.kind == TABLE else ""
        sql = f"SELECT {names} FROM {quoted(shape.name)}{where}{order}"  # noqa: S608
        count = 0
        try:
            cursor = self.database.execute(sql)
            while rows := cursor.fetchmany(ROWS_TOGETHER):
                yield from rows
                count += len(rows)
        except sqlite3.OperationalError as error:
            if _UNDECODABLE not in str(error):
                raise
            yield from self._lenient(f"{sql} LIMIT -1 OFFSET {count}")

    def _lenient(self, sql: str) -> Iterator[Row]:
        usual = self.database.text_factory
        self.database.text_factory = _text
        try:
            yield from self.database.execute(sql)
        finally:
            self.database.text_factory = usual


def _text(data: bytes) -> str | RawText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return RawText(data)


@contextmanager
def sqlite_source(connection: BaseDatabaseWrapper) -> Iterator[SQLiteSource]:
    """The database behind a connection of Django's as it is at this moment.

    In WAL mode a read transaction shows it, and blocks nobody. In the older journal modes such a transaction would hold
    up each writer until the last row, so the pages are copied first, in a second or two, to a temporary file.
    """
    name = str(connection.settings_dict["NAME"])
    try:
        with closing(_snapshot(connection, name)) as database:
            yield SQLiteSource(database, name)
    except sqlite3.Error as error:
        raise BackupError(f"{name} cannot be read: {error}. Nothing was kept.") from error


def _snapshot(connection: Any, name: str) -> sqlite3.Connection:
    if connection.is_in_memory_db():
        # The backup API would wait for ever for a transaction that this very connection has begun.
        connection.ensure_connection()
        copy = sqlite3.connect(":memory:", isolation_level=None)
        copy.deserialize(connection.connection.serialize())
        return copy
    uri = name if name.startswith("file:") else f"file:{quote(name)}?mode=ro"
    database = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        ((mode,),) = database.execute("PRAGMA journal_mode").fetchall()
        database.execute("BEGIN")
        # The transaction begins here: a copy then waits for no lock any more.
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if mode == "wal":
            return database
        copy = _copy(database)
    except BaseException:
        database.close()
        raise
    database.close()
    return copy


def _copy(database: sqlite3.Connection) -> sqlite3.Connection:
    """All pages at once: a copy by parts starts over whenever another process writes."""
    copy = open_build()
    try:
        database.backup(copy, pages=-1)
    except BaseException:
        copy.close()
        raise
    return copy
