"""What a verification finds, on SQLite and on the real D1 alike. Each test spoils one thing of a good database."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test.utils import CaptureQueriesContext

from database.migrations import read_migrations
from database.oddities import rules
from database.schema import read_schema
from database.values import Odd, read_day, read_instant, read_json
from database.verification import Verification, verify, verify_schema

MIGRATIONS = read_migrations(settings.SQL_MIGRATIONS_DIR)
Run = Callable[..., None]
Verify = Callable[..., Verification]

#: Values of a column, some of which their reader calls odd.
INSTANTS = [
    "2026-11-22 14:03:09", "2026-11-22T14:03:09.123Z", "2026-11-22T14:03:09Z", "2026-11-22 14:03:09.5", "1763820189",
    "0", "2026-11-22T14:03:09+00:00", "2026-11-22T14:03:09.123456+00:00", "2026-11-22", "2026-11-22 14:03",
    "2026-11-22T14:03Z", "2026-02-31 10:00:00", "2026-02-30", "2026-11-22T14:03:09+02:00", "yesterday", "",
    "2026-11-22 25:00:00", "14:03:09", "2026-11-22 14:03:09 ", " 2026-11-22", "2026-11-22T14:03:09.",
    "2026-11-22T14:03:09.Z", "2026-11-22 14:61", "-1", "now", "9999999999999", "253402300800",
    "2026-11-22T14:03:09.12x", "2460000.5", "20261122", "2026-1-2", "2026-11-22T24:00:00Z",
]  # fmt: skip
JSONS = ["{}", "[1]", '{"a": "ü"}', "{", "", "none", "[1,]", "{'a': 1}", '{"a": 1} x']


@pytest.fixture
def run(scratch: Any, migrate: Any) -> Run:
    """`run("INSERT ...", ...)` on a database with OmniChat's tables."""
    migrate(settings.SQL_MIGRATIONS_DIR)

    def execute(*statements: str) -> None:
        with scratch.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return execute


@pytest.fixture
def verified(scratch: Any) -> Verify:
    return lambda **options: verify(scratch, MIGRATIONS, **options)


def quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def add_user(name: str, **cells: str) -> str:
    row = {"id": f"user_{name}", "email": f"{name}@example.com", **cells}
    return f"INSERT INTO users ({', '.join(row)}) VALUES ({', '.join(map(quoted, row.values()))})"


def add_subscription(user: str, status: str, name: str = "1", end: str = "2026-12-01 00:00:00") -> str:
    values = f"'{user}{name}', 'user_{user}', 'power', 'sub_{user}{name}', '{status}', '{end}'"
    columns = "id, user_id, plan_id, stripe_subscription_id, status, current_period_end"
    return f"INSERT INTO user_subscriptions ({columns}) VALUES ({values})"


def pairs(found: Verification) -> dict[str, Any]:
    return next(finding.data for finding in found.findings if "mismatches" in finding.data)


def test_a_good_database_has_no_problem_in_few_queries(run: Run, scratch: Any, verified: Verify) -> None:
    run(add_user("alice", tier="paid", subscriptionStatus="active"), add_subscription("alice", "active"))
    with CaptureQueriesContext(scratch) as queries:
        found = verified()
    assert (found.problems, found.schema_version) == ([], len(MIGRATIONS))
    assert found.tables["users"] == 1
    assert found.tables["subscription_plans"] == 4
    assert len(found.tables) == 11
    # On D1 each of them is a request.
    assert len(queries) <= 9


def test_drift_is_a_problem_and_more_is_none(run: Run, verified: Verify) -> None:
    run("DROP INDEX users_by_tier", "CREATE TABLE invites (code TEXT)", "ALTER TABLE users ADD COLUMN phone TEXT")
    run("INSERT INTO invites VALUES ('x'), ('y')")
    found = verified()
    assert [(each.kind, each.name) for each in found.schema.drift] == [("index", "users_by_tier")]
    assert {each.name for each in found.schema.more} == {"invites", "phone"}
    assert found.tables["invites"] == 2
    assert [problem[:39] for problem in found.problems] == ["the schema lacks or has otherwise: user"]


