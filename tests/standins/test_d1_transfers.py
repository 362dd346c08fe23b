"""Export, import, time travel, and Cloudflare's own client as a judge of them all."""

import hashlib
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import urllib3

from standins.d1 import Engine, wrangler

from .conftest import Call

EXPORT = {"output_format": "polling"}
SCHEMA = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, b BLOB)",
    "CREATE TABLE c (p INTEGER REFERENCES p)",
)
ROWS = ("INSERT INTO p VALUES (1, 'it''s\nhere ☃', x'00ff')", "INSERT INTO c VALUES (1)")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    engine.execute(*SCHEMA, *ROWS)
    engine.reset()
    return engine


def export(call: Call, **options: Any) -> str:
    """The dump, by Cloudflare's steps."""
    first = call("POST", "/export", {**EXPORT, "dump_options": options})
    assert (first.status, first.body["result"]["status"]) == (202, "active")
    last = call("POST", "/export", {**EXPORT, "current_bookmark": first.body["result"]["at_bookmark"]})
    assert (last.status, last.body["result"]["status"]) == (200, "complete")
    return call("GET", last.body["result"]["result"]["signed_url"]).body


def load(call: Call, sql: str) -> dict[str, Any]:
    """The answer of the last poll of an import."""
    data = sql.encode()
    etag = hashlib.md5(data).hexdigest()
    begun = call("POST", "/import", {"action": "init", "etag": etag}).body["result"]
    uploaded = call("PUT", begun["upload_url"], data)
    assert uploaded.headers["etag"] == f'"{etag}"'
    answer = call("POST", "/import", {"action": "ingest", "etag": etag, "filename": begun["filename"]}).body["result"]
    while answer["status"] == "active":
        answer = call("POST", "/import", {"action": "poll", "current_bookmark": answer["at_bookmark"]}).body["result"]
    return answer


def test_an_export_is_a_dump_that_sqlite_loads(call: Call, filled: Engine) -> None:
    dump = export(call)
    assert dump.startswith("PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE p")
    assert "BEGIN" not in dump
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(dump)
        assert connection.execute("SELECT t, b FROM p JOIN c ON p = id").fetchall() == [("it's\nhere ☃", b"\0\xff")]


def test_an_export_may_leave_out_data_schema_or_tables(call: Call, filled: Engine) -> None:
    assert "INSERT" not in export(call, no_data=True)
    assert "CREATE" not in export(call, no_schema=True)
    assert 'INTO "c"' not in export(call, tables=["p"])


def test_an_export_blocks_the_database_until_it_is_fetched(call: Call, filled: Engine) -> None:
    bookmark = call("POST", "/export", EXPORT).body["result"]["at_bookmark"]
    refused = call("POST", "/raw", {"sql": "SELECT 1"})
    assert (refused.status, refused.message) == (500, "Currently processing a long-running export.")
    call("POST", "/export", {**EXPORT, "current_bookmark": bookmark})
    assert call("POST", "/raw", {"sql": "SELECT 1"}).rows == [[1]]


def test_an_export_that_nobody_polls_is_cancelled(call: Call, filled: Engine) -> None:
    filled.settings(export_idle_seconds=-1)
    bookmark = call("POST", "/export", EXPORT).body["result"]["at_bookmark"]
    assert call("POST", "/raw", {"sql": "SELECT 1"}).rows == [[1]]
    late = call("POST", "/export", {**EXPORT, "current_bookmark": bookmark}).body["result"]
    assert (late["success"], late["status"]) == (False, "error")


def test_a_database_with_full_text_tables_has_no_export(call: Call, filled: Engine) -> None:
    filled.execute("CREATE VIRTUAL TABLE f USING fts5(t)")
    refused = call("POST", "/export", EXPORT)
    assert (refused.status, refused.message) == (
        400,
        "D1 Export error: cannot export databases with Virtual Tables (fts5)",
    )
    assert call("POST", "/raw", {"sql": "SELECT 1"}).rows == [[1]]


def test_a_download_that_breaks_off_is_shorter_than_promised(call: Call, filled: Engine) -> None:
    filled.fault("cut_midway", match="/__files__/")
    with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
        export(call)


def test_what_was_exported_can_be_imported(call: Call, filled: Engine) -> None:
    dump = export(call)
    filled.empty_database()
    answer = load(call, dump)
    assert (answer["success"], answer["status"], answer["result"]["num_queries"]) == (True, "complete", 7)
    assert filled.execute("SELECT t, b FROM p JOIN c ON p = id") == [[["it's\nhere ☃", [0, 255]]]]


def test_a_dump_with_a_child_before_its_parent_cannot_be_imported(call: Call, engine: Engine) -> None:
    engine.execute("CREATE TABLE c (p REFERENCES p)", "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    engine.execute("INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1)")
    dump = export(call)
    engine.empty_database()
    assert load(call, dump)["error"] == "no such table: main.p: SQLITE_ERROR"


