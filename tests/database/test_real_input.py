"""Databases that we did not make, in the commands and in the pages: each works, or is told clearly."""

import html
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client

from database.router import OMNICHAT
from database.sql import statements
from omniops.environment import sqlite
from standins.d1 import Engine, missing_reason

Command = Callable[..., tuple[int, dict[str, Any]]]
Database = sqlite3.Connection
LAST = len(list(settings.SQL_MIGRATIONS_DIR.glob("*.sql")))
COMMANDS = ("verify_database", "setup_database", "migrate_database")
LETTER = b"This is a letter, and no database at all. " * 200
LISTS = ("chat/user", "chat/message", "billing/batterytransaction", "billing/usersubscription", "database/auditlog")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "omnichat.sqlite3"


@pytest.fixture
def made(file: Path, command: Command) -> Iterator[Database]:
    """A database with OmniChat's tables and one user, opened by another program."""
    assert command("migrate_database")[0] == 0
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("INSERT INTO users (id, email, name) VALUES ('user_1', 'alice@example.com', 'Alice')")
        yield database


@pytest.fixture
def pages(admin_client: Client, file: Path) -> Iterator[Client]:
    """A client of the console whose `omnichat` is the file, with little patience for a lock."""
    usual = connections[OMNICHAT], connections.settings[OMNICHAT]
    configured = sqlite(file)
    configured["OPTIONS"]["timeout"] = 0.05
    connections.settings[OMNICHAT] = connections.configure_settings({"default": {}, OMNICHAT: configured})[OMNICHAT]
    connections[OMNICHAT] = connections.create_connection(OMNICHAT)
    yield admin_client
    connections[OMNICHAT].close()
    connections[OMNICHAT], connections.settings[OMNICHAT] = usual


def text_of(client: Client, address: str) -> tuple[int, str]:
    response = client.get(address)
    return response.status_code, response.content.decode()


class TestStateFileOfLocalD1:
    """The file in which wrangler keeps its local D1, opened where it is, while the engine runs."""

    @pytest.fixture
    def file(self, d1_engine: Engine) -> Path:
        if reason := missing_reason():
            pytest.skip(f"missing: {reason}")
        d1_engine.reset()
        d1_engine.empty_database()
        for path in sorted(settings.SQL_MIGRATIONS_DIR.glob("*.sql")):
            d1_engine.execute(*statements(path.read_text()))
        d1_engine.execute("INSERT INTO users (id, email) VALUES ('user_1', 'alice@example.com')")
        return d1_engine.state_file()

    def test_it_is_verified_taken_over_and_verified(self, file: Path, command: Command) -> None:
        code, found = command("verify_database", file=file)
        assert (code, found["drift"], found["more"], found["tables"]["users"]) == (1, [], [], 1)
        assert (
            found["error"]
            == f"{LAST} of {LAST} migrations are not recorded as applied: run manage.py migrate_database."
        )
        assert command("setup_database", file=file)[0] == 0
        code, found = command("verify_database", file=file)
        assert (code, found["ok"], found["schema_version"]) == (0, True, LAST)
        assert not [name for name in found["tables"] if name.startswith("_cf")]

    @pytest.mark.django_db
    def test_its_users_are_shown(self, pages: Client) -> None:
        code, text = text_of(pages, "/admin/chat/user/")
        assert code == 200
        assert "alice@example.com" in text


MORE = (
    "ALTER TABLE user_subscriptions ADD COLUMN billing_interval TEXT DEFAULT 'month'",
    "ALTER TABLE battery_transactions ADD COLUMN description TEXT",
    "CREATE TABLE feature_flags (name TEXT PRIMARY KEY, enabled INTEGER)",
    "INSERT INTO feature_flags VALUES ('new_models', 1)",
    "CREATE VIEW paying AS SELECT id FROM users WHERE tier = 'paid'",
    "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, description) "
    "VALUES ('t1', 'user_1', 'subscription_upgrade', 90, 90, 'to power')",
)


class TestMoreThanOurs:
    @pytest.fixture(autouse=True)
    def more(self, made: Database) -> None:
        for statement in MORE:
            made.execute(statement)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_works(self, command: Command, name: str) -> None:
        code, found = command(name)
        assert (code, found.get("error")) == (0, None)

    def test_it_is_reported_and_counted(self, command: Command) -> None:
        found = command("verify_database")[1]
        assert {(each["kind"], each["name"]) for each in found["more"]} == {
            ("column", "billing_interval"),
            ("column", "description"),
            ("table", "feature_flags"),
            ("view", "paying"),
        }
        assert (found["drift"], found["tables"]["feature_flags"]) == ([], 1)

    @pytest.mark.django_db
    def test_a_type_that_the_app_added_is_shown(self, pages: Client) -> None:
        code, text = text_of(pages, "/admin/billing/batterytransaction/")
        assert code == 200
        assert "subscription_upgrade" in text or "Subscription upgrade" in text
        assert pages.get("/admin/billing/batterytransaction/t1/change/").status_code == 200