def test_an_empty_database_is_told_to_be_set_up(scratch: Any, verified: Verify) -> None:
    found = verified()
    assert found.problems == ["the database has no tables: run manage.py setup_database"]
    assert {each.name for each in found.schema.drift} >= {"users", "messages", "schema_version"}
    assert (found.schema_version, found.tables) == (0, {})


def test_a_missing_table_stops_no_other_check(run: Run, verified: Verify) -> None:
    run("DROP TABLE user_subscriptions", add_user("alice", createdAt="yesterday"))
    found = verified()
    assert [each.name for each in found.schema.drift] == ["user_subscriptions"]
    assert [each.rule.column for each in found.oddities] == ["createdAt"]
    assert "user_subscriptions" not in found.tables


def test_a_file_changed_after_it_was_applied_is_named(run: Run, verified: Verify) -> None:
    run("UPDATE schema_version SET checksum = 'abc' WHERE version = 3")
    found = verified()
    assert [(each["version"], each["found"]) for each in found.checksums] == [(3, "abc")]
    assert found.checksums[0]["expected"] == MIGRATIONS[2].checksum
    assert found.problems == ["what schema_version records is not what the files are: 0003"]


def test_a_row_without_a_checksum_is_no_problem(run: Run, verified: Verify) -> None:
    run("UPDATE schema_version SET checksum = NULL WHERE version = 3")
    assert verified().ok


def test_a_version_without_a_file_and_a_file_without_a_row_are_told(run: Run, verified: Verify) -> None:
    run(f"UPDATE schema_version SET version = 99 WHERE version = {len(MIGRATIONS)}")
    found = verified()
    assert [each["problem"] for each in found.checksums] == ["there is no such file"]
    assert [each.version for each in found.pending] == [len(MIGRATIONS)]
    assert (
        f"1 of {len(MIGRATIONS)} migrations are not recorded as applied: run manage.py migrate_database"
        in found.problems
    )


def test_rows_that_point_nowhere_are_counted_and_listed(run: Run, scratch: Any, verified: Verify) -> None:
    if scratch.display_name != "SQLite":
        pytest.skip("D1 holds its foreign keys at all times")
    run("PRAGMA foreign_keys = OFF")
    run(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
        "INSERT INTO conversations (id, userId) SELECT 'c' || i, 'user_gone' FROM n"
    )
    found = verified()
    assert found.violations == 250
    assert len(found.violating) == 100
    assert found.violating[0] == {"table": "conversations", "rowid": 1, "parent": "users"}
    assert found.problems == ["250 rows point to rows that are not there (conversations to users)"]


def test_a_key_to_columns_that_are_not_unique_is_told(run: Run, scratch: Any, verified: Verify) -> None:
    run("CREATE TABLE a (x)", "CREATE TABLE b (x REFERENCES a (x))")
    if scratch.display_name != "SQLite":
        return
    run("PRAGMA foreign_keys = OFF", "INSERT INTO b VALUES (1)")
    assert any("foreign keys cannot be checked" in problem for problem in verified().problems)


@pytest.mark.parametrize("value", INSTANTS)
def test_the_database_and_python_call_the_same_instants_odd(value: str, counted_odd: Any) -> None:
    assert counted_odd("users", "createdAt", quoted(value)) == isinstance(read_instant(value), Odd)


@pytest.mark.parametrize("value", INSTANTS)
def test_the_database_and_python_call_the_same_days_odd(value: str, counted_odd: Any) -> None:
    assert counted_odd("user_battery", "last_daily_reset", quoted(value)) == isinstance(read_day(value), Odd)


@pytest.mark.parametrize("value", JSONS)
def test_the_database_and_python_call_the_same_json_odd(value: str, counted_odd: Any) -> None:
    assert counted_odd("audit_logs", "metadata", quoted(value)) == isinstance(read_json(value), Odd)


