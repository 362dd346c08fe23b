"""A sound database is never called damaged, whatever SQLite says of it, and a damaged one is."""

from __future__ import annotations

import sqlite3
from itertools import permutations
from pathlib import Path

import pytest

from database.restore_build import Contents, check
from database.soundness import damage

from .packing import made

COLUMNS = ("a TEXT", "n TEXT NOT NULL", 'k "TEXT"', "i INTEGER NOT NULL")


@pytest.mark.parametrize("pragma", ["quick_check", "integrity_check"])
@pytest.mark.parametrize("key", ["k", "k, i", "i", "n"])
def test_a_sound_table_without_rowids_is_sound_in_whatever_order_its_columns_are(key: str, pragma: str) -> None:
    for columns in permutations(COLUMNS):
        database = made(f'CREATE TABLE "o\'dd""" ({", ".join(columns)}, PRIMARY KEY ({key})) WITHOUT ROWID')
        database.executemany('INSERT INTO "o\'dd""" (a, n, k, i) VALUES (NULL, ?1, ?1, ?1)', [(1,), (2,)])
        assert damage(database.execute, pragma) == []
        check(database, Contents())


def test_a_null_that_is_there_is_told() -> None:
    database = made("CREATE TABLE t (a TEXT, n TEXT); INSERT INTO t VALUES ('a', NULL)")
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE t (a TEXT, n TEXT NOT NULL)'")
    database.execute("PRAGMA writable_schema = RESET")
    assert damage(database.execute, "quick_check") == ["NULL value in t.n"]


def test_damage_of_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 50)
    database.close()
    data = bytearray(path.read_bytes())
    # The number of cells of a leaf. https://www.sqlite.org/fileformat.html#b_tree_pages
    data[4096 * 2 + 3 : 4096 * 2 + 5] = b"\x00\x01"
    path.write_bytes(data)
    database = sqlite3.connect(path)
    assert damage(database.execute, "quick_check", 1)
    database.close()
