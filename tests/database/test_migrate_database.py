"""The command, in a process of its own: what it prints, its exit codes, and what a kill leaves."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

Write = Callable[[dict[str, str]], Path]
Manage = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., tuple[int, dict[str, Any]]]

A = {"0001_make_a.sql": "CREATE TABLE a (x);", "down/0001_make_a.sql": "DROP TABLE a;"}
LAST = len(list(settings.SQL_MIGRATIONS_DIR.glob("*.sql")))


@pytest.fixture
def run(command: Run) -> Run:
    return lambda *words, **options: command("migrate_database", *words, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "omnichat.sqlite3"


@pytest.fixture
def database(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def test_it_applies_all_and_says_so(manage: Manage, run: Run) -> None:
    done = manage("migrate_database", "--skip-checks")
    assert done.returncode == 0
    assert done.stdout == f"{LAST} applied, 0 reverted, 0 adopted, 0 pending; version {LAST}.\n"
    assert f"Applied {LAST:04}_" in done.stderr
    code, found = run()
    assert (code, found["applied"], found["pending"], found["version"]) == (0, [], [], LAST)
    assert found["error"] is None


@pytest.mark.parametrize("words", [[], ["--plan"], ["--adopt", str(LAST), "--plan"]])
def test_its_json_has_each_key_whatever_it_is_to_do(run: Run, words: list[str]) -> None:
    run()
    assert run(*words)[1].keys() >= {"applied", "reverted", "pending", "version", "error"}


@pytest.mark.parametrize("words", [[], ["--plan"]])
def test_files_that_cannot_be_read_do_not_hide_the_version(run: Run, write: Write, words: list[str]) -> None:
    run()
    code, found = run("--directory", str(write({"0002_make_b.sql": "CREATE TABLE b (x);"})), *words)
    assert (code, found["version"]) == (1, LAST)


def test_its_json_names_files_by_version_and_name(run: Run, write: Write) -> None:
    code, found = run("--directory", str(write(A)))
    assert (code, found["applied"]) == (0, [{"version": 1, "name": "make_a"}])


def test_a_failing_file_exits_1_with_its_statement(run: Run, write: Write) -> None:
    folder = write(A | {"0002_break.sql": "SELECT 1;\nINSERT INTO a VALUES (1, 2);"})
    code, found = run("--directory", str(folder))
    assert code == 1
    assert found["error"].startswith("0002_break.sql, statement 2 failed: table a has 1 columns but 2 values")
    assert found["error"].endswith("INSERT INTO a VALUES (1, 2)")
    assert found["applied"] == [{"version": 1, "name": "make_a"}]
    assert found["pending"] == [{"version": 2, "name": "break"}]


def test_bad_usage_exits_2_with_json_all_the_same(manage: Manage) -> None:
    done = manage("migrate_database", "--json", "--to", "x")
    assert (done.returncode, json.loads(done.stdout)) == (2, {"error": "argument --to: invalid int value: 'x'"})


def test_mend_alone_is_bad_usage_and_applies_nothing(run: Run, file: Path) -> None:
    code, found = run("--mend")
    assert (code, found["error"]) == (2, "--mend belongs to --adopt: say --adopt N --mend. Nothing was done.")
    assert not file.exists()


def test_a_plan_that_cannot_be_made_has_the_keys_of_every_report(run: Run, file: Path) -> None:
    file.write_bytes(b"no database at all, but some text" * 100)
    code, found = run("--plan")
    assert (code, found["applied"], found["pending"], found["version"]) == (1, [], [], 0)
    assert "is no SQLite database" in found["error"]


def test_a_reader_who_has_enough_meets_no_traceback(file: Path) -> None:
    words = [sys.executable, "manage.py", "migrate_database", "--plan"]
    environment = {**os.environ, "OMNICHAT_DATABASE_URL": f"sqlite:///{file}"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_what_destroys_asks_and_stops_where_nobody_can_answer(run: Run, write: Write, database: Any) -> None:
    folder = write(A)
    run("--directory", str(folder))
    code, found = run("--directory", str(folder), "--to", "0")
    assert code == 2
    assert "what these drop is lost. Nobody is there to ask: add --no-input" in found["error"]
    assert database.execute("SELECT count(*) FROM a").fetchone() == (0,)
    code, found = run("--directory", str(folder), "--to", "0", "--no-input")
    assert (code, found["reverted"]) == (0, [{"version": 1, "name": "make_a"}])


@pytest.mark.parametrize(("typed", "code"), [(b"yes\n", 0), (b"y\n", 1), (b"\x04", 1)])
def test_only_a_typed_yes_confirms(run: Run, write: Write, file: Path, typed: bytes, code: int) -> None:
    folder = write(A)
    run("--directory", str(folder))
    ours, its = os.openpty()
    words = [sys.executable, "manage.py", "migrate_database", "--json", "--to", "0", "--directory", str(folder)]
    environment = {**os.environ, "OMNICHAT_DATABASE_URL": f"sqlite:///{file}"}
    os.write(ours, typed)
    done = subprocess.run(words, env=environment, stdin=its, capture_output=True)
    os.close(ours)
    os.close(its)
    assert done.returncode == code
    assert json.loads(done.stdout).get("error") == (None if code == 0 else "Not confirmed: nothing was done.")


def test_a_plan_shows_the_sql_and_makes_no_file(run: Run, manage: Manage, write: Write, file: Path) -> None:
    folder = write(A)
    code, found = run("--plan", "--directory", str(folder))
    assert (code, found["pending"]) == (0, [{"version": 1, "name": "make_a"}])
    assert found["sql"] == [{"version": 1, "name": "make_a", "statements": ["CREATE TABLE a (x)"]}]
    shown = manage("migrate_database", "--skip-checks", "--plan", "--directory", str(folder)).stdout
    assert shown.startswith("-- 0001_make_a.sql\nCREATE TABLE a (x);\n")
    assert not file.exists()


@pytest.mark.parametrize("begun", [False, True])
def test_a_plan_changes_no_byte(run: Run, file: Path, begun: bool) -> None:
    file.touch()
    if begun:
        run("--to", "3")
    before = file.read_bytes()
    code, found = run("--plan")
    assert (code, len(found["pending"])) == (0, LAST - 3 * begun)
    assert file.read_bytes() == before


def test_a_plan_of_the_way_down_shows_the_down_files(run: Run, write: Write) -> None:
    folder = write(A)
    run("--directory", str(folder))
    _, found = run("--directory", str(folder), "--plan", "--to", "0")
    assert found["to_revert"] == [{"version": 1, "name": "make_a"}]
    assert found["sql"][0]["statements"] == ["DROP TABLE a"]


def test_rerun_takes_a_changed_file(run: Run, write: Write) -> None:
    folder = write({"0001_make_a.sql": "CREATE TABLE IF NOT EXISTS a (x);"})
    run("--directory", str(folder))
    write({"0001_make_a.sql": "CREATE TABLE IF NOT EXISTS a (x); -- told better"})
    assert "--rerun 1" in run("--directory", str(folder))[1]["error"]
    assert run("--directory", str(folder), "--rerun", "1", "--no-input")[0] == 0
    assert run("--directory", str(folder))[0] == 0


def test_adoption_refuses_with_the_differences_and_a_plan_of_it_writes_nothing(run: Run, database: Any) -> None:
    database.execute("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT)")
    for words in (["--plan", "--adopt", "2"], ["--adopt", "2"]):
        code, found = run(*words)
        assert code == 1
        kinds = {(each["kind"], each["name"]) for each in found["differences"]}
        assert {("column", "tier"), ("not_null", "email"), ("index", "email")} <= kinds
        assert "users: missing: column tier" in found["error"]
    assert database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("users",)]


def test_files_of_the_apps_first_days_meet_a_clear_word(run: Run, write: Write) -> None:
    folder = write(
        {
            "0001_initial.sql": "CREATE TABLE IF NOT EXISTS a (id TEXT);",
            "0002_comments.sql": "-- Migration 2\n-- nothing left to do\n",
            "0003_index.sql": "CREATE TABLE IF NOT EXISTS a (id TEXT, kind TEXT);\nCREATE INDEX k ON a (kind);",
        }
    )
    code, found = run("--directory", str(folder))
    assert code == 1
    assert "0003_index.sql, statement 1 passes over the table a, which is there in another shape" in found["error"]


class TestOddDatabases:
    """Each is told in a sentence."""

    def test_an_empty_file_is_an_empty_database(self, run: Run, file: Path) -> None:
        file.touch()
        assert run()[1]["version"] == LAST

    @pytest.mark.parametrize("words", [[], ["--plan"], ["--adopt", "1"]])
    def test_a_file_that_is_no_database(self, run: Run, file: Path, words: list[str]) -> None:
        file.write_bytes(b"This is a letter, and no database at all. " * 200)
        code, found = run(*words)
        assert (code, found["error"]) == (
            1,
            f"{file} is no SQLite database: name another file, or move this one away.",
        )

    def test_a_folder_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        code, found = run(file=tmp_path / "nowhere" / "o.sqlite3")
        assert code == 1
        assert "nowhere/o.sqlite3 cannot be opened: its folder is missing" in found["error"]

    def test_one_that_another_program_writes_to(self, run: Run, database: Any, file: Path) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        code, found = run(wait=0.05)
        assert code == 1
        assert found["error"] == f"Another program is writing to {file} and does not end: try again when it has."

    def test_one_that_may_not_be_written_to(self, run: Run, database: Any, file: Path) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        code, found = run(file=f"file:{file}?mode=ro")
        assert code == 1
        assert found["error"].startswith(f"{file} may not be written to: give this user the right")

    def test_a_folder_of_migrations_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        code, found = run("--directory", str(tmp_path / "nowhere"))
        assert code == 1
        assert "nowhere is no folder" in found["error"]


FILES = 12
ROWS = 12_000


def slow_file(number: int) -> str:
    """A file of several statements that take some hundredths of a second each."""
    series = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
    fill = f"INSERT INTO t{number} {series} SELECT i, hex(randomblob(20)) FROM n;\n"
    return f"CREATE TABLE t{number} (i, text);\n{fill * 3}CREATE INDEX t{number}_text ON t{number} (text);\n"


def test_a_kill_at_any_moment_leaves_whole_files(run: Run, write: Write, file: Path, tmp_path: Path) -> None:
    folder = write({f"{n:04}_fill.sql": slow_file(n) for n in range(1, FILES + 1)})
    killed = []
    for moment in (0.0, 0.01, 0.03):
        killed.append(kill_some_time_into_a_file(folder, file, moment))
        with closing(sqlite3.connect(file)) as database:
            assert_whole_files(database)
    assert any(killed), "each ended before it could be killed: make the files slower"
    code, found = run("--directory", str(folder))
    assert (code, found["version"], found["pending"]) == (0, FILES, [])
    with closing(sqlite3.connect(file)) as database:
        assert assert_whole_files(database) == FILES
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_some_time_into_a_file(folder: Path, file: Path, moment: float) -> bool:
    """Start the command, wait until it recorded one more file, and kill it `moment` seconds into the next.

    False if it came to its end before, as on a machine that does much else.
    """
    before = recorded(file)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "migrate_database", "--skip-checks", "--directory", str(folder)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "OMNICHAT_DATABASE_URL": f"sqlite:///{file}", "CONSOLE_DATABASE_URL": f"sqlite:///{file}.c"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 600
    while recorded(file) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def recorded(file: Path) -> int:
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM schema_version").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def assert_whole_files(database: sqlite3.Connection) -> int:
    """How many files are recorded; each has all it makes, and no other has anything."""
    versions = [version for (version,) in database.execute("SELECT version FROM schema_version ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name GLOB 't[0-9]*'")}
    assert names == {name for n in versions for name in (f"t{n}", f"t{n}_text")}
    for version in versions:
        assert database.execute(f"SELECT count(*) FROM t{version}").fetchone() == (3 * ROWS,)
    return len(versions)
