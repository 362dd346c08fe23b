"""What a plan warns of, from a copy of the schema in memory; SQLite and the real D1 show the same schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from database.migrations import read_migrations
from database.migrator import Migrator, Outcome
from database.rehearsal import Hazard

Write = Callable[[dict[str, str]], Path]
Warnings = Callable[[str], list[Hazard]]

TABLES = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER PRIMARY KEY REFERENCES parent (id) ON DELETE CASCADE, note TEXT, plain TEXT);
    CREATE TABLE grandchild (id INTEGER PRIMARY KEY REFERENCES child (id) ON DELETE CASCADE);
    CREATE INDEX notes ON child (note);"""
REBUILD = """
    CREATE TABLE fresh (id INTEGER PRIMARY KEY);
    INSERT INTO fresh SELECT id FROM {0};
    DROP TABLE {0};
    ALTER TABLE fresh RENAME TO {0};"""


@pytest.fixture
def warnings(scratch: Any, write: Write, migrate: Callable[..., Outcome]) -> Warnings:
    migrate(write({"0001_make.sql": TABLES}))

    def plan(sql: str) -> list[Hazard]:
        return Migrator(scratch, read_migrations(write({"0002_change.sql": sql}))).plan().hazards

    return plan


@pytest.mark.parametrize(
    ("sql", "warning"),
    [
        ("DROP TABLE grandchild", "drops the table grandchild with all its rows."),
        ("drop table if exists main.grandchild", "drops the table grandchild with all its rows."),
        ("ALTER TABLE child DROP COLUMN plain", "drops the column plain of child with all it holds."),
        ("DELETE FROM grandchild", "deletes every row of grandchild."),
        ("PRAGMA foreign_keys = OFF", "has no effect: PRAGMA foreign_keys does nothing inside a transaction."),
        (
            "CREATE INDEX IF NOT EXISTS notes ON child (id)",
            "passes over the index notes, which is there over",
        ),
        ("SELECT nowhere FROM child", "fails on this schema: no such column: nowhere."),
        ("INSERT INTO child (id, kind) VALUES (1, 2)", "fails on this schema: table child has no column named kind."),
        ("DROP TABLE parent", "drops parent, and its DROP deletes every row of child, grandchild as well (ON DELETE"),
        (REBUILD.format("parent"), "statement 3 rebuilds parent, and its DROP deletes every row of child, grandchild"),
        (
            "CREATE TABLE IF NOT EXISTS child (id INTEGER PRIMARY KEY, kind TEXT, note INTEGER)",
            "passes over the table child, which is there in another shape (without kind, note is TEXT instead of",
        ),
    ],
)
def test_it_warns(warnings: Warnings, sql: str, warning: str) -> None:
    (found,) = warnings(sql)
    assert warning in str(found)


@pytest.mark.parametrize(
    "sql",
    [
        REBUILD.format("grandchild"),
        "CREATE TABLE IF NOT EXISTS child (id INTEGER PRIMARY KEY, plain TEXT)",
        "CREATE INDEX IF NOT EXISTS notes ON child(note)",
        "DELETE FROM child WHERE id = 1; DROP INDEX notes",
        "INSERT INTO child VALUES (1, 'DROP TABLE child', 'DELETE FROM child'); -- DROP TABLE child",
        "'text alone'",
    ],
)
def test_it_does_not_warn_of_what_is_harmless(warnings: Warnings, sql: str) -> None:
    assert [str(each) for each in warnings(sql) if "syntax error" not in each.text] == []


def test_it_sees_what_earlier_statements_made(warnings: Warnings) -> None:
    (found,) = warnings("CREATE TABLE more (id REFERENCES parent (id) ON DELETE CASCADE);" + REBUILD.format("parent"))
    assert found.loses == ("child", "grandchild", "more")


def test_a_rebuild_that_would_empty_a_child_asks_first(
    warnings: Warnings, write: Write, migrate: Callable[..., Outcome]
) -> None:
    warnings("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, '', '');")
    migrate(write({}))
    asked: list[str] = []
    migrate(write({"0003_rebuild.sql": REBUILD.format("parent")}), confirm=asked.append)
    assert len(asked) == 1
    assert "deletes every row of child, grandchild" in asked[0]


def test_a_rebuild_over_empty_children_goes_on(
    warnings: Warnings, write: Write, migrate: Callable[..., Outcome]
) -> None:
    warnings(REBUILD.format("parent"))
    asked: list[str] = []
    outcome = migrate(write({}), confirm=asked.append)
    assert (asked, outcome.error, outcome.version) == ([], None, 2)
