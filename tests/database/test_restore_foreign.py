"""What others' dumps bring: the SQL of `wrangler d1 export`, the JSON of `wrangler d1 execute --json`."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from database.restore import Restore
from database.restore_build import RestoreError
from database.restore_sources import open_source
from standins.d1 import Engine

DUMP = """PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE child (parent INTEGER REFERENCES parent (id), note TEXT);
INSERT INTO "child" VALUES(1,'a;
-- b'), (2, NULL);
CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, b BLOB, x);
INSERT INTO "parent" VALUES(1,replace('it''s\\n"Infinity"','\\n',char(10)),X'00ff',1e+300);
INSERT INTO "parent" VALUES(2,'a\0b',NULL,-Infinity);
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" VALUES('parent',7);
CREATE INDEX of_parent ON child (parent);
CREATE TRIGGER refuse BEFORE INSERT ON child BEGIN SELECT CASE WHEN 1 THEN RAISE(ABORT, 'no; never') END; END;
CREATE VIEW notes AS SELECT note FROM child;
"""


@pytest.fixture
def restore(scratch: Any) -> Callable[..., Any]:
    """`restore(path)` into the empty database of either engine."""

    def run(path: Path, **options: Any) -> Any:
        return Restore(open_source(str(path)), scratch, **options).run()

    return run


def test_a_dump_that_speaks_of_numbering_where_no_table_counts_is_restored(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    """D1 keeps `sqlite_sequence` when the last table with AUTOINCREMENT is gone, and its export names it first."""
    path = tmp_path / "dump.sql"
    path.write_text("DELETE FROM sqlite_sequence;\nCREATE TABLE a (x);\nINSERT INTO a VALUES(1);\n")
    assert restore(path).tables == {"a": 1}


def test_a_dump_with_children_before_parents_is_restored(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "dump.sql"
    path.write_text(DUMP)
    done = restore(path)
    assert done.tables == {"child": 2, "parent": 2}
    assert rows("SELECT note FROM notes") == [("a;\n-- b",), (None,)]
    assert rows("SELECT t, hex(b), x = 1e300 FROM parent WHERE id = 1") == [('it\'s\n"Infinity"', "00FF", 1)]
    assert rows("SELECT hex(t), x < -1e308 FROM parent WHERE id = 2") == [("610062", 1)]
    assert rows("SELECT seq FROM sqlite_sequence") == [(7,)]
    kinds = rows("SELECT type, name FROM sqlite_master WHERE type IN ('index', 'trigger', 'view')")
    assert sorted(kinds) == [("index", "of_parent"), ("trigger", "refuse"), ("view", "notes")]


def test_the_engines_own_dump_is_restored(
    restore: Callable[..., Any], rows: Callable[..., Any], d1_engine: Engine, tmp_path: Path
) -> None:
    other = d1_engine.create_database("dumped")
    try:
        values = "(1, 'it''s\n☃' || char(0), x'00ff', 0.1), (2, NULL, NULL, 9e999)"
        d1_engine.execute(
            "CREATE TABLE c (p INTEGER REFERENCES p)",
            "CREATE TABLE p (id INTEGER PRIMARY KEY, t TEXT, b BLOB, r REAL)",
            f"INSERT INTO p VALUES {values}",
            "INSERT INTO c VALUES (1)",
            database=other,
        )
        call = {"output_format": "polling"}
        mark = d1_engine.api("POST", f"/{other}/export", call)["at_bookmark"]
        found = d1_engine.api("POST", f"/{other}/export", {**call, "current_bookmark": mark})
        with urllib.request.urlopen(found["result"]["signed_url"]) as answer:
            (tmp_path / "dump.sql").write_bytes(answer.read())
    finally:
        d1_engine.drop_database(other)
    restore(tmp_path / "dump.sql")
    shown = rows("SELECT id, hex(t), hex(b), r = 0.1, r > 1e308 FROM p ORDER BY id")
    assert shown == [(1, "69742773" + "0A" + "E29883" + "00", "00FF", 1, 0), (2, "", "", 0, 1)]
    assert rows("SELECT p FROM c") == [(1,)]


def test_integers_that_the_export_rounded_are_told(restore: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_text("CREATE TABLE t (a, b);\nINSERT INTO t VALUES (9007199254740992,'x');\n")
    assert any("2^53" in remark for remark in restore(path).remarks)
    path.write_text("CREATE TABLE t (a, b);\nINSERT INTO t VALUES (1,'(9007199254740992,)');\n")
    assert not any("2^53" in remark for remark in restore(path).remarks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE TABLE t (a);\nINSERT INTO t VALUES ('ab", "cut short"),
        ("CREATE TABLE t (a);\nINSERT INTO u VALUES (1);\n", "Statement 2"),
        ("-- nothing\n", "no table"),
        ("CREATE TABLE t (a);\nATTACH '/tmp/other.sqlite3' AS o;\n", "not authorized"),
    ],
)
def test_a_dump_that_does_not_run_touches_nothing(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "dump.sql"
    path.write_text(text)
    with pytest.raises(RestoreError, match=said):
        restore(path)
    assert rows("SELECT name FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'") == []


def as_wrangler(rows: list[dict[str, Any]]) -> str:
    return json.dumps([{"results": rows, "success": True, "meta": {"duration": 1}}], indent=2)


def test_json_of_tables_is_restored_over_the_migrations_tables(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    (folder / "conversations.json").write_text(as_wrangler([{"id": "c1", "userId": "user_1", "pinned": 1}]))
    (folder / "users.json").write_text(
        " ⛅️ wrangler 4.82.2\n" + as_wrangler([{"id": "user_1", "email": "a@example.com", "billing_interval": "year"}])
    )
    (folder / "extra.json").write_text(as_wrangler([{"b": [0, 255], "n": None}]))
    done = restore(folder)
    assert {name: count for name, count in done.tables.items() if count} == {"conversations": 1, "extra": 1, "users": 1}
    assert rows("SELECT u.email, u.billing_interval, pinned FROM conversations JOIN users u ON u.id = userId") == [
        ("a@example.com", "year", 1)
    ]
    assert rows("SELECT hex(b), n FROM extra") == [("00FF", None)]
    assert any("users.billing_interval" in remark for remark in done.remarks)


def test_json_of_one_table_replaces_no_other(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "dump.sql"
    path.write_text("CREATE TABLE a (n);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (n);\nINSERT INTO b VALUES (1);\n")
    restore(path)
    (tmp_path / "b.json").write_text(as_wrangler([{"n": 2}, {"n": 3}]))
    asked: list[str] = []
    assert restore(tmp_path / "b.json", confirm=asked.append).tables == {"b": 2}
    assert "the tables b of" in asked[0]
    assert rows("SELECT n FROM a") + rows("SELECT n FROM b") == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{]", "no JSON"),
        ('{"error": "x", "success": false, "results": []}', "holds an error"),
        ("[1, 2]", "not what"),
        ('[{"results": [{"id": 1}]}]', "do not fit"),
    ],
)
def test_json_that_holds_no_rows_touches_nothing(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "users.json").write_text(text)
    with pytest.raises(RestoreError, match=said):
        restore(tmp_path / "users.json")
    assert rows("SELECT name FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'") == []


def test_a_dump_larger_than_a_buffer_is_read_by_statements(
    restore: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "dump.sql"
    lines = "".join(f"INSERT INTO t VALUES ({n},'x;y\n''z');\n" for n in range(3000))
    path.write_text(f"BEGIN TRANSACTION;\nCREATE TABLE t (a INTEGER PRIMARY KEY, b);\n{lines}COMMIT;\n")
    assert restore(path).tables == {"t": 3000}
    assert rows("SELECT DISTINCT b FROM t") == [("x;y\n'z",)]


def test_no_file_of_the_build_stays(restore: Callable[..., Any], scratch: Any, tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_text("CREATE TABLE t (a);\n")
    restore(path)
    path.write_text("CREATE TABLE t (a;\n")
    with pytest.raises(RestoreError):
        restore(path)
    assert [each.name for each in tmp_path.glob("*.restoring*")] == []
    assert connections[scratch.alias] is scratch


def test_sqlites_own_dump_is_restored(tmp_path: Path, restore: Callable[..., Any], rows: Callable[..., Any]) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2.5, x'00');")
        (tmp_path / "dump.sql").write_text("\n".join(database.iterdump()))
    restore(tmp_path / "dump.sql")
    assert rows("SELECT a, quote(b) FROM t ORDER BY a") == [(1, "'x'"), (2.5, "X'00'")]