def test_d1_finds_the_same_instants_odd(run: Run, verified: Verify) -> None:
    run(*(add_user(str(n), createdAt=value) for n, value in enumerate(INSTANTS)))
    odd = sum(isinstance(read_instant(value), Odd) for value in INSTANTS)
    assert [(each.rule.column, each.count) for each in verified().oddities] == [("createdAt", odd)]


@pytest.mark.parametrize(("sql", "is_odd"), [("NULL", False), ("x'00ff'", True), ("1.5", True), ("1763820189", False)])
def test_other_types_in_a_column_of_instants(sql: str, is_odd: bool, counted_odd: Any) -> None:
    assert counted_odd("users", "createdAt", sql) == is_odd


@pytest.fixture(scope="module")
def counted_odd() -> Iterator[Any]:
    """Whether the condition in SQL finds a value odd, in memory; a test below asks D1 too."""
    database = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        for statement in migration.statements:
            database.execute(statement)
    by_column = {(rule.table, rule.column): rule for rule in rules(read_schema(database.cursor()))}

    def count(table: str, column: str, sql: str) -> bool:
        condition = by_column[table, column].condition.replace("{0}", "value")
        return bool(database.execute(f"SELECT {condition} FROM (SELECT {sql} AS value)").fetchone()[0])

    yield count
    database.close()


def test_odd_values_are_counted_by_column_with_a_few_of_them(run: Run, verified: Verify) -> None:
    run(*(add_user(f"u{n}", createdAt="yesterday", stripeCustomerId=f"cus_{n}") for n in range(7)))
    run(add_user("bob", subscriptionId="pi_1", createdAt="1763820189"))
    run("INSERT INTO users (id, email, stripeCustomerId) VALUES ('bob', 'b@example.com', 'cus 1')")
    run("INSERT INTO audit_logs (id, action, metadata) VALUES ('a1', 'x', '{broken')")
    found = verified()
    counts = {(each.rule.column, each.rule.kind): each.count for each in found.oddities}
    assert counts == {
        ("createdAt", "timestamp"): 7,
        ("metadata", "json"): 1,
        ("id", "id"): 1,
        ("stripeCustomerId", "id"): 1,
        ("subscriptionId", "id"): 1,
    }
    dates, notes = (next(each for each in found.oddities if each.rule.kind == kind) for kind in ("timestamp", "json"))
    assert len(dates.samples) == 5
    assert dates.samples[0] == {"key": "user_u0", "value": "yesterday"}
    # What stands in JSON may be private: the row is named alone.
    assert notes.samples == [{"key": "a1", "value": None}]
    assert "11 values are not what their columns should hold" in found.problems[0]


def test_a_big_table_is_read_in_slices_that_together_count_the_same(
    run: Run, verified: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*(add_user(f"u{n}", createdAt="yesterday" if n % 3 else "2026-11-22") for n in range(20)))
    run("DELETE FROM users WHERE id = 'user_u4'", "CREATE TABLE pairs (a PRIMARY KEY, b) WITHOUT ROWID")
    run("INSERT INTO conversations (rowid, id, createdAt) VALUES (-5, 'c1', 'x'), (9000000000, 'c2', 'x')")
    monkeypatch.setattr("database.oddities._ROWS_AT_ONCE", 4)
    found = verified()
    assert [(each.rule.table, each.count) for each in found.oddities] == [("users", 12), ("conversations", 2)]
    assert found.tables["pairs"] == 0


def test_a_set_up_answers_for_the_schema_whatever_the_rows_hold(run: Run, scratch: Any) -> None:
    run(add_user("alice", createdAt="yesterday", tier="paid"))
    found = verify_schema(scratch, MIGRATIONS)
    assert (found.ok, found.tables["users"]) == (True, 1)


