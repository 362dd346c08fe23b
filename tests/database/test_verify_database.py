"""The command: what it prints, its JSON, its exit codes, and what it asks of Clerk."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings

from chat.clerk import Clerk, ClerkError
from database.migrations import read_migrations
from standins.d1 import Engine

Command = Callable[..., tuple[int, dict[str, Any]]]
LAST = len(list(settings.SQL_MIGRATIONS_DIR.glob("*.sql")))
KEYS = {"ok", "schema_version", "tables", "drift", "checksums", "foreign_key_violations", "mismatches"}


@pytest.fixture
def file(tmp_path: Path, command: Command) -> Path:
    """A database with OmniChat's tables, made as operators make it."""
    assert command("migrate_database")[0] == 0
    return tmp_path / "omnichat.sqlite3"


@pytest.fixture
def run(file: Path) -> Callable[..., None]:
    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            for statement in statements:
                database.execute(statement)

    return execute


def add_users(count: int) -> str:
    return (
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        "INSERT INTO users (id, email) SELECT 'user_' || i, 'u' || i || '@example.com' FROM n"
    )


def test_its_json_has_each_key_where_there_is_nothing_to_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "omnichat.sqlite3").write_bytes(b"a letter, and no database " * 200)
    code, found = command("verify_database")
    assert (code, found["ok"], found["tables"]) == (1, False, {})
    assert found.keys() >= KEYS


def test_a_good_database_exits_0_with_every_key(file: Path, command: Command) -> None:
    code, found = command("verify_database")
    assert code == 0
    assert found.keys() >= KEYS
    assert (found["ok"], found["schema_version"], found["tables"]["subscription_plans"]) == (True, LAST, 4)
    assert (found["drift"], found["checksums"], found["foreign_key_violations"], found["mismatches"]) == ([], [], 0, [])
    assert "error" not in found


def test_each_problem_exits_1_and_is_in_the_sentence(command: Command, run: Any) -> None:
    run(
        "ALTER TABLE users DROP COLUMN avatarUrl",
        "UPDATE schema_version SET checksum = 'x' WHERE version = 2",
        "INSERT INTO conversations (id, userId, createdAt) VALUES ('c1', 'user_gone', 'yesterday')",
        "INSERT INTO users (id, email, tier) VALUES ('user_1', 'alice@example.com', 'paid')",
    )
    code, found = command("verify_database")
    assert (code, found["ok"]) == (1, False)
    (missing,) = found["drift"]
    assert missing == {"kind": "column", "table": "users", "name": "avatarUrl", "expected": "TEXT", "found": None}
    assert [each["version"] for each in found["checksums"]] == [2]
    assert found["foreign_key_violations"] == 1
    assert found["violating_rows"] == [{"table": "conversations", "rowid": 1, "parent": "users"}]
    assert [(each["table"], each["column"], each["count"]) for each in found["odd_values"]] == [
        ("conversations", "createdAt", 1)
    ]
    assert [each["user"] for each in found["mismatches"]] == ["user_1"]
    for words in ("users: missing: column avatarUrl: TEXT", "0002", "1 row points", "1 values", "disagree: 1"):
        assert words in found["error"]


def test_it_prints_tables_and_users_and_a_line_of_counts(file: Path, manage: Any, run: Any, tmp_path: Path) -> None:
    run(add_users(30), "UPDATE users SET tier = 'paid' WHERE id = 'user_17'")
    done = manage("verify_database", "--limit", "5")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert next(line for line in lines if line.startswith("users")).split() == ["users", "30", "rows"]
    place = lines.index(next(line for line in lines if line.startswith("user ")))
    assert lines[place + 1].split()[:3] == ["user_17", "u17@example.com", "paid"]
    assert lines[place + 6] == "and 25 more users, 0 of them in disagreement: see --limit"
    assert done.stderr == "Users whose subscriptions disagree: 1.\n"
    run("UPDATE users SET tier = 'free'")
    done = manage("verify_database", "--limit", "5")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith(f"OK: version {LAST}, 11 tables, ")


def test_it_verifies_the_real_d1_in_few_requests(manage: Any, d1_engine: Engine) -> None:
    d1_engine.reset()
    d1_engine.empty_database()
    for migration in read_migrations(settings.SQL_MIGRATIONS_DIR):
        d1_engine.execute(*migration.statements)
    d1_engine.execute("INSERT INTO users (id, email, tier) VALUES ('user_1', 'alice@example.com', 'paid')")
    d1_engine.reset()
    done = manage("verify_database", "--thorough", "--json", **d1_engine.environment())
    found = json.loads(done.stdout)
    assert (done.returncode, found["drift"], found["tables"]["users"]) == (1, [], 1)
    assert [each["user"] for each in found["mismatches"]] == ["user_1"]
    assert d1_engine.counts()["requests"] <= 9
    assert d1_engine.counts()["writes"] == 0


