"""A restore to the real D1 engine: what becomes of every value, of circles, of lost answers and of kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from database.backup import Wish, make_backup
from database.backup_files import backups_at
from database.migrations import read_migrations
from database.restore import Restore
from database.restore_build import RestoreError
from database.restore_marker import unfinished
from database.restore_sources import open_source
from database.verification import verify
from omniops.environment import sqlite
from standins.d1 import Engine

from .packing import made, pack, snapshot

pytestmark = pytest.mark.usefixtures("on_d1")

EVERYTHING = """
CREATE TABLE "odd "" name" (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b TEXT, c REAL, d BLOB, "50%%s" INTEGER);
INSERT INTO "odd "" name" VALUES
  (1, 9223372036854775807, 'it''s' || char(0) || char(10), 0.1, x'00ff', -9223372036854775808),
  (3, 1.7976931348623157e308, '5', 5e-324, x'', 9007199254740993),
  (4, 9e999, '', -0.0, NULL, 1), (9, x'00', NULL, 819, 'x', 'y'),
  (10, '7', '☃', 123456789012345.678, zeroblob(600000), 0);
DELETE FROM "odd "" name" WHERE id = 9;
CREATE TABLE big (t TEXT);
INSERT INTO big VALUES (printf('%.*c', 1999000, '"')), ('small');
CREATE TABLE gaps (n);
INSERT INTO gaps (rowid, n) VALUES (5, 'five'), (90, 'ninety');
CREATE TABLE pairs (a TEXT, b INTEGER, PRIMARY KEY (b, a)) WITHOUT ROWID;
INSERT INTO pairs VALUES ('x', 2), ('y', 1);
CREATE TABLE shown (n INTEGER, twice INTEGER AS (n * 2) STORED);
INSERT INTO shown VALUES (21);
CREATE TABLE child (id INTEGER PRIMARY KEY, of INTEGER NOT NULL REFERENCES parent ON DELETE CASCADE);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 2), (2, 2);
CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id));
INSERT INTO tree VALUES (1, 3), (2, 1), (3, NULL);
CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER NOT NULL REFERENCES egg (id));
CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER NOT NULL REFERENCES hen (id));
INSERT INTO hen VALUES (1, 7); INSERT INTO egg VALUES (7, 1);
CREATE INDEX by_b ON "odd "" name" (b) WHERE b IS NOT NULL;
CREATE VIEW seen AS SELECT n FROM gaps WHERE n LIKE '%e%';
CREATE TRIGGER refuse BEFORE INSERT ON gaps BEGIN SELECT CASE WHEN 1 THEN RAISE(ABORT, 'no; never 100%') END; END;
"""


@pytest.fixture
def on_d1(d1_engine: Engine, django_db_blocker: Any) -> Iterator[Any]:
    """An empty D1 database, as the alias `live`."""
    d1_engine.reset()
    d1_engine.empty_database()
    live = {
        "ENGINE": "d1",
        "NAME": d1_engine.database,
        "USER": d1_engine.account,
        "PASSWORD": d1_engine.token,
        "OPTIONS": {"api_base": d1_engine.base},
    }
    connections.settings["live"] = connections.configure_settings({"default": {}, "live": live})["live"]
    with django_db_blocker.unblock():
        yield connections["live"]
        connections["live"].close()
    del connections["live"], connections.settings["live"]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    with closing(made(EVERYTHING)) as database:
        return pack(database, tmp_path / "backup.tar.zst")


def restore(path: Path, **options: Any) -> Any:
    return Restore(open_source(str(path)), connections["live"], **options).run()


def on_engine(engine: Engine) -> Callable[[str], list[Any]]:
    return lambda sql: engine.execute(sql)[0]


def test_every_value_and_every_object_arrives(d1_engine: Engine, backup: Path) -> None:
    done = restore(backup, confirm=pytest.fail)
    with closing(made(EVERYTHING)) as database:
        expected = snapshot(lambda sql: database.execute(sql).fetchall())
    found = snapshot(on_engine(d1_engine))
    assert found["objects"] == expected["objects"]
    for table, rows in expected["rows"].items():
        assert found["rows"][table] == rows, table
    assert done.tables == {name: len(rows) for name, rows in expected["rows"].items() if name != "sqlite_sequence"}
    assert d1_engine.execute("SELECT rowid FROM gaps")[0] == [[5], [90]]


def test_from_d1_to_sqlite_and_back_is_the_same_row_by_row(d1_engine: Engine, backup: Path, tmp_path: Path) -> None:
    restore(backup)
    before = snapshot(on_engine(d1_engine))
    connections.settings["copy"] = connections.configure_settings(
        {"default": {}, "copy": sqlite(tmp_path / "copy.sqlite3")}
    )["copy"]
    try:
        kept = backups_at(str(tmp_path / "kept"))
        for source, target in (("live", "copy"), ("copy", "live")):
            record = make_backup(connections[source], kept, Wish(console=False, method="pages"))
            name = str(tmp_path / "kept" / record["backup"])
            Restore(open_source(name), connections[target]).run()
    finally:
        connections["copy"].close()
        del connections["copy"], connections.settings["copy"]
    assert snapshot(on_engine(d1_engine)) == before


def test_it_replaces_what_is_there_after_taking_a_bookmark(d1_engine: Engine, backup: Path) -> None:
    d1_engine.execute(
        "CREATE TABLE old (id INTEGER PRIMARY KEY, up INTEGER REFERENCES old)",
        "CREATE TABLE older (old INTEGER NOT NULL REFERENCES old ON DELETE RESTRICT)",
        "CREATE TRIGGER keep BEFORE DELETE ON old BEGIN SELECT RAISE(ABORT, 'kept'); END",
        "CREATE VIRTUAL TABLE words USING fts5(w)",
        "INSERT INTO old VALUES (1, 1)",
        "INSERT INTO older VALUES (1)",
        "INSERT INTO words VALUES ('a')",
    )
    said: list[str] = []
    asked: list[str] = []
    done = restore(backup, confirm=asked.append, remark=said.append)
    assert "Replace everything in the D1 database" in asked[0]
    assert done.bookmark in said[0]
    assert "--time-travel" in said[0]
    assert not d1_engine.execute("SELECT 1 FROM sqlite_master WHERE name GLOB 'old*' OR name GLOB 'words*'")[0]
    assert d1_engine.execute("SELECT count(*) FROM tree") == [[[3]]]
    assert not unfinished(connections["live"])


def test_full_text_indexes_are_filled_by_their_rows(d1_engine: Engine, tmp_path: Path) -> None:
    script = (
        "CREATE VIRTUAL TABLE words USING fts5(w); INSERT INTO words (rowid, w) VALUES (4, 'alpha beta'), (9, 'gamma');"
    )
    with closing(made(script)) as database:
        path = pack(database, tmp_path / "words.tar.zst")
    restore(path)
    assert d1_engine.execute("SELECT rowid FROM words WHERE words MATCH 'beta'") == [[[4]]]


@pytest.mark.parametrize("fault", ["cut_after", "cut_before", "network_lost_after", "overload", "error_before"])
def test_lost_answers_neither_stop_it_nor_write_twice(d1_engine: Engine, backup: Path, fault: str) -> None:
    d1_engine.fault(fault, probability=0.3, match="_restore", count=3)
    restore_patiently(backup)
    d1_engine.reset()
    with closing(made(EVERYTHING)) as database:
        expected = snapshot(lambda sql: database.execute(sql).fetchall())
    assert snapshot(on_engine(d1_engine))["rows"] == expected["rows"]


def restore_patiently(path: Path) -> None:
    """Without the pauses between attempts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("database.restore_delivery.PAUSE", 0.0)
        restore(path)


