"""Backups of SQLite: everything that is in a database, at one moment, while others write."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import ConnectionHandler
from hypothesis import given
from hypothesis import strategies as st

from database.archive import Archive, read_archive
from database.archive_values import RawText
from database.backup import Wish, make_backup
from database.backup_files import backups_at
from database.backup_sqlite import BackupError
from database.restore_archive import fill_from_archive
from omniops.environment import sqlite

Make = Callable[..., Archive]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "live.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        yield connection


@pytest.fixture
def backed_up(tmp_path: Path) -> Make:
    """`backed_up(wish)` is the archive of `live.sqlite3`, and `backed_up.record` the record of the last."""

    def make(wish: Wish = Wish(console=False), name: str = "live.sqlite3") -> Archive:  # noqa: B008
        connection = ConnectionHandler({"default": sqlite(tmp_path / name)})["default"]
        record = make_backup(connection, backups_at(str(tmp_path / "kept")), wish)
        make.record = record  # type: ignore[attr-defined]
        return read_archive(tmp_path / "kept" / record["backup"], "")

    return make


def dumped(database: sqlite3.Connection) -> list[str]:
    """The whole database as SQL, with the numbers of the rows."""
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = [str(sorted(database.execute(f'SELECT * FROM "{name}"'), key=str)) for name in names]
    objects = sorted(map(str, database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")))
    return [*names, *rows, *objects]


def restored(archive: Archive) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    with archive:
        fill_from_archive(database, archive, ())
    return database


def test_all_that_a_database_has_comes_back(database: sqlite3.Connection, backed_up: Make) -> None:
    database.executescript(
        """
        CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent TEXT REFERENCES parent (id)); -- first
        CREATE TABLE parent (id TEXT PRIMARY KEY, twice AS (id || id), "odd ""name" BLOB) /* no more */;
        CREATE TABLE "no rowid" (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;
        CREATE TABLE strict_one (a ANY, b INT) STRICT;
        CREATE TABLE "Straße/..\u2028" (x);
        CREATE TABLE gaps (x);
        CREATE TABLE shadowed (rowid TEXT, x);
        CREATE INDEX by_parent ON child (parent) WHERE parent IS NOT NULL;
        CREATE UNIQUE INDEX by_expression ON parent (lower(id));
        CREATE VIEW both AS SELECT * FROM child JOIN parent ON parent.id = child.parent;
        CREATE TRIGGER count_children AFTER INSERT ON child BEGIN INSERT INTO gaps VALUES (new.id); END;
        CREATE TRIGGER into_both INSTEAD OF INSERT ON both BEGIN SELECT 1; END;
        INSERT INTO parent VALUES ('p', x'00'), ('q', NULL);
        INSERT INTO child (id, parent) VALUES (5, 'p'), (900, 'q');
        DELETE FROM child WHERE id = 900;
        INSERT INTO "no rowid" VALUES (2, 'b'), (1, 'b'), (NULL || 0, 0.5), (1, x'62');
        INSERT INTO strict_one VALUES (1, 2), ('1', 2), (1.0, 2);
        INSERT INTO "Straße/..\u2028" VALUES (9e999), (-9e999), ('');
        DELETE FROM gaps; INSERT INTO gaps (rowid, x) VALUES (-4, 'a'), (7, 'b');
        INSERT INTO shadowed (_rowid_, rowid, x) VALUES (40, 'r', 1);
        PRAGMA user_version = 17;
        """.replace("(NULL || 0, 0.5), ", "")
    )
    archive = backed_up()
    assert archive.manifest["pragmas"]["user_version"] == 17
    assert archive.manifest["single_moment"] is True
    back = restored(archive)
    assert dumped(back) == dumped(database)
    assert back.execute("SELECT rowid, x FROM gaps").fetchall() == [(-4, "a"), (7, "b")]
    assert back.execute("SELECT _rowid_, rowid FROM shadowed").fetchall() == [(40, "r")]
    assert back.execute("SELECT * FROM sqlite_sequence").fetchall() == [("child", 900)]


def test_parents_come_before_their_children(database: sqlite3.Connection, backed_up: Make) -> None:
    database.executescript(
        "CREATE TABLE c (b REFERENCES B); CREATE TABLE b (id PRIMARY KEY, a REFERENCES A);"
        "CREATE TABLE a (id PRIMARY KEY); CREATE TABLE self (s REFERENCES self);"
        "CREATE TABLE x (y REFERENCES y); CREATE TABLE y (id PRIMARY KEY, x REFERENCES x);"
    )
    with backed_up() as archive:
        names = [member.name for member in archive.tables()]
    assert [name for name in names if name in "abc"] == ["a", "b", "c"]
    assert set(names) == {"a", "b", "c", "x", "y", "self"}


def test_a_full_text_index_finds_again_after_a_restore(database: sqlite3.Connection, backed_up: Make) -> None:
    database.executescript(
        """
        CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
        CREATE VIRTUAL TABLE own USING fts5(body);
        CREATE VIRTUAL TABLE outside USING fts5(body, content='notes', content_rowid='id');
        CREATE VIRTUAL TABLE without USING fts5(body, content='');
        CREATE TRIGGER add_note AFTER INSERT ON notes BEGIN
          INSERT INTO outside (rowid, body) VALUES (new.id, new.body);
        END;
        INSERT INTO notes VALUES (7, 'seven green'), (9, 'nine blue');
        INSERT INTO own (rowid, body) VALUES (3, 'alpha beta');
        INSERT INTO without (rowid, body) VALUES (1, 'gone');
        """
    )
    archive = backed_up()
    assert any("without keeps no text" in warning for warning in archive.manifest["warnings"])
    back = restored(archive)
    assert back.execute("SELECT rowid FROM own WHERE own MATCH 'beta'").fetchall() == [(3,)]
    assert back.execute("SELECT rowid FROM outside WHERE outside MATCH 'blue'").fetchall() == [(9,)]
    back.execute("INSERT INTO outside (outside) VALUES ('integrity-check')")


def test_text_that_is_no_utf_8_comes_back_to_the_byte(database: sqlite3.Connection, backed_up: Make) -> None:
    database.execute("CREATE TABLE t (x TEXT)")
    database.executemany("INSERT INTO t VALUES (?)", [(f"row {number}",) for number in range(300)])
    database.execute("INSERT INTO t VALUES (CAST(x'61ff' AS TEXT)), (CAST(x'eda080' AS TEXT)), ('a' || char(0) || 'b')")
    back = restored(backed_up())
    found = back.execute("SELECT typeof(x), CAST(x AS BLOB) FROM t LIMIT 3 OFFSET 300").fetchall()
    assert found == [("text", b"a\xff"), ("text", b"\xed\xa0\x80"), ("text", b"a\0b")]


@given(
    st.lists(
        st.tuples(
            *[
                st.one_of(
                    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(), st.text()
                )
            ]
            * 4
        ),
        max_size=20,
    )
)
def test_any_rows_come_back_equal(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    with closing(sqlite3.connect(folder / "any.sqlite3", isolation_level=None)) as database:
        database.execute("CREATE TABLE t (a, b TEXT, c REAL, d INTEGER)")
        try:
            database.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        except UnicodeEncodeError:
            return
        connection = ConnectionHandler({"default": sqlite(folder / "any.sqlite3")})["default"]
        record = make_backup(connection, backups_at(str(folder / "kept")), Wish(console=False))
        back = restored(read_archive(folder / "kept" / record["backup"], ""))
        shown = ", ".join(f"typeof({name}), quote({name}), {name}" for name in "abcd")
        query = f"SELECT rowid, {shown} FROM t"
        assert [str(row) for row in back.execute(query)] == [str(row) for row in database.execute(query)]
        back.close()


def write_pairs(path: Path, stop: threading.Event, failures: list[Exception], journal: str) -> None:
    """Two tables that agree in every moment."""
    try:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
            database.execute(f"PRAGMA journal_mode = {journal}")
            number = 0
            while not stop.is_set():
                number += 1
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT INTO one (n, pad) VALUES (?, hex(zeroblob(300)))", [number])
                database.execute("INSERT INTO two (n, pad) VALUES (?, hex(zeroblob(300)))", [number])
                database.execute("COMMIT")
    except Exception as error:
        failures.append(error)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_it_is_one_moment_while_others_write(tmp_path: Path, backed_up: Make, journal: str) -> None:
    path = tmp_path / "live.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        series = "WITH RECURSIVE n(i) AS (SELECT -2000 UNION ALL SELECT i + 1 FROM n WHERE i < 0)"
        for name in ("one", "two"):
            database.execute(f"CREATE TABLE {name} (n INTEGER, pad TEXT)")
            database.execute(f"INSERT INTO {name} {series} SELECT i, hex(zeroblob(300)) FROM n")
    stop, failures = threading.Event(), []
    writer = threading.Thread(target=write_pairs, args=(path, stop, failures, journal))
    writer.start()
    try:
        seen = []
        while len(seen) < 3 or (len(set(seen)) == 1 and len(seen) < 100):
            with backed_up() as archive:
                one, two = (sorted(row[-2] for row in archive.rows(name)) for name in ("one", "two"))
            assert one == two
            seen.append(len(one))
    finally:
        stop.set()
        writer.join()
    assert not failures
    assert len(set(seen)) > 1, "the writer wrote nothing meanwhile"


def test_a_row_that_d1_would_not_take_is_told(database: sqlite3.Connection, backed_up: Make) -> None:
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (?), ('small')", ["x" * 2_100_000])
    with backed_up() as archive:
        assert archive.manifest["warnings"] == [
            "t has 1 row of more than 2,000,000 bytes, which D1 does not take back."
        ]


def test_some_tables_alone(database: sqlite3.Connection, backed_up: Make) -> None:
    database.executescript(
        "CREATE TABLE a (x); CREATE TABLE b (x); CREATE VIEW v AS SELECT * FROM a, b; CREATE INDEX i ON a (x);"
    )
    with backed_up(Wish(["a"], console=False)) as archive:
        assert archive.manifest["partial"] is True
        assert [each["name"] for each in archive.objects] == ["a", "i"]
    with pytest.raises(BackupError, match="There is no table c; there are a, b"):
        backed_up(Wish(["c"], console=False))


@pytest.mark.usefixtures("database")
def test_nothing_is_not_backed_up_as_if_it_were_something(backed_up: Make) -> None:
    with pytest.raises(BackupError, match="has no tables, so there is nothing to back up"):
        backed_up()


def test_a_file_that_is_no_database_is_told(tmp_path: Path, backed_up: Make) -> None:
    (tmp_path / "live.sqlite3").write_bytes(b"this is no database, " * 400)
    with pytest.raises(BackupError, match=r"live\.sqlite3 cannot be read: file is not a database"):
        backed_up()
    with pytest.raises(BackupError, match="unable to open database file"):
        backed_up(name="nowhere.sqlite3")
    assert list((tmp_path / "kept").iterdir()) == []


# Not getrusage(): its maximum is inherited from the process that started this one.
MEASURED = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "omniops.settings"
import django; django.setup()
from pathlib import Path
from django.db import ConnectionHandler
from database.archive import read_archive
from database.backup import Wish, make_backup
from database.backup_files import backups_at
from omniops.environment import sqlite
connection = ConnectionHandler({"default": sqlite(Path(sys.argv[1]))})["default"]
backups = backups_at(sys.argv[2])
record = make_backup(connection, backups, Wish(console=False))
with read_archive(backups.source(record["backup"])) as archive:
    archive.check()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="missing: /proc, by which memory is measured")
def test_memory_does_not_grow_with_the_database(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, y REAL)")
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
    database.execute(f"INSERT INTO t {series} SELECT i, hex(randomblob(400)), i / 7.0 FROM n")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "live.sqlite3"), str(tmp_path / "kept")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 150_000, f"{done.stdout} kB for a database of 170 MB"


def test_raw_text_is_told_apart_from_a_blob(database: sqlite3.Connection, backed_up: Make) -> None:
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (CAST(x'ff' AS TEXT)), (x'ff')")
    with backed_up() as archive:
        assert [type(row[0]) for row in archive.rows("t")] == [RawText, bytes]