def test_pairs_that_disagree_come_first_and_are_counted(run: Run, verified: Verify) -> None:
    run(
        add_user("alice", tier="paid", subscriptionStatus="active"),
        add_user("bob", tier="paid"),
        add_user("carol", tier="free", subscriptionStatus="active"),
        add_user("dave", tier="free", subscriptionStatus="past_due"),
        add_user("erin", tier="paid", subscriptionStatus="trialing"),
        add_user("frank", tier="free"),
        add_subscription("alice", "active"),
        add_subscription("carol", "active"),
        add_subscription("dave", "canceled"),
        add_subscription("erin", "trialing"),
    )
    found = pairs(verified())
    assert {each["user"]: each["problem"] for each in found["mismatches"]} == {
        "user_bob": "tier is paid, and there is no subscription",
        "user_carol": "tier is free, and the subscription is active",
        "user_dave": "subscriptionStatus is past_due, and the subscription is canceled",
    }
    assert found["mismatch_count"] == 3
    assert [each["user"] for each in found["users"]] == ["user_alice", "user_erin", "user_frank"]
    assert found["mismatches"][0] == {
        "user": "user_bob",
        "email": "bob@example.com",
        "tier": "paid",
        "subscription_status": "inactive",
        "held_status": None,
        "problem": "tier is paid, and there is no subscription",
    }


#: What the user's row says, what the user's subscriptions say, whether that agrees.
STATUSES = [
    ("inactive", [], True),
    ("canceled", [], False),
    ("inactive", ["canceled"], True),
    ("canceled", ["canceled"], True),
    ("inactive", ["past_due"], False),
    ("past_due", ["past_due"], True),
    ("active", ["canceled", "active"], True),
    ("canceled", ["canceled", "active"], False),
]


def test_the_subscription_in_force_counts(run: Run, verified: Verify) -> None:
    for number, (told, subscriptions, _) in enumerate(STATUSES):
        tier = "paid" if "active" in subscriptions else "free"
        run(add_user(f"u{number}", tier=tier, subscriptionStatus=told))
        run(*(add_subscription(f"u{number}", status, f"s{n}") for n, status in enumerate(subscriptions)))
    disagree = [f"user_u{number}" for number, (*_, agrees) in enumerate(STATUSES) if not agrees]
    assert [each["user"] for each in pairs(verified())["mismatches"]] == disagree


def test_of_two_that_are_over_the_one_counts_that_the_user_names_then_the_later(run: Run, verified: Verify) -> None:
    run(
        add_user("alice", subscriptionStatus="past_due", subscriptionId="sub_alice1"),
        add_subscription("alice", "past_due", "1", "2026-01-01 00:00:00"),
        add_subscription("alice", "canceled", "2", "2026-02-01T00:00:00Z"),
        add_user("bob", subscriptionStatus="past_due"),
        add_subscription("bob", "canceled", "1", "2026-02-01 00:00:00"),
        add_subscription("bob", "past_due", "2", "2026-02-01T01:00:00Z"),
    )
    assert pairs(verified())["mismatches"] == []


def test_the_printed_table_ends_and_says_how_many_more(run: Run, verified: Verify) -> None:
    run(*(add_user(f"u{n}", tier="paid") for n in range(5)), *(add_user(f"v{n}") for n in range(5)))
    (lines,) = (finding.lines for finding in verified(limit=3).findings if "mismatches" in finding.data)
    assert lines[0].split() == ["user", "email", "tier", "status", "subscription"]
    assert len(lines) == 5
    assert lines[-1] == "and 7 more users, 2 of them in disagreement: see --limit"


def test_reading_never_writes(run: Run, scratch: Any, verified: Verify) -> None:
    run(add_user("alice", createdAt="yesterday", tier="paid"))
    with CaptureQueriesContext(scratch) as queries:
        verified(thorough=True)
    reads = ("SELECT", "WITH", "PRAGMA quick_check", "PRAGMA integrity_check")
    assert [query["sql"] for query in queries if not query["sql"].strip().startswith(reads)] == []


def test_damage_that_stops_every_query_is_left_to_who_called(scratch: Any, run: Run, verified: Verify) -> None:
    if scratch.display_name != "SQLite":
        pytest.skip("nobody but Cloudflare reaches D1's file")
    run("PRAGMA writable_schema = ON", "UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'user_battery'")
    scratch.close()
    with pytest.raises(DatabaseError, match="malformed"):
        verified()