class TestWithoutATable:
    @pytest.fixture(autouse=True)
    def lost(self, made: Database) -> None:
        made.execute("DROP TABLE daily_usage_summary")

    @pytest.mark.parametrize("name", ["verify_database", "setup_database"])
    def test_it_is_named(self, command: Command, name: str) -> None:
        code, found = command(name)
        assert code == 1
        assert [(each["kind"], each["table"]) for each in found["drift"]] == [("table", "daily_usage_summary")]
        assert "daily_usage_summary: missing: table" in found["error"]

    @pytest.mark.django_db
    def test_the_pages_of_other_tables_work_and_its_own_says_what_is_missing(self, pages: Client) -> None:
        for name in LISTS:
            assert pages.get(f"/admin/{name}/").status_code == 200
        code, text = text_of(pages, "/admin/chat/dailyusagesummary/")
        assert code == 503
        assert "no table daily_usage_summary" in text
        assert "manage.py verify_database" in text

    @pytest.mark.django_db
    def test_the_page_of_a_user_says_it_too(self, pages: Client) -> None:
        code, text = text_of(pages, "/admin/chat/user/user_1/change/")
        assert code in (200, 503)
        assert code == 200 or "no table daily_usage_summary" in text


class TestEmptyFile:
    @pytest.fixture(autouse=True)
    def empty(self, file: Path) -> None:
        file.touch()

    def test_it_is_told_and_stays_empty(self, command: Command, file: Path) -> None:
        code, found = command("verify_database")
        assert (code, found["error"]) == (1, "The database has no tables: run manage.py setup_database.")
        assert len([each for each in found["drift"] if each["kind"] == "table"]) == 11
        assert file.stat().st_size == 0

    @pytest.mark.parametrize("name", ["setup_database", "migrate_database"])
    def test_it_is_filled(self, command: Command, name: str) -> None:
        assert command(name)[0] == 0
        assert command("verify_database")[0] == 0

    @pytest.mark.django_db
    def test_each_page_says_what_to_do(self, pages: Client) -> None:
        for name in LISTS:
            code, text = text_of(pages, f"/admin/{name}/")
            assert code == 503
            assert "manage.py migrate_database" in text or "manage.py setup_database" in text


class TestNoDatabase:
    @pytest.fixture(autouse=True)
    def letter(self, file: Path) -> None:
        file.write_bytes(LETTER)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_it_is_told_and_left_alone(self, command: Command, file: Path, name: str) -> None:
        code, found = command(name)
        assert (code, found["error"]) == (
            1,
            f"{file} is no SQLite database: name another file, or move this one away.",
        )
        assert file.read_bytes() == LETTER

    @pytest.mark.django_db
    def test_each_page_says_so(self, pages: Client) -> None:
        for name in LISTS:
            code, text = text_of(pages, f"/admin/{name}/")
            assert code == 503
            assert "is no SQLite database" in text


class TestLockedByAnotherWriter:
    """In WAL mode a writer stops writers alone; in the older mode it stops everybody."""

    def test_reading_goes_on_and_writing_is_told(self, made: Database, command: Command, file: Path) -> None:
        made.execute("DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)")
        made.execute("BEGIN IMMEDIATE")
        code, found = command("verify_database", wait=0.05)
        assert (code, found["error"][:14]) == (1, f"1 of {LAST} migrat"[:14])
        for name in ("setup_database", "migrate_database"):
            code, found = command(name, wait=0.05)
            assert code == 1
            assert found["error"].startswith(f"Another program is writing to {file} and does not end: try again")

    @pytest.mark.parametrize("name", COMMANDS)
    def test_in_the_older_mode_each_command_tells(
        self, made: Database, command: Command, file: Path, name: str
    ) -> None:
        made.execute("PRAGMA journal_mode = DELETE")
        made.execute("BEGIN EXCLUSIVE")
        code, found = command(name, wait=0.05)
        assert code == 1
        assert found["error"].startswith(f"Another program is writing to {file} and does not end: try again")

    @pytest.mark.django_db
    def test_pages_are_shown_and_a_save_is_told(self, made: Database, pages: Client) -> None:
        form = pages.get("/admin/chat/user/user_1/change/")
        assert form.status_code == 200
        inputs = re.findall(r'name="([\w-]+)"[^>]*value="([^"]*)"', form.content.decode())
        data = {name: html.unescape(value) for name, value in inputs}
        made.execute("BEGIN IMMEDIATE")
        saved = pages.post("/admin/chat/user/user_1/change/", {**data, "name": "Alicia"})
        assert saved.status_code == 503
        assert "Another program is writing to" in saved.content.decode()
        made.execute("ROLLBACK")
        assert made.execute("SELECT name FROM users").fetchone() == ("Alice",)

    @pytest.mark.django_db
    def test_in_the_older_mode_each_page_tells(self, made: Database, pages: Client) -> None:
        made.execute("PRAGMA journal_mode = DELETE")
        made.execute("BEGIN EXCLUSIVE")
        code, text = text_of(pages, "/admin/chat/user/")
        assert code == 503
        assert "Another program is writing to" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_not_there_is_told(command: Command, tmp_path: Path, name: str) -> None:
    code, found = command(name, file=tmp_path / "nowhere" / "omnichat.sqlite3")
    assert code == 1
    assert "has no tables" in found["error"] or "cannot be opened: its folder is missing" in found["error"]


def test_a_damaged_file_is_told(made: Database, command: Command, file: Path) -> None:
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    with file.open("r+b") as pages:
        pages.seek(4096)
        pages.write(b"\xff" * (size - 4096))
    code, found = command("verify_database")
    assert code == 1
    assert "damaged" in found["error"]
    assert "restore a backup" in found["error"]


@pytest.mark.parametrize("words", [("verify_database",), ("migrate_database", "--plan"), ("migrate_database",)])
def test_a_file_that_cannot_even_be_looked_at_is_told(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    code, found = command(*words, file=tmp_path / ("x" * 300))
    assert code == 1
    assert "cannot be opened" in found["error"]
