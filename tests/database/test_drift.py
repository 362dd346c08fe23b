"""Schemas compared by what they mean. Each case changes one thing of OmniChat's own schema."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from database.drift import Comparison, Difference, compare, expected_schema
from database.migrations import MigrationError, read_migrations
from database.schema import Schema, read_schema
from database.sql import statements

OURS = read_migrations(settings.SQL_MIGRATIONS_DIR)
TEXT = "\n".join(migration.sql for migration in OURS)


def schema_of(sql: str) -> Schema:
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in statements(sql):
            database.execute(statement)
        return read_schema(database.cursor())


def changed(old: str, new: str, sql: str = TEXT) -> Comparison:
    assert old in sql
    return compare(schema_of(sql), schema_of(sql.replace(old, new)))


def kinds(differences: list[Difference]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.table, each.name) for each in differences]


def test_the_files_agree_with_what_they_make() -> None:
    assert compare(expected_schema(OURS), schema_of(TEXT)) == Comparison()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  avatarUrl TEXT,\n", "", ("column", "users", "avatarUrl")),
        ("email TEXT UNIQUE NOT NULL", "email TEXT UNIQUE", ("not_null", "users", "email")),
        ("email TEXT UNIQUE NOT NULL", "email TEXT NOT NULL", ("index", "users", "email")),
        ("email TEXT UNIQUE NOT NULL", "email INTEGER UNIQUE NOT NULL", ("type", "users", "email")),
        ("price_monthly INTEGER", "price_monthly TEXT", ("type", "subscription_plans", "price_monthly")),
        ("version INTEGER PRIMARY KEY", "version INT PRIMARY KEY", ("type", "schema_version", "version")),
        ("user_id TEXT PRIMARY KEY", "user_id TEXT", ("primary_key", "user_battery", "user_battery")),
        (" REFERENCES users (id) ON DELETE CASCADE", "", ("foreign_key", "conversations", "userId")),
        ("REFERENCES users (id) ON DELETE CASCADE", "REFERENCES users", ("foreign_key", "conversations", "userId")),
        (
            "REFERENCES subscription_plans (id)",
            "REFERENCES users (id)",
            ("foreign_key", "user_subscriptions", "plan_id"),
        ),
        (" CHECK (tier IN ('free', 'paid'))", "", ("check", "users", "tier")),
        ("('free', 'paid')", "('free', 'paid', 'gift')", ("check", "users", "tier")),
        ("(date, user_id)", "(date)", ("index", "api_usage", "usage_by_day")),
        ("(date, user_id)", "(date DESC, user_id)", ("index", "api_usage", "usage_by_day")),
        ("(name COLLATE NOCASE)", "(name)", ("index", "users", "users_by_name")),
        (" WHERE pinned;", ";", ("index", "conversations", "conversations_pinned")),
        (" WHERE pinned;", " WHERE archived;", ("index", "conversations", "conversations_pinned")),
        ("INDEX IF NOT EXISTS usage_by_day", "UNIQUE INDEX usage_by_day", ("index", "api_usage", "usage_by_day")),
    ],
)
def test_less_or_other_is_drift_and_is_named(old: str, new: str, expected: tuple[str, str, str]) -> None:
    assert expected in kinds(changed(old, new).drift)


def test_another_expression_of_an_index_is_drift() -> None:
    found = changed("replace(replace(createdAt,'T',' '),'Z','')", "replace(createdAt,'T',' ')").drift
    assert ("index", "messages", "messages_by_created") in kinds(found)


def test_drift_tells_what_was_expected_and_what_was_found() -> None:
    (found,) = changed("CHECK (tier IN ('free', 'paid'))", "CHECK (tier IN ('free', 'paid', 'gift'))").drift
    assert found.as_dict() == {
        "kind": "check",
        "table": "users",
        "name": "tier",
        "expected": "CHECK (tier in ('free', 'paid'))",
        "found": "CHECK (tier in ('free', 'gift', 'paid'))",
    }
    (key,) = changed(
        "conversationId TEXT REFERENCES conversations (id) ON DELETE CASCADE",
        "conversationId TEXT REFERENCES conversations (id) ON DELETE SET NULL",
    ).drift
    assert "ON DELETE CASCADE" in str(key.expected)
    assert "ON DELETE SET NULL" in str(key.found)
    assert str(key).startswith("messages: foreign key conversationId is ")


def test_a_table_that_is_missing_is_one_difference() -> None:
    found = compare(schema_of(TEXT), schema_of(TEXT + "; DROP TABLE user_battery"))
    assert kinds(found.drift) == [("table", "user_battery", "user_battery")]
    assert str(found.drift[0]).startswith("user_battery: missing: table: (user_id, total_balance")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CREATE TABLE IF NOT EXISTS users (", 'create table "users" ('),
        ("email TEXT UNIQUE NOT NULL", "[email] text NOT NULL CHECK (1) UNIQUE -- ;\n"),
        ("  tier TEXT", "  /* the tier; */ TIER varchar(10)"),
        ("CHECK (tier IN ('free', 'paid'))", "CONSTRAINT t check ( ( \"tier\" in ('paid','free') ) )"),
        ("REFERENCES users (id) ON DELETE CASCADE", 'REFERENCES "Users" on delete cascade'),
        ("usage_by_day ON api_usage (date, user_id)", 'day_by_usage ON "api_usage"([date] ASC,\n\t"user_id")'),
        ("WHERE pinned;", 'where ( "pinned" );'),
        ("replace(replace(createdAt,'T',' '),'Z','')", "replace(replace(createdAt, 'T', ' '), 'Z', '')"),
        ("pinned BOOLEAN DEFAULT 0", "pinned INTEGER DEFAULT (0)"),
    ],
)
def test_another_spelling_is_no_difference(old: str, new: str) -> None:
    assert changed(old, new).drift == []


def test_a_unique_index_stands_for_a_unique_column() -> None:
    other = TEXT.replace("TEXT UNIQUE NOT NULL", "TEXT NOT NULL") + "; CREATE UNIQUE INDEX e ON users (email)"
    assert compare(schema_of(TEXT), schema_of(other)) == Comparison()


def test_more_is_told_and_is_no_drift() -> None:
    more = """
    ALTER TABLE users ADD COLUMN phone TEXT;
    ALTER TABLE user_subscriptions ADD COLUMN billing_interval TEXT DEFAULT 'month';
    CREATE TABLE invites (code TEXT);
    CREATE INDEX by_phone ON users (phone);
    CREATE VIEW payers AS SELECT id FROM users WHERE tier = 'paid';
    CREATE TRIGGER touched AFTER UPDATE ON users BEGIN SELECT CASE WHEN 1 THEN 2 END; END;
    """
    found = compare(schema_of(TEXT), schema_of(TEXT + ";" + more))
    assert found.drift == []
    assert kinds(found.more) == [
        ("column", "users", "phone"),
        ("index", "users", "by_phone"),
        ("column", "user_subscriptions", "billing_interval"),
        ("table", "invites", "invites"),
        ("view", "payers", "payers"),
        ("trigger", "touched", "touched"),
    ]


def test_another_default_is_told_and_is_no_drift() -> None:
    found = changed("pinned BOOLEAN DEFAULT 0", "pinned BOOLEAN DEFAULT 1")
    assert (found.drift, kinds(found.more)) == ([], [("default", "conversations", "pinned")])


def test_tables_of_the_engine_and_of_wrangler_are_nobodys() -> None:
    others = (
        "CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY); CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY "
        "AUTOINCREMENT, name TEXT UNIQUE); CREATE INDEX m ON d1_migrations (name);"
    )
    assert compare(schema_of(TEXT), schema_of(TEXT + ";" + others)) == Comparison()


def test_a_missing_trigger_or_another_one_is_drift() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END"
    both = schema_of(f"CREATE TABLE a (x); {trigger}")
    assert kinds(compare(both, schema_of("CREATE TABLE a (x)")).drift) == [("trigger", "t", "t")]
    other = schema_of(f"CREATE TABLE a (x); {trigger.replace('SELECT 1', 'SELECT 2')}")
    assert kinds(compare(both, other).drift) == [("trigger", "t", "t")]
    assert compare(both, schema_of(f"CREATE TABLE a (x); {trigger.lower()}")) == Comparison()


def test_a_file_that_does_not_apply_is_named(write: Callable[[dict[str, str]], Path]) -> None:
    files = read_migrations(write({"0001_index_a.sql": "SELECT 1;\nCREATE INDEX i ON a (x);"}))
    with pytest.raises(MigrationError, match=r"0001_index_a.sql does not apply .* statement 2 fails: no such table"):
        expected_schema(files)


def test_both_engines_show_the_same_schema_in_one_query(scratch: Any, migrate: Any) -> None:
    migrate(settings.SQL_MIGRATIONS_DIR)
    with scratch.cursor() as cursor:
        assert compare(expected_schema(OURS), read_schema(cursor)) == Comparison()