def test_it_writes_nothing(file: Path, command: Command, run: Any) -> None:
    run("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = DELETE")
    before = file.read_bytes()
    assert command("verify_database", "--thorough")[0] == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize("words", [["--limit", "few"], ["--limit", "-1"], ["--tables", "x"]])
def test_bad_usage_exits_2(words: list[str], manage: Any) -> None:
    done = manage("verify_database", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_cell_of_a_row_cannot_steer_the_terminal(file: Path, manage: Any, run: Any) -> None:
    run("INSERT INTO users (id, email) VALUES ('user_1', 'a' || char(27) || '[2J@example.com')")
    assert "\x1b" not in manage("verify_database").stdout


class FakeClerk(BaseHTTPRequestHandler):
    """Knows the users whose number is even; the first answer may be another one."""

    first: list[tuple[int, bytes]] = []
    asked: list[list[str]] = []

    def do_GET(self) -> None:
        ids = parse_qs(urlsplit(self.path).query).get("user_id", [])
        status, body = 200, json.dumps([{"id": each} for each in ids if int(each[5:]) % 2 == 0]).encode()
        if self.path.startswith("/v1/users?") and self.headers["Authorization"] != "Bearer sk_test_1":
            status, body = 401, b"{}"
        elif self.first:
            status, body = self.first.pop(0)
        else:
            self.asked.append(ids)
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def clerk(settings: Any) -> Iterator[type[FakeClerk]]:
    FakeClerk.asked, FakeClerk.first = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeClerk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.CLERK_SECRET_KEY = "sk_test_1"
        settings.CLERK_API_BASE = f"http://127.0.0.1:{server.server_port}/v1"
        yield FakeClerk
        server.shutdown()
        thread.join()


def test_clerk_is_asked_for_every_user_100_a_call(command: Command, run: Any, clerk: type[FakeClerk]) -> None:
    run(add_users(250))
    code, found = command("verify_database", "--clerk")
    assert [len(ids) for ids in clerk.asked] == [100, 100, 50]
    assert len({each for ids in clerk.asked for each in ids}) == 250
    assert (code, found["clerk"]["asked"], found["clerk"]["missing_count"]) == (1, 250, 125)
    assert "user_7" in found["clerk"]["missing"]
    assert found["error"] == "125 users do not exist at Clerk."


def test_clerk_is_asked_only_on_request(command: Command, run: Any, clerk: type[FakeClerk]) -> None:
    run(add_users(2))
    code, found = command("verify_database")
    assert (code, clerk.asked, "clerk" in found) == (0, [], False)


def test_a_rate_limit_of_clerk_is_waited_for(command: Command, run: Any, clerk: type[FakeClerk]) -> None:
    run("INSERT INTO users (id, email) VALUES ('user_2', 'b@example.com')")
    clerk.first = [(429, b"")]
    assert command("verify_database", "--clerk")[1]["clerk"] == {"asked": 1, "missing": [], "missing_count": 0}


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([(401, b"")], "Clerk refuses the key: look at CLERK_SECRET_KEY."),
        ([(500, b"")], "Clerk answers with status 500: try again later."),
        ([(200, b"<html>")], "Clerk's answer is no JSON: look at CLERK_API_BASE."),
        ([(200, b'{"data": []}')], "Clerk's answer is no list of users: look at CLERK_API_BASE."),
        ([(429, b"")] * 4, "Clerk answers with status 429: try again later."),
    ],
)
def test_what_clerk_refuses_is_told(
    command: Command, run: Any, clerk: type[FakeClerk], answers: list[tuple[int, bytes]], sentence: str
) -> None:
    run(add_users(1))
    clerk.first = list(answers)
    code, found = command("verify_database", "--clerk")
    assert (code, found["error"]) == (1, sentence)


def test_without_a_key_or_a_server_it_says_what_to_do(file: Path, command: Command, run: Any, settings: Any) -> None:
    run(add_users(1))
    settings.CLERK_SECRET_KEY = ""
    code, found = command("verify_database", "--clerk")
    assert (code, found["error"]) == (
        1,
        "CLERK_SECRET_KEY is not set: set it to a secret key of Clerk, or leave out --clerk.",
    )
    with pytest.raises(ClerkError, match="cannot be reached: look at the network and at CLERK_API_BASE"):
        Clerk("sk_test_1", "http://127.0.0.1:9/v1").existing(["user_1"])


def test_a_table_with_any_name_is_counted(run: Callable[..., None], command: Command) -> None:
    run('CREATE TABLE """it\'s"" 100%" ("a ""b""" TEXT)', 'INSERT INTO """it\'s"" 100%" VALUES (1), (2)')
    code, said = command("verify_database")
    assert said["tables"]['"it\'s" 100%'] == 2
    assert code == 0
