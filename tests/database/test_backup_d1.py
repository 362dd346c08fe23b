"""Backups of the real D1: every value exactly, by its export and in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.db import ConnectionHandler

from d1.api import client_for
from d1.base import DatabaseWrapper
from database.archive import Archive, read_archive
from database.archive_values import RawText
from database.backup import Wish, make_backup
from database.backup_d1 import PagedSource
from database.backup_files import backups_at
from database.backup_verification import verify_backup
from standins.d1 import Engine

BackedUp = Callable[..., tuple[dict[str, Any], str, Archive]]

#: SQL of a value, and what has to be in the backup: in a column without a type, so that all kinds stay as they are.
VALUES: list[tuple[str, Any]] = [
    ("NULL", None),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775807-1", -(2**63)),
    ("9007199254740993", 2**53 + 1),
    ("819.0", 819.0),
    ("9e999", float("inf")),
    ("-9e999", float("-inf")),
    ("1e20", 1e20),
    ("9223372036854775807.0", 2.0**63),
    ("1e15", 1e15),
    ("0.1", 0.1),
    ("x'00ff'", b"\x00\xff"),
    ("x''", b""),
    ("''", ""),
    ("'i5'", "i5"),
    ("'a'||char(0)||'b'", "a\0b"),
    ("char(65533)", "\ufffd"),
    ("CAST(x'eda080' AS TEXT)", RawText(b"\xed\xa0\x80")),
    ("CAST(x'41ff42' AS TEXT)", RawText(b"A\xffB")),
    ("'caf\u00e9 \U0001f600'", "caf\u00e9 \U0001f600"),
    ("'a\\n'||char(10)||'b\\r'||char(13)", "a\\n\nb\\r\r"),
]


@pytest.fixture
def engine(d1_engine: Engine) -> Iterator[Engine]:
    d1_engine.reset()
    d1_engine.empty_database()
    yield d1_engine
    d1_engine.reset()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("database.backup_export.POLL", 0.01)
    monkeypatch.setattr("database.backup_d1.PAUSE", 0.01)


@pytest.fixture
def connection(engine: Engine) -> DatabaseWrapper:
    settings = {"ENGINE": "d1", "NAME": engine.database, "USER": engine.account, "PASSWORD": engine.token}
    handler = ConnectionHandler({"default": {**settings, "OPTIONS": {"api_base": engine.base}}})
    return cast("DatabaseWrapper", handler["default"])


@pytest.fixture
def backed_up(connection: DatabaseWrapper, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str, Archive]]:
    """`backed_up("pages")` gives the record, the remarks, and what was written."""

    def make(method: str = "auto") -> tuple[dict[str, Any], str, Archive]:
        remarks: list[str] = []
        backups = backups_at(str(tmp_path))
        record = make_backup(connection, backups, Wish(console=False, method=method), remark=remarks.append)
        return record, "\n".join(remarks), read_archive(tmp_path / record["backup"], "")

    return make


def fill(engine: Engine) -> None:
    engine.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY, v, r REAL, i INTEGER, t TEXT)")
    engine.execute(*(f"INSERT INTO odd (v, t) VALUES ({sql}, {sql})" for sql, _ in VALUES))


def test_every_value_comes_exactly_in_pages(backed_up: BackedUp, engine: Engine) -> None:
    fill(engine)
    engine.execute("INSERT INTO odd (id, r, i) VALUES (9223372036854775807, 819, 819.5), (-5, 9e999, 9e999)")
    told, _, archive = backed_up("pages")
    with archive:
        assert archive.manifest["source"] == {"engine": "d1", "method": "pages", "name": engine.database}
        rows = {row[0]: row[1:] for row in archive.rows("odd")}
    found = [rows[number][0] for number in range(1, len(VALUES) + 1)]
    assert [(type(value), value) for value in found] == [(type(value), value) for _, value in VALUES]
    assert rows[2**63 - 1][1:3] == [819.0, 819.5]
    assert type(rows[2**63 - 1][1]) is float
    assert rows[-5][1:3] == [float("inf"), float("inf")]
    assert [rows[number][3] for number in (1, 2, 5)] == [None, "9223372036854775807", "819.0"]
    assert told["single_moment"] is True


def test_the_export_is_taken_where_it_changes_nothing(backed_up: BackedUp, engine: Engine) -> None:
    engine.execute(
        "CREATE TABLE child (id TEXT PRIMARY KEY, parent TEXT REFERENCES parent (id), n REAL)",
        "CREATE TABLE parent (id TEXT PRIMARY KEY, t TEXT)",
        "INSERT INTO parent VALUES ('p', 'two' || char(10) || 'lines and it''s')",
        "INSERT INTO child VALUES ('c', 'p', 5.0)",
        "CREATE INDEX by_parent ON child (parent)",
    )
    told, remarks, archive = backed_up()
    assert (told["source"]["method"], told["single_moment"]) == ("export", True)
    assert "blocks the database" in remarks
    with archive:
        assert [member.name for member in archive.tables()] == ["parent", "child"]
        assert list(archive.rows("parent")) == [["p", "two\nlines and it's"]]
        assert list(archive.rows("child")) == [["c", "p", 5.0]]
        assert archive.manifest["bookmarks"]["start"] == archive.manifest["bookmarks"]["end"]
        assert [each["name"] for each in archive.objects if each["type"] == "index"] == ["by_parent"]


@pytest.mark.parametrize("value", ["9007199254740993", "'code: \\n' || char(10)", "819.0", "CAST(x'ff' AS TEXT)"])
def test_the_export_is_not_taken_where_it_would_change_a_value(backed_up: BackedUp, engine: Engine, value: str) -> None:
    engine.execute("CREATE TABLE t (v)", f"INSERT INTO t VALUES ({value})")
    told, remarks, archive = backed_up()
    archive.close()
    assert told["source"]["method"] == "pages"
    assert "t.v" in remarks


def test_a_full_text_index_which_the_export_refuses_is_read_in_pages(backed_up: BackedUp, engine: Engine) -> None:
    engine.execute("CREATE VIRTUAL TABLE words USING fts5(t)", "INSERT INTO words (t) VALUES ('alpha'), ('beta')")
    told, remarks, archive = backed_up()
    assert "cannot export databases with Virtual Tables" in remarks
    with archive:
        assert list(archive.rows("words")) == [[1, "alpha"], [2, "beta"]]
    assert told["tables"] == {"words": 2}


def test_pages_end_nowhere_too_early_and_repeat_no_row(backed_up: BackedUp, engine: Engine) -> None:
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    engine.execute(
        "CREATE TABLE by_rowid (t)",
        f"INSERT INTO by_rowid (rowid, t) {series} SELECT i * 7 - 900, 'row ' || i FROM n",
        "CREATE TABLE by_key (a TEXT, b, PRIMARY KEY (a, b)) WITHOUT ROWID",
        f"INSERT INTO by_key {series} SELECT 'k' || (i % 10), CASE i % 3 WHEN 0 THEN i ELSE 's' || i END FROM n",
    )
    _, _, archive = backed_up("pages")
    with archive:
        assert list(archive.rows("by_rowid")) == [[i * 7 - 900, f"row {i}"] for i in range(1, 3001)]
        rows = [tuple(row) for row in archive.rows("by_key")]
    assert len(set(rows)) == 3000


def test_connections_that_break_amid_a_page_lose_no_row(backed_up: BackedUp, engine: Engine) -> None:
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
    engine.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", f"INSERT INTO t {series} SELECT i, hex(zeroblob(400)) FROM n"
    )
    engine.fault("cut_midway", count=3, match='FROM \\"t\\"')
    _, _, archive = backed_up("pages")
    with archive:
        assert [row[0] for row in archive.rows("t")] == list(range(1, 4001))


def test_what_is_written_meanwhile_is_told(connection: DatabaseWrapper, engine: Engine) -> None:
    engine.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    source = PagedSource(client_for(connection.endpoint))
    assert source.single_moment
    engine.execute("INSERT INTO t VALUES (1)")
    assert not source.single_moment


def test_an_export_that_fails_now_and_then_is_asked_for_again(backed_up: BackedUp, engine: Engine) -> None:
    engine.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (7)")
    engine.fault("error_before", count=2, match="/export")
    told, _, archive = backed_up("export")
    with archive:
        assert list(archive.rows("t")) == [[7]]
    assert told["source"]["method"] == "export"


def test_it_comes_back_from_d1_as_a_sqlite_file(
    backed_up: BackedUp, engine: Engine, tmp_path: Path, django_db_blocker: Any
) -> None:
    fill(engine)
    record, _, archive = backed_up()
    archive.close()
    with django_db_blocker.unblock():
        found = verify_backup(backups_at(str(tmp_path)), record["backup"])
    assert (found.problems, found.content, found.tables) == ([], [], {"odd": len(VALUES)})
