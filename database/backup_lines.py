"""The rows of a SQLite table as lines of JSON that the engine itself spells, hundreds at a time.

It spells NULL, integers and text as `archive_values` does, byte by byte. Where a page has anything else (a REAL, a
BLOB, text that is no UTF-8) or is large, its rows are read one by one and spelled there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from database.archive_format import TABLE
from database.archive_values import Row, encoded
from database.backup_tables import Shape, quoted

#: Rows of a page: some 50 kB as a rule, which the processor's cache holds.
PAGE_ROWS = 256
#: A page that is longer is read row by row, so that rows of many megabytes are never joined in memory.
PAGE_BYTES = 4 * 1024 * 1024
#: After pages that had to be read row by row, so many are read so before the next try.
MOST_SLOW_PAGES = 64
_FIRST, _LAST = -(2**63), 2**63 - 1
# From here on json_array takes a BLOB for JSON where it looks like SQLite's binary form of it, in place of an error.
_KNOWS_JSONB = sqlite3.sqlite_version_info >= (3, 45)

#: The rows of a table between two numbers, both included.
Between = Callable[[int, int], Iterable[Row]]


def can_spell(database: sqlite3.Connection, shape: Shape) -> bool:
    """Whether pages of this table can be had: by the numbers of its rows, in a database that keeps UTF-8."""
    return bool(shape.kind == TABLE and shape.rowid and database.execute("PRAGMA encoding").fetchone()[0] == "UTF-8")


def number_of(shape: Shape) -> str:
    """SQL for the number of a row."""
    return quoted(shape.rowid_column) if shape.rowid_column else str(shape.rowid)


def spelled_lines(
    database: sqlite3.Connection, shape: Shape, columns: list[str], between: Between
) -> Iterator[tuple[bytes, int]]:
    """Lines of JSON in the order of the rows' numbers, in chunks, each with its number of rows."""
    page, bounds = _sql(shape, columns)
    first, slow = _FIRST, 1
    while first <= _LAST:
        data, last, count = _spelled(database, page, first)
        if not count:
            return
        if data is not None:
            slow = 1
            yield data + b"\n", count
        else:
            (last,) = database.execute(bounds, [first, PAGE_ROWS * slow]).fetchone()
            slow = min(2 * slow, MOST_SLOW_PAGES)
            yield from encoded(between(first, last))
        first = last + 1


def _sql(shape: Shape, columns: list[str]) -> tuple[str, str]:
    """The query of a page, and that of the last number of some rows."""
    number, table = number_of(shape), quoted(shape.name)
    names = ", ".join(map(quoted, columns))
    affinities = dict(zip(shape.columns, shape.affinities, strict=True))
    strange = " OR ".join(test for column in columns if (test := _test(column, affinities.get(column))))
    rows = f"FROM {table} WHERE {number} >= ? ORDER BY {number} LIMIT"
    page = (
        "SELECT CAST(group_concat(line, char(10)) AS BLOB), max(number), count(*), max(strange) FROM "  # noqa: S608
        f"(SELECT json_array({names}) AS line, {number} AS number, {strange or '0'} AS strange {rows} {PAGE_ROWS})"
    )
    return page, f"SELECT max(number) FROM (SELECT {number} AS number {rows} ?)"  # noqa: S608


def _test(column: str, affinity: str | None) -> str:
    """SQL that is true where JSON would be no exact spelling; an older json_array refuses a BLOB by itself."""
    if affinity is None:
        return ""
    kind = f"typeof({quoted(column)})"
    if affinity == "TEXT":
        # A column of text turns each number into text.
        return f"{kind} = 'blob'" if _KNOWS_JSONB else ""
    return f"{kind} IN ('real', 'blob')" if _KNOWS_JSONB else f"{kind} = 'real'"


def _spelled(database: sqlite3.Connection, page: str, first: int) -> tuple[bytes | None, int, int]:
    """A page's lines, its last number and how many rows it has; no lines where its rows are to be read one by one."""
    try:
        with _at_most(database, PAGE_BYTES):
            data, last, count, strange = database.execute(page, [first]).fetchone()
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        if not _is_of_a_value(error):
            raise
        return None, first, 1
    if not count:
        return None, first, 0
    return (None if strange or not _is_text(data) else data), last, count


def _is_of_a_value(error: sqlite3.Error) -> bool:
    """A BLOB, or more bytes than a page may have."""
    return "BLOB" in str(error) or "too big" in str(error)


@contextmanager
def _at_most(database: sqlite3.Connection, size: int) -> Iterator[None]:
    usual = database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size)
    try:
        yield
    finally:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, usual)


def _is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
