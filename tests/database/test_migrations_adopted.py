"""Taking over a database that somebody else made."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from database.migrations import read_migrations
from database.migrator import Migrator, Outcome
from database.sql import statements

OURS = read_migrations(settings.SQL_MIGRATIONS_DIR)
TABLES = max(each.version for each in OURS if each.name.startswith("create_"))

Rows = Callable[[str], list[tuple[Any, ...]]]
Execute = Callable[..., None]


@pytest.fixture
def execute(scratch: Any) -> Execute:
    def run(*texts: str) -> None:
        with scratch.cursor() as cursor:
            for text in texts:
                for statement in statements(text):
                    cursor.execute(statement)

    return run


@pytest.fixture
def adopt(scratch: Any) -> Callable[..., Outcome]:
    return lambda to, **options: Migrator(scratch, OURS).adopt(to, **options)


@pytest.fixture
def live(execute: Execute) -> None:
    """OmniChat's database as its app made it: the tables, no index and no row of ours, and columns of the app's own."""
    execute(*(each.sql for each in OURS[:TABLES]))
    execute(
        "DROP TABLE schema_version",
        "ALTER TABLE subscription_plans ADD COLUMN description TEXT",
        "CREATE TABLE feature_flags (name TEXT PRIMARY KEY)",
        "INSERT INTO users (id, email) VALUES ('user_1', 'alice@example.com')",
    )


@pytest.mark.usefixtures("live")
def test_a_live_database_is_adopted_and_then_migrated_further(scratch: Any, adopt: Any, rows: Rows) -> None:
    outcome = adopt(TABLES)
    assert (outcome.error, len(outcome.adopted), outcome.version) == (None, TABLES, TABLES)
    further = Migrator(scratch, OURS).migrate()
    assert (further.error, further.version) == (None, len(OURS))
    assert rows("SELECT email FROM users") == [("alice@example.com",)]


@pytest.mark.usefixtures("live")
def test_indexes_that_are_lacking_are_told_and_the_version_up_to_which_all_is_there(adopt: Any, rows: Rows) -> None:
    outcome = adopt(len(OURS))
    assert outcome.error is not None
    assert "users: missing: index users_by_created" in outcome.error
    assert f"--adopt {TABLES}" in outcome.error
    assert {"index"} == {each.kind for each in outcome.differences}
    assert rows("SELECT name FROM sqlite_master WHERE name = 'schema_version'") == []


@pytest.mark.usefixtures("live")
def test_what_is_lacking_is_added_when_that_is_asked_for(execute: Execute, adopt: Any, rows: Rows) -> None:
    execute("ALTER TABLE user_battery DROP COLUMN created_at", "ALTER TABLE users DROP COLUMN avatarUrl")
    refused = adopt(len(OURS))
    assert refused.error is not None
    assert "user_battery: missing: column created_at" in refused.error
    mended = adopt(len(OURS), mend=True)
    assert (mended.error, mended.version) == (None, len(OURS))
    assert rows("SELECT avatarUrl FROM users") == [(None,)]
    assert adopt(len(OURS)).error is None


@pytest.mark.usefixtures("live")
def test_another_type_or_key_cannot_be_mended_and_nothing_is_done(execute: Execute, adopt: Any, rows: Rows) -> None:
    execute("DROP TABLE user_battery", "CREATE TABLE user_battery (user_id TEXT, total_balance TEXT)")
    outcome = adopt(TABLES, mend=True)
    assert outcome.error is not None
    assert re.search("user_battery: type total_balance is TEXT instead of INTEGER", outcome.error)
    assert {each.kind for each in outcome.differences} == {"type", "primary_key"}
    assert rows("SELECT name FROM pragma_table_info('user_battery')") == [("user_id",), ("total_balance",)]


@pytest.mark.usefixtures("live")
def test_rows_of_other_migrations_give_way(execute: Execute, scratch: Any, adopt: Any, rows: Rows) -> None:
    execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT, applied_at INTEGER, checksum TEXT)")
    execute(*(f"INSERT INTO schema_version VALUES ({n}, 'old_{n}', 1, NULL)" for n in range(1, 21)))
    before = Migrator(scratch, OURS).migrate()
    assert before.error is not None
    assert "records version 20" in before.error
    assert adopt(TABLES).error is None
    assert rows("SELECT max(version), count(checksum) FROM schema_version") == [(TABLES, TABLES)]


def test_wranglers_own_records_tell_the_version(execute: Execute, adopt: Any) -> None:
    execute(*(each.sql for each in OURS[:3]))
    execute("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT UNIQUE, applied_at TIMESTAMP)")
    execute(*(f"INSERT INTO d1_migrations (name) VALUES ('{each}')" for each in OURS[:3]))
    outcome = adopt(None)
    assert (outcome.error, outcome.version) == (None, 3)


def test_without_a_number_and_without_wrangler_it_asks_for_one(adopt: Any) -> None:
    assert "say up to which version, --adopt N" in adopt(None).error


def test_an_empty_database_has_nothing_to_adopt(adopt: Any, rows: Rows) -> None:
    outcome = adopt(2)
    assert outcome.error is not None
    assert "users: missing: table" in outcome.error
    assert rows("SELECT name FROM sqlite_master WHERE name = 'schema_version'") == []