def test_a_restore_that_stops_midway_says_so_and_is_finished_by_another(d1_engine: Engine, tmp_path: Path) -> None:
    with closing(made("CREATE TABLE users (id TEXT PRIMARY KEY); INSERT INTO users VALUES ('a'), ('b');")) as database:
        backup = pack(database, tmp_path / "users.tar.zst")
    d1_engine.execute("CREATE TABLE before (n)", "INSERT INTO before VALUES (1)")
    d1_engine.fault("expired_token", match='INSERT INTO \\"users\\"')
    with pytest.raises(Exception, match="token"):
        restore(backup)
    d1_engine.reset()
    half = unfinished(connections["live"])
    assert half is not None
    assert half.backup == str(backup)
    found = verify(connections["live"], read_migrations(settings.SQL_MIGRATIONS_DIR))
    assert any("began" in problem and "did not end" in problem for problem in found.problems)
    done = restore(backup)
    assert done.bookmark == half.bookmark
    assert unfinished(connections["live"]) is None
    assert tables(d1_engine) == [["users"]]
    assert d1_engine.execute("SELECT count(*) FROM users") == [[[2]]]


def test_a_restore_that_another_overtakes_ends(backup: Path) -> None:
    source = open_source(str(backup))
    first = Restore(source, connections["live"])
    begun: list[bool] = []

    def overtake(rows: int) -> None:
        # Called for each piece that the first one sends: amid it the second does all of its work.
        if not begun and unfinished(connections["live"]):
            begun.append(True)
            restore(backup)

    first.watch = overtake
    with pytest.raises(RestoreError, match="Another restore"):
        first.run()
    assert unfinished(connections["live"]) is None


