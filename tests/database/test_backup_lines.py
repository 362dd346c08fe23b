"""Lines that SQLite itself spells are those that Python spells, byte by byte, whatever a table holds."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database import backup_lines
from database.archive_values import RawText, encoded
from database.backup_sqlite import SQLiteSource

from .packing import made

CELL = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.sampled_from(["\0", 'a"b\\c/\x7f\u2028\x1f\n\r\t\b\f', "[1,2],[3]", "😀"]),
    st.binary(),
    st.just(b"\x0b"),
    st.binary(min_size=1).map(RawText),
)
NUMBER = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
PAGES = st.integers(1, 4)


def both(database: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    """Of each table the lines of the engine, and those of Python."""
    source = SQLiteSource(database, "t")
    found = []
    for shape in source.contents().shapes:
        columns = source.columns(shape)
        ours = list(source.lines(shape, columns))
        plain = list(encoded(source.rows(shape, columns)))
        assert sum(count for _, count in ours) == sum(count for _, count in plain)
        found.append((b"".join(data for data, _ in ours), b"".join(data for data, _ in plain)))
    return found


@given(st.dictionaries(NUMBER, st.tuples(CELL, CELL, CELL, CELL), max_size=12), PAGES, st.booleans())
def test_they_are_the_same_whatever_the_rows_hold(rows: dict[int, Any], page: int, knows_jsonb: bool) -> None:
    database = made("CREATE TABLE t (a TEXT, b INTEGER, c, d REAL)")
    for number, row in rows.items():
        places = ", ".join("CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in row)
        database.execute(f"INSERT INTO t (rowid, a, b, c, d) VALUES (?, {places})", [number, *row])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup_lines, "PAGE_ROWS", page)
        patch.setattr(backup_lines, "_KNOWS_JSONB", knows_jsonb or backup_lines._KNOWS_JSONB)
        ((ours, plain),) = both(database)
    assert ours == plain


@pytest.mark.parametrize(
    "table",
    [
        't ("order ""by""" INTEGER PRIMARY KEY, x)',
        "t (id INTEGER PRIMARY KEY DESC, x)",
        "t (rowid TEXT, _rowid_ INTEGER, x)",
        "t (rowid TEXT, _rowid_ INTEGER, oid PRIMARY KEY)",
        "t (id TEXT PRIMARY KEY, x) WITHOUT ROWID",
        "t (id TEXT, x AS (id || '!'))",
        '"it\'s ""t""" ("a ""b""" TEXT, "c\'d" INTEGER)',
    ],
)
def test_they_are_the_same_whatever_names_and_keys_a_table_has(table: str) -> None:
    name = '"it\'s ""t"""' if table.startswith('"') else "t"
    database = made(f"CREATE TABLE {table}; INSERT INTO {name} DEFAULT VALUES" if "WITHOUT" not in table else "")
    if "WITHOUT" in table:
        database.executescript(f"CREATE TABLE {table}; INSERT INTO t VALUES ('b', 1), ('a', 2)")
    ((ours, plain),) = both(database)
    assert ours == plain != b""


def test_numbers_of_rows_are_kept_of_a_key_that_is_no_rowid() -> None:
    database = made(
        "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, x); INSERT INTO t (rowid, id) VALUES (7, NULL), (9, 1)"
    )
    source = SQLiteSource(database, "t")
    (shape,) = source.contents().shapes
    assert (shape.rowid_column, source.columns(shape)) == (None, ["rowid", "id", "x"])
    assert both(database)[0][0] == b"[7,null,null]\n[9,1,null]\n"


def test_a_page_of_large_rows_is_read_row_by_row_and_others_are_not() -> None:
    database = made("CREATE TABLE t (x TEXT)")
    sizes = [10] * 600 + [backup_lines.PAGE_BYTES + 1] * 2 + [10] * 600
    database.executemany("INSERT INTO t VALUES (?)", (["é" * size] for size in sizes))
    read: list[tuple[int, int]] = []
    source = SQLiteSource(database, "t")
    (shape,) = source.contents().shapes

    def between(first: int, last: int) -> Any:
        read.append((first, last))
        return source._selected(shape, ["x"], f" WHERE rowid BETWEEN {first} AND {last}")

    lines = b"".join(data for data, _ in backup_lines.spelled_lines(database, shape, ["x"], between))
    assert lines == b"".join(data for data, _ in encoded(source.rows(shape, ["x"])))
    assert read == [(513, 768)]
    assert database.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) > backup_lines.PAGE_BYTES


def test_a_table_of_reals_alone_is_seldom_tried() -> None:
    database = made("CREATE TABLE t (x REAL)")
    database.executemany("INSERT INTO t VALUES (?)", ([n / 7] for n in range(20_000)))
    tried: list[str] = []
    database.set_trace_callback(tried.append)
    ((ours, plain),) = both(database)
    assert ours == plain
    assert sum("json_array" in sql for sql in tried) < 10


def test_a_database_in_utf_16_comes_whole() -> None:
    ((ours, plain),) = both(made("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (x); INSERT INTO t VALUES ('é')"))
    assert ours == plain == '["é"]\n'.encode()
