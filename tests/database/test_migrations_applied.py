"""Applying and reverting files, on SQLite and on the real D1 alike."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from database import precautions
from database.migrations import MigrationError, read_migrations
from database.migrator import Migrator, Outcome
from standins.d1 import Engine

Write = Callable[[dict[str, str]], Path]
Migrate = Callable[..., Outcome]
Rows = Callable[[str], list[tuple[Any, ...]]]

# A test before that had an AUTOINCREMENT on the same engine leaves sqlite_sequence, which nobody can drop.
SCHEMA = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND name <> 'sqlite_sequence' "
    "ORDER BY type, name"
)
OURS = settings.SQL_MIGRATIONS_DIR
A = {"0001_make_a.sql": "CREATE TABLE a (x);", "down/0001_make_a.sql": "DROP TABLE a;"}
B = {"0002_make_b.sql": "CREATE TABLE b (x);", "down/0002_make_b.sql": "DROP TABLE b;"}


def versions(outcome: list[Any]) -> list[int]:
    return [each.version for each in outcome]


def test_up_and_down_and_up_again_gives_one_schema(migrate: Migrate, rows: Rows) -> None:
    last = len(read_migrations(OURS))
    assert versions(migrate(OURS).applied) == list(range(1, last + 1))
    schema, plans = rows(SCHEMA), rows("SELECT id, battery_units FROM subscription_plans ORDER BY 2")
    down = migrate(OURS, 0)
    assert (versions(down.reverted), down.version) == (list(range(last, 0, -1)), 0)
    assert [name for kind, name, *_ in rows(SCHEMA) if kind == "table"] == ["schema_version"]
    assert migrate(OURS).version == last
    assert rows(SCHEMA) == schema
    assert plans == [("starter", 6000), ("daily", 18000), ("power", 45000), ("ultimate", 150000)]


def test_each_file_is_recorded_with_its_name_and_checksum(write: Write, migrate: Migrate, rows: Rows) -> None:
    folder = write(A | B)
    migrate(folder)
    one, two = read_migrations(folder)
    recorded = rows("SELECT version, name, checksum, applied_at > 1700000000 FROM schema_version ORDER BY version")
    assert recorded == [(1, "make_a", one.checksum, 1), (2, "make_b", two.checksum, 1)]


def test_a_second_run_does_nothing(write: Write, migrate: Migrate) -> None:
    folder = write(A)
    migrate(folder)
    again = migrate(folder)
    assert (again.applied, again.pending, again.version, again.error) == ([], [], 1, None)


def test_a_failing_statement_leaves_nothing_of_its_file_and_all_before_it(
    write: Write, migrate: Migrate, rows: Rows
) -> None:
    files = {"0002_break.sql": "CREATE TABLE b (x);\nINSERT INTO b VALUES (1);\nINSERT INTO nowhere VALUES (2);"}
    outcome = migrate(write(A | files))
    assert outcome.error is not None
    assert outcome.error.startswith("0002_break.sql, statement 3 failed: no such table: nowhere")
    assert outcome.error.endswith("\n\nINSERT INTO nowhere VALUES (2)")
    assert (versions(outcome.applied), versions(outcome.pending), outcome.version) == ([1], [2], 1)
    assert rows("SELECT name FROM sqlite_master WHERE name IN ('a', 'b')") == [("a",)]
    assert rows("SELECT version FROM schema_version") == [(1,)]


def test_what_fails_on_its_rows_alone_is_shown_too(write: Write, migrate: Migrate, rows: Rows) -> None:
    files = {"0002_break.sql": "INSERT INTO a VALUES (1), (1);\nCREATE UNIQUE INDEX one ON a (x);"}
    outcome = migrate(write(A | files))
    assert outcome.error is not None
    assert outcome.error.startswith("0002_break.sql, statement 2 failed: UNIQUE constraint failed: a.x")
    assert rows("SELECT count(*) FROM a") == [(0,)]


def test_a_key_that_is_deferred_fails_the_file_at_its_end(write: Write, migrate: Migrate, rows: Rows) -> None:
    child = "CREATE TABLE b (x REFERENCES a (x) DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO b VALUES (1);"
    parent = {"0001_make_a.sql": "CREATE TABLE a (x PRIMARY KEY);"}
    outcome = migrate(write(parent | {"0002_break.sql": child}))
    assert outcome.error is not None
    assert outcome.error.startswith("0002_break.sql failed at its end, when all was to be committed: ")
    assert "FOREIGN KEY constraint failed" in outcome.error
    assert rows("SELECT name FROM sqlite_master WHERE name = 'b'") == []


def test_a_select_and_a_pragma_run_in_their_turn(write: Write, migrate: Migrate, rows: Rows) -> None:
    text = "INSERT INTO a VALUES (1);\nSELECT * FROM a;\nPRAGMA defer_foreign_keys = ON;\nUPDATE a SET x = x + 1;"
    outcome = migrate(write(A | {"0002_look.sql": text + "\nDELETE FROM a WHERE x = 7;"}))
    assert outcome.error is None
    assert rows("SELECT x FROM a") == [(2,)]


def test_percent_signs_and_placeholders_in_a_file_are_text(write: Write, migrate: Migrate, rows: Rows) -> None:
    migrate(
        write(
            A | {"0002_fill.sql": "INSERT INTO a VALUES ('100 %'), ('%s %(x)s %%'), (strftime('%Y', 0, 'unixepoch'));"}
        )
    )
    assert rows("SELECT x FROM a") == [("100 %",), ("%s %(x)s %%",), ("1970",)]


def test_a_trigger_is_applied_and_works(write: Write, migrate: Migrate, rows: Rows) -> None:
    trigger = (
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\r\n  UPDATE a SET x = CASE WHEN new.x > 1 THEN 'many; ' ELSE 'one' "
        "END;\r\nEND;\r\nINSERT INTO a VALUES (2);\r\n"
    )
    assert migrate(write(A | {"0002_watch.sql": trigger})).error is None
    assert rows("SELECT x FROM a") == [("many; ",)]


def test_a_file_of_comments_alone_is_recorded(write: Write, migrate: Migrate) -> None:
    outcome = migrate(write(A | {"0002_say.sql": "-- nothing to do;\n"}))
    assert (outcome.version, outcome.error) == (2, None)


def test_a_file_that_records_itself_is_applied_once(write: Write, migrate: Migrate, rows: Rows) -> None:
    own = "CREATE TABLE b (x);\nINSERT INTO schema_version (version, description) VALUES (2, 'second');"
    folder = write(A | {"0002_make_b.sql": own})
    assert migrate(folder).error is None
    assert rows("SELECT version, name FROM schema_version WHERE version = 2") == [(2, "make_b")]
    assert migrate(folder).error is None


@pytest.mark.parametrize(
    "columns", ["version INTEGER PRIMARY KEY", "version INTEGER, applied_at TEXT, description TEXT"]
)
def test_an_old_table_of_versions_is_filled_up(
    write: Write, migrate: Migrate, rows: Rows, scratch: Any, columns: str
) -> None:
    with scratch.cursor() as cursor:
        cursor.execute(f"CREATE TABLE schema_version ({columns})")
        cursor.execute("INSERT INTO schema_version (version) VALUES (1)")
        cursor.execute("CREATE TABLE a (x)")
    outcome = migrate(write(A | B))
    assert (versions(outcome.applied), outcome.error) == ([2], None)
    assert rows("SELECT version, name FROM schema_version ORDER BY version") == [(1, None), (2, "make_b")]


def test_a_checksum_that_an_old_runner_left_out_is_filled_and_said(
    write: Write, migrate: Migrate, rows: Rows, scratch: Any
) -> None:
    folder = write(A | B)
    migrate(folder)
    with scratch.cursor() as cursor:
        cursor.execute("UPDATE schema_version SET checksum = NULL, name = '0001_make_a.sql' WHERE version = 1")
    said: list[str] = []
    outcome = migrate(folder, remark=said.append)
    assert versions(outcome.filled) == [1]
    assert "0001_make_a.sql" in said[0]
    assert "without a checksum" in said[0]
    assert rows("SELECT checksum FROM schema_version WHERE version = 1") == [(read_migrations(folder)[0].checksum,)]


@pytest.mark.parametrize("pending", [{}, B])
def test_a_table_without_the_column_for_checksums_gets_it_and_is_filled(
    write: Write, migrate: Migrate, rows: Rows, scratch: Any, pending: dict[str, str]
) -> None:
    with scratch.cursor() as cursor:
        cursor.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT, applied_at INTEGER)")
        cursor.execute("INSERT INTO schema_version (version, name) VALUES (1, 'make_a')")
        cursor.execute("CREATE TABLE a (x)")
    folder = write(A | pending)
    outcome = migrate(folder)
    assert (versions(outcome.filled), outcome.error) == ([1], None)
    recorded = rows("SELECT checksum FROM schema_version ORDER BY version")
    assert recorded == [(each.checksum,) for each in read_migrations(folder)]
    assert migrate(folder).filled == []


def test_an_empty_checksum_is_filled_as_well(write: Write, migrate: Migrate, scratch: Any) -> None:
    folder = write(A)
    migrate(folder)
    with scratch.cursor() as cursor:
        cursor.execute("UPDATE schema_version SET checksum = ''")
    assert versions(migrate(folder).filled) == [1]
    assert migrate(folder).filled == []


def test_a_row_of_other_migrations_is_not_taken_for_ours(write: Write, migrate: Migrate, scratch: Any) -> None:
    folder = write(A)
    migrate(folder)
    with scratch.cursor() as cursor:
        cursor.execute("UPDATE schema_version SET checksum = NULL, name = 'initial_schema'")
    outcome = migrate(folder)
    assert outcome.error is not None
    assert "Version 1 is recorded as 'initial_schema' and the file is 0001_make_a.sql" in outcome.error
    assert outcome.filled == []


def test_a_file_changed_after_it_was_applied_stops_all(write: Write, migrate: Migrate, rows: Rows) -> None:
    migrate(write(A))
    outcome = migrate(write({"0001_make_a.sql": "CREATE TABLE a (x, y);"} | B))
    assert outcome.error is not None
    assert outcome.error.startswith("Changed after it was applied: 0001_make_a.sql. Bring back the text")
    assert "--rerun 1" in outcome.error
    assert (outcome.applied, outcome.version) == ([], 1)


def test_other_line_ends_are_no_change(write: Write, migrate: Migrate) -> None:
    migrate(write({"0001_make_a.sql": "CREATE TABLE a (\n  x\n);\n"}))
    assert migrate(write({"0001_make_a.sql": "CREATE TABLE a (\r\n  x\r\n);\r\n"})).error is None


def test_a_database_newer_than_the_files_is_told(write: Write, migrate: Migrate) -> None:
    folder = write(A | B)
    migrate(folder)
    (folder / "0002_make_b.sql").unlink()
    outcome = migrate(folder)
    assert outcome.error is not None
    assert "records version 2, and the last file is 0001: update this checkout" in outcome.error


def test_a_hole_in_what_is_recorded_is_told(write: Write, migrate: Migrate, scratch: Any) -> None:
    folder = write(A | B)
    migrate(folder)
    with scratch.cursor() as cursor:
        cursor.execute("DELETE FROM schema_version WHERE version = 1")
    outcome = migrate(folder)
    assert outcome.error is not None
    assert "Version 2 is recorded as applied and 0001_make_a.sql is not" in outcome.error


def test_it_stops_at_the_version_that_is_wanted(write: Write, migrate: Migrate) -> None:
    folder = write(A | B)
    assert versions(migrate(folder, 1).applied) == [1]
    assert versions(migrate(folder, 2).applied) == [2]
    down = migrate(folder, 1)
    assert (versions(down.reverted), versions(down.pending), down.version) == ([2], [2], 1)


def test_going_down_needs_every_file_and_otherwise_does_nothing(write: Write, migrate: Migrate) -> None:
    folder = write(A | B | {"0003_make_c.sql": "CREATE TABLE c (x);", "down/0003_make_c.sql": "DROP TABLE c;"})
    migrate(folder)
    (folder / "down" / "0002_make_b.sql").unlink()
    outcome = migrate(folder, 0)
    assert outcome.error == "0002_make_b.sql has no down/0002_make_b.sql: write it, or stay at version 2 or above."
    assert (outcome.reverted, outcome.version) == ([], 3)


def test_a_down_file_that_fails_leaves_its_version_applied(write: Write, migrate: Migrate, rows: Rows) -> None:
    folder = write(A | B | {"down/0001_make_a.sql": "DROP TABLE a;\nDROP TABLE nowhere;"})
    migrate(folder)
    outcome = migrate(folder, 0)
    assert outcome.error is not None
    assert outcome.error.startswith("0001_make_a.sql, statement 2 failed: no such table: nowhere")
    assert (versions(outcome.reverted), outcome.version) == ([2], 1)
    assert rows("SELECT count(*) FROM a") == [(0,)]


def test_rerun_applies_a_changed_file_again_and_records_its_checksum(
    write: Write, migrate: Migrate, rows: Rows, scratch: Any
) -> None:
    migrate(write({"0001_make_a.sql": "CREATE TABLE IF NOT EXISTS a (x);"}))
    folder = write({"0001_make_a.sql": "CREATE TABLE IF NOT EXISTS a (x);\nCREATE INDEX IF NOT EXISTS i ON a (x);"})
    outcome = Migrator(scratch, read_migrations(folder)).rerun(1)
    assert (versions(outcome.applied), outcome.error) == ([1], None)
    assert rows("SELECT name FROM sqlite_master WHERE name = 'i'") == [("i",)]
    assert migrate(folder).error is None


def test_rerun_of_a_file_that_was_not_applied_is_refused(write: Write, scratch: Any) -> None:
    outcome = Migrator(scratch, read_migrations(write(A))).rerun(1)
    assert outcome.error == "Version 1 was not applied: migrate_database applies what is pending."


def test_rows_are_lost_only_after_asking(write: Write, migrate: Migrate, rows: Rows) -> None:
    migrate(write(A | {"0002_fill.sql": "INSERT INTO a VALUES (1);"}))

    def refuse(question: str) -> None:
        asked.append(question)
        raise MigrationError("Not confirmed.")

    asked: list[str] = []
    outcome = migrate(write({"0003_drop_a.sql": "DROP TABLE a;"}), confirm=refuse)
    assert asked == ["0003_drop_a.sql, statement 1 drops the table a with all its rows."]
    assert outcome.error == "Not confirmed."
    assert rows("SELECT x FROM a") == [(1,)]


def test_a_table_of_another_shape_is_not_passed_over(write: Write, migrate: Migrate, scratch: Any) -> None:
    with scratch.cursor() as cursor:
        cursor.execute("CREATE TABLE a (x TEXT)")
    outcome = migrate(write({"0001_make_a.sql": "CREATE TABLE IF NOT EXISTS a (x INTEGER, y TEXT);"}))
    assert outcome.error is not None
    assert "passes over the table a, which is there in another shape (without y, x is TEXT instead" in outcome.error
    assert outcome.version == 0


def test_two_runners_at_once_apply_each_file_once(
    write: Write, scratch: Any, rows: Rows, django_db_blocker: Any
) -> None:
    files = {
        f"{n:04}_fill.sql": f"CREATE TABLE IF NOT EXISTS t (n);\nINSERT INTO t VALUES ({n});" for n in range(1, 13)
    }
    migrations = read_migrations(write(files))
    outcomes: list[Outcome] = []
    start = threading.Barrier(3, timeout=60)
    # While a new file is switched to its write-ahead log SQLite lets nobody wait: others would be told to try again.
    scratch.ensure_connection()

    def run() -> None:
        connection = connections[scratch.alias]
        start.wait()
        outcomes.append(Migrator(connection, migrations).migrate())
        connection.close()

    runners = [threading.Thread(target=run) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert [outcome.error for outcome in outcomes] == [None] * 3
    applied = sorted(version for outcome in outcomes for version in versions(outcome.applied))
    assert applied == list(range(1, 13))
    assert rows("SELECT n FROM t ORDER BY n") == [(n,) for n in range(1, 13)]


only_d1 = pytest.mark.parametrize("scratch", ["d1"], indirect=True)


@only_d1
def test_a_lost_answer_is_looked_up_and_the_run_goes_on(d1_engine: Engine, write: Write, migrate: Migrate) -> None:
    d1_engine.fault("cut_after", count=1, match="CREATE TABLE a")
    outcome = migrate(write(A | B))
    assert (versions(outcome.applied), outcome.error) == ([1, 2], None)


@only_d1
def test_a_batch_that_never_arrived_is_told_as_not_done(d1_engine: Engine, write: Write, migrate: Migrate) -> None:
    d1_engine.fault("cut_before", match="CREATE TABLE a")
    outcome = migrate(write(A | B))
    d1_engine.clear_faults()
    assert outcome.error is not None
    assert outcome.error.startswith("0001_make_a.sql is not done, and D1's answer was lost")
    assert (outcome.applied, outcome.version) == ([], 0)
    assert migrate(write(A | B)).version == 2


@only_d1
def test_a_lost_answer_on_the_way_down_is_looked_up_too(d1_engine: Engine, write: Write, migrate: Migrate) -> None:
    migrate(write(A | B))
    d1_engine.fault("cut_after", count=1, match="DROP TABLE b")
    outcome = migrate(write(A | B), 0)
    assert (versions(outcome.reverted), outcome.error) == ([2, 1], None)


@only_d1
def test_a_statement_that_d1_would_not_take_is_refused_before_anything_runs(write: Write, migrate: Migrate) -> None:
    long = f"INSERT INTO a VALUES ('{'x' * 100_000}');"
    outcome = migrate(write(A | {"0002_fill.sql": f"SELECT 1;\n{long}"}))
    assert outcome.error == "0002_fill.sql, statement 2 has 100,025 bytes, and D1 takes 100,000: divide it."
    assert outcome.version == 0


@only_d1
def test_a_file_too_large_for_one_batch_is_refused_with_the_way_out(
    write: Write, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precautions, "MAX_BATCH_BYTES", 1000)
    outcome = migrate(write(A | {"0002_fill.sql": "INSERT INTO a VALUES ('0123456789');\n" * 40}))
    assert outcome.error is not None
    assert outcome.error.startswith("0002_fill.sql has 1,400 bytes, and one batch on D1 takes 1,000: divide the file")


@only_d1
def test_the_way_back_is_told_before_anything_changes(d1_engine: Engine, write: Write, migrate: Migrate) -> None:
    first = migrate(write(A))
    second = migrate(write(B))
    assert first.bookmark
    assert second.bookmark not in (None, first.bookmark)
    assert migrate(write({})).bookmark is None
    d1_engine.fault("expired_token", match="time_travel")
    without = migrate(write({"0003_make_c.sql": "CREATE TABLE c (x);"}))
    d1_engine.clear_faults()
    assert (without.bookmark, without.error, without.version) == (None, None, 3)
    (write({}) / "0003_make_c.sql").unlink()
    d1_engine.api("POST", f"/{d1_engine.database}/time_travel/restore?bookmark={second.bookmark}")
    assert migrate(write({}), 1).version == 1