def test_what_d1_cannot_hold_is_told_before_anything_is_touched(d1_engine: Engine, tmp_path: Path) -> None:
    d1_engine.execute("CREATE TABLE there (n)")
    scripts = {
        "larger than the 2 MB": "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (printf('%.*c', 2000001, 'x'));",
        "points to rows of p": "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p);"
        "INSERT INTO c VALUES (5);",
        "101 columns": f"CREATE TABLE t ({', '.join(f'c{n}' for n in range(101))});",
    }
    for said, script in scripts.items():
        with closing(made(script)) as database:
            path = pack(database, tmp_path / "b.tar.zst")
        with pytest.raises(RestoreError, match=said):
            restore(path)
    assert [name for (name,) in tables(d1_engine)] == ["there"]


def tables(engine: Engine) -> list[Any]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf*' AND name NOT GLOB 'sqlite*'"
    return engine.execute(f"{sql} ORDER BY name")[0]


PARENTS = (
    "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, tier TEXT)",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, user TEXT NOT NULL REFERENCES users ON DELETE CASCADE)",
    "CREATE TRIGGER never BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'never'); END",
)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    with closing(
        made(";".join(PARENTS) + ";INSERT INTO users VALUES ('a', 'a@x', 'free'), ('b', 'b@x', 'paid');")
    ) as one:
        return pack(one, tmp_path / "users.tar.zst")


def test_one_table_is_replaced_without_the_rows_that_hang_on_it(d1_engine: Engine, users: Path) -> None:
    d1_engine.execute(
        *PARENTS,
        "INSERT INTO users VALUES ('a', 'spoiled', 'gone'), ('z', 'new', 'free')",
        "INSERT INTO notes VALUES (1, 'a')",
    )
    done = restore(users, tables=["users"])
    assert done.tables == {"users": 2}
    assert d1_engine.execute("SELECT * FROM users ORDER BY id")[0] == [["a", "a@x", "free"], ["b", "b@x", "paid"]]
    assert d1_engine.execute("SELECT * FROM notes")[0] == [[1, "a"]]
    assert tables(d1_engine) == [["notes"], ["users"]]
    assert d1_engine.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [[[1]]]


def test_rows_that_would_hang_in_the_air_stop_it(d1_engine: Engine, users: Path) -> None:
    d1_engine.execute(*PARENTS, "INSERT INTO users VALUES ('z', 'z@x', 'free')", "INSERT INTO notes VALUES (1, 'z')")
    with pytest.raises(RestoreError, match="1 row of notes points to rows of users"):
        restore(users, tables=["users"])
    assert d1_engine.execute("SELECT id FROM users")[0] == [["z"]]
    assert restore(users, tables=["users", "notes"]).tables == {"notes": 0, "users": 2}
    assert d1_engine.execute("SELECT count(*) FROM notes") == [[[0]]]
    assert tables(d1_engine) == [["notes"], ["users"]]


def test_thousands_of_rows_go_in_one_request(d1_engine: Engine, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        "INSERT INTO t SELECT i, 'user_' || i, i / 7.0 FROM n;"
    )
    with closing(made(script)) as database:
        path = pack(database, tmp_path / "many.tar.zst")
        expected = database.execute("SELECT count(*), sum(id) FROM t").fetchone()
    d1_engine.reset()
    restore(path)
    assert d1_engine.counts()["requests"] < 25
    assert tuple(d1_engine.execute("SELECT count(*), sum(id) FROM t")[0][0]) == expected
    assert d1_engine.execute("SELECT count(*) FROM t WHERE b <> id / 7.0") == [[[0]]]