def test_an_import_that_fails_leaves_what_came_before(call: Call, engine: Engine) -> None:
    engine.settings(import_group=1)
    answer = load(call, "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1);")
    assert (answer["success"], answer["status"]) == (False, "error")
    assert "UNIQUE constraint failed" in answer["error"]
    assert engine.execute("SELECT * FROM t") == [[[1]]]


def test_an_import_asked_about_again_is_forgotten_and_blocks_while_it_runs(call: Call, engine: Engine) -> None:
    etag = hashlib.md5(b"SELECT 1;").hexdigest()
    begun = call("POST", "/import", {"action": "init", "etag": etag}).body["result"]
    call("PUT", begun["upload_url"], b"SELECT 1;")
    poll = {"action": "poll"}
    started = call("POST", "/import", {"action": "ingest", "etag": etag, "filename": begun["filename"]})
    poll["current_bookmark"] = started.body["result"]["at_bookmark"]
    answers = [call("POST", "/import", poll).body["result"] for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["complete", "error"]
    assert answers[1]["error"] == "Not currently importing anything."


def test_an_upload_that_differs_from_its_etag_is_not_ingested(call: Call, engine: Engine) -> None:
    etag = hashlib.md5(b"one").hexdigest()
    begun = call("POST", "/import", {"action": "init", "etag": etag}).body["result"]
    call("PUT", begun["upload_url"], b"another")
    assert call("POST", "/import", {"action": "ingest", "etag": etag, "filename": begun["filename"]}).status == 400


def test_a_bookmark_changes_only_with_the_data(call: Call, filled: Engine) -> None:
    first = filled.bookmark()
    filled.execute("SELECT * FROM p")
    assert filled.bookmark() == first
    filled.execute("INSERT INTO p (id) VALUES (2)")
    assert filled.bookmark() > first


def test_time_travel_puts_the_database_back_and_forth(call: Call, filled: Engine) -> None:
    before = filled.bookmark()
    filled.execute("DROP TABLE c", "DELETE FROM p")
    restored = call("POST", f"/time_travel/restore?bookmark={before}").body["result"]
    assert restored["bookmark"] == before
    assert filled.execute("SELECT id FROM p JOIN c ON p = id") == [[[1]]]
    call("POST", f"/time_travel/restore?bookmark={restored['previous_bookmark']}")
    assert filled.execute("SELECT count(*) FROM p") == [[[0]]]


def test_a_moment_gives_the_newest_bookmark_at_or_before_it(call: Call, filled: Engine) -> None:
    bookmark = filled.bookmark()
    assert call("GET", "/time_travel/bookmark?timestamp=2099-01-01T00:00:00Z").body["result"]["bookmark"] == bookmark
    assert call("GET", "/time_travel/bookmark?timestamp=2001-01-01T00:00:00Z").status == 400
    assert call("GET", "/time_travel/bookmark?timestamp=yesterday").status == 400
    assert call("POST", "/time_travel/restore?bookmark=unknown").status == 400
    assert call("POST", f"/time_travel/restore?bookmark={bookmark}", token=filled.read_token).status == 403


def test_cloudflares_own_client_migrates_loads_and_exports(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    trigger = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = CASE WHEN 1 THEN 'set' END; END;"
    (tmp_path / "migrations" / "0001_first.sql").write_text(f"CREATE TABLE t (a INTEGER, b TEXT);\n{trigger}\n")
    (tmp_path / "rows.sql").write_text("INSERT INTO t VALUES (1, 'a;b');\nINSERT INTO t VALUES (2, NULL);\n")
    (tmp_path / "wrangler.toml").write_text(
        f'name = "test"\ncompatibility_date = "2026-04-01"\naccount_id = "{engine.account}"\n'
        f'[[d1_databases]]\nbinding = "DB"\ndatabase_name = "omnichat"\ndatabase_id = "{engine.database}"\n'
    )
    variables = {
        "CLOUDFLARE_API_BASE_URL": engine.base,
        "CLOUDFLARE_API_TOKEN": engine.token,
        "WRANGLER_SEND_METRICS": "false",
        "HOME": str(tmp_path),
        "CI": "1",
    }

    def run(*words: str) -> None:
        command = wrangler("d1", *words, "--remote")
        answer = subprocess.run(command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr

    run("migrations", "apply", "omnichat")
    run("execute", "omnichat", "--yes", "--file", "rows.sql")
    run("export", "omnichat", "--output", "dump.sql")
    assert engine.execute("SELECT a, b FROM t", "SELECT name FROM d1_migrations") == [
        [[1, "set"], [2, "set"]],
        [["0001_first.sql"]],
    ]
    assert "INSERT INTO \"t\" VALUES(1,'set');" in (tmp_path / "dump.sql").read_text()
