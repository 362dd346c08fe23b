"""The audit of the ledgers: what is wrong is found with its user and row, and what is right is left alone."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from billing import ledger_audit
from billing.ledger import Entry, post
from billing.ledger_audit import audit_ledgers, mend
from billing.ledger_chain import Book, Row, is_path
from billing.models import TransactionType as Type
from console.demo import seed
from database.models import AuditLog

pytestmark = pytest.mark.django_db
ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"


def execute(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params) or None)
        return list(cursor.fetchall()) if cursor.description else []


def user(name: str, balance: Any = None) -> None:
    execute("INSERT INTO users (id, email) VALUES (%s, %s)", name, name)
    if balance is not None:
        execute("INSERT INTO user_battery (user_id, total_balance) VALUES (%s, %s)", name, balance)


def row(id: str, name: str, amount: Any, after: Any, *, type: Any = "refund", at: str = "2026-11-22 10:00:00",
        metadata: Any = None, intent: str | None = None) -> None:  # fmt: skip
    execute(
        "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata, "
        "stripe_payment_intent_id, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        id, name, type, amount, after, metadata and json.dumps(metadata), intent, at,
    )  # fmt: skip


def found() -> list[tuple[Any, ...]]:
    return [tuple(finding) for finding in audit_ledgers().drift]


def test_a_ledger_of_the_console_has_no_finding():
    user("alice")
    user("bob", 0)
    post([Entry(str(n), "alice", Type.REFUND, n) for n in (5, -3, 8, -2, 1, -9)], by="carol")
    audit = audit_ledgers()
    assert (audit.users, audit.rows, audit.drift) == (2, 6, [])


def test_the_demo_has_no_finding():
    seed(12, 200, seed=1, day=datetime(2026, 11, 22, tzinfo=UTC).date())
    audit = audit_ledgers()
    assert audit.drift == []
    assert audit.users == 12


def test_a_balance_that_differs_from_the_sum():
    user("alice", 70)
    row("1", "alice", 50, 50)
    assert found() == [("alice", None, "balance", 50, 70)]


def test_a_link_that_does_not_follow():
    user("alice", 90)
    row("1", "alice", 100, 100)
    row("2", "alice", 50, 150, at="2026-11-22 10:00:01")
    row("3", "alice", -10, 90, at="2026-11-22 10:00:02")
    assert found() == [("alice", "3", "chain", 140, 90), ("alice", None, "balance", 140, 90)]


def test_a_ledger_without_a_battery_and_the_reverse():
    user("alice")
    row("1", "alice", 50, 50)
    user("bob", 20)
    assert found() == [("alice", None, "no battery", 50, None), ("bob", None, "no ledger", 0, 20)]


def test_two_entries_for_one_cause():
    user("alice", 30)
    user("bob", 10)
    row("1", "alice", 10, 10, type="purchase", intent="pi_1")
    row("2", "alice", 10, 20, type="purchase", intent="pi_1", at="2026-11-22 10:00:01")
    row("3", "bob", 10, 10, type="purchase", intent="pi_1", at="2026-11-22 10:00:02")
    row("4", "alice", 5, 25, type="subscription", metadata={"invoice": "in_1"}, at="2026-11-22 10:00:02")
    row("5", "alice", 5, 30, type="subscription", metadata={"invoice": "in_1"}, at="2026-11-22 10:00:03")
    assert {(each[0], each[1], each[2]) for each in found()} == {
        ("alice", "2", "cause"),
        ("bob", "3", "cause"),
        ("alice", "5", "cause"),
    }


def test_refunds_of_one_payment_are_no_second_entry():
    user("alice", 4)
    row("1", "alice", 10, 10, type="purchase", intent="pi_1")
    row("2", "alice", -3, 7, type="refund", intent="pi_1", at="2026-11-22 10:00:01")
    row("3", "alice", -3, 4, type="refund", intent="pi_1", at="2026-11-22 10:00:02")
    assert found() == []


def test_signs_types_amounts_and_times():
    user("alice", 15)
    row("1", "alice", 10, 10, type="subscription_upgrade", at="2026-11-22 10:00:00")
    row("2", "alice", 10, 20, type=None, at="2026-11-22 10:00:01")
    row("3", "alice", -5, 15, type="purchase", at="2026-11-22 10:00:02")
    row("4", "alice", "much", 15, at="2026-11-22 10:00:03")
    row("5", "alice", 0, 15, at="whenever", type="refund")
    assert {(each[1], each[2]) for each in found()} == {
        ("2", "type"),
        ("3", "sign"),
        ("4", "amount"),
        ("5", "time"),
    }


def test_a_row_of_nobody():
    execute("INSERT INTO battery_transactions (id, amount, balance_after) VALUES ('1', 5, 5)")
    assert found() == [(None, "1", "user", "a user", None)]


def usage(name: str, day: str, units: int, calls: int | None, summary: int | None, time: str = "10:00:00") -> None:
    user(name, -units)
    row(f"u-{name}", name, -units, -units, type="usage", at=f"{day} {time}")
    if calls is not None:
        execute(
            "INSERT INTO api_usage (id, user_id, battery_used, date) VALUES (%s, %s, %s, %s)", name, name, calls, day
        )
    if summary is not None:
        execute(
            "INSERT INTO daily_usage_summary (id, user_id, date, total_battery_used) VALUES (%s, %s, %s, %s)",
            name, name, day, summary,
        )  # fmt: skip


def test_usage_is_compared_three_ways():
    usage("alice", "2026-11-20", 7, 7, 7)
    usage("bob", "2026-11-20", 7, 9, 9)
    usage("carol", "2026-11-20", 7, 7, 5)
    usage("dora", "2026-11-20", 7, 7, None)
    usage("eve", "2026-11-20", 7, None, None)
    assert found() == [
        ("bob", "2026-11-20", "usage", 9, 7),
        ("carol", "2026-11-20", "summary", 7, 5),
        ("dora", "2026-11-20", "summary", 7, None),
        ("eve", "2026-11-20", "usage", 0, 7),
    ]


def test_an_entry_right_after_midnight_is_of_the_call_before_it():
    usage("alice", "2026-11-20", 7, None, None, time="00:00:00.120")
    execute("INSERT INTO api_usage (id, user_id, battery_used, date) VALUES ('1', 'alice', 7, '2026-11-19')")
    execute(
        "INSERT INTO daily_usage_summary (id, user_id, date, total_battery_used) VALUES ('1', 'alice', '2026-11-19', 7)"
    )
    assert found() == []


def test_rows_of_one_second_in_three_forms_are_no_finding():
    user("alice", 12)
    row("d", "alice", 10, 10, at="2026-11-22T10:00:00.900Z")
    row("c", "alice", -5, 5, at="2026-11-22 10:00:00")
    row("b", "alice", 9, 14, at="1795341600")
    row("a", "alice", -2, 12, at="2026-11-22T10:00:00.100Z")
    assert found() == []


def test_pages_smaller_than_a_ledger_lose_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_audit, "PAGE_ROWS", 2)
    monkeypatch.setattr(ledger_audit, "AGAIN", 2)
    for number in range(7):
        user(f"user_{number}", 99)
        for step in range(number):
            row(f"{number}-{step}", f"user_{number}", 1, step + 1, at=f"2026-11-22 10:00:0{step}")
    audit = audit_ledgers()
    assert (audit.users, audit.rows) == (7, 21)
    assert {each.user for each in audit.drift} == {f"user_{number}" for number in range(7)}


def test_what_others_write_meanwhile_is_no_finding(monkeypatch: pytest.MonkeyPatch):
    user("alice", 50)
    row("1", "alice", 50, 50)
    real = ledger_audit._streamed

    def late(cursor: Any) -> Any:
        rows = list(real(cursor))
        return [(*rows[0][:4], 40, 40, None)] if rows else []

    monkeypatch.setattr(ledger_audit, "_streamed", late)
    assert found() == []


def app_spends(name: str, units: int, between: Any = lambda: None) -> None:
    """What the app does: it reads the balance, writes an absolute one, and inserts a row."""
    ((balance,),) = execute("SELECT total_balance FROM user_battery WHERE user_id = %s", name)
    between()
    execute("UPDATE user_battery SET total_balance = %s WHERE user_id = %s", balance - units, name)
    row(
        f"app-{random.random()}", name, -units, balance - units, type="refund",
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )  # fmt: skip


def test_the_app_that_overwrites_a_grant_is_detected_and_settled():
    user("alice", 0)
    post([Entry("1", "alice", Type.BONUS, 100)], by="carol")
    app_spends("alice", 10)
    assert found() == []
    app_spends("alice", 5, lambda: post([Entry("2", "alice", Type.BONUS, 50)], by="carol"))
    drift = audit_ledgers().drift
    assert {each.kind for each in drift} == {"chain", "balance"}
    assert next(each for each in drift if each.kind == "balance")[3:] == (135, 85)
    assert mend(drift, by="carol") == []
    assert found() == []
    ((amount, after),) = execute("SELECT amount, balance_after FROM battery_transactions WHERE id LIKE 'correction:%%'")
    assert (amount, after) == (-50, 85)
    assert execute("SELECT total_balance FROM user_battery") == [(85,)]
    app_spends("alice", 5)
    post([Entry("3", "alice", Type.BONUS, 50)], by="carol")
    assert found() == []


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = 0
    try:
        call_command("audit_battery", "--json", *words, skip_checks=True)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, json.loads(capsys.readouterr().out)


def test_the_command_finds_and_fixes_and_finds_nothing_any_more(capsys: pytest.CaptureFixture[str]):
    user("alice", 70)
    row("1", "alice", 50, 50)
    user("bob")
    row("2", "bob", 20, 20)
    user("carol", 33)
    before = execute("SELECT * FROM battery_transactions ORDER BY id")
    code, data = run(capsys)
    assert (code, data["users"], len(data["drift"])) == (1, 3, 3)
    assert data["drift"][0] == {
        "user": "alice", "row": None, "kind": "balance", "expected": 50, "found": 70, "fixed": False,
    }  # fmt: skip
    assert "balance: 1" in data["error"]
    code, data = run(capsys, "--fix")
    assert (code, data["fixed"], {each["fixed"] for each in data["drift"]}) == (0, 3, {True})
    assert run(capsys, "--fix")[1] == {"users": 3, "rows": 5, "drift": [], "fixed": 0}
    assert set(before) < set(execute("SELECT * FROM battery_transactions"))
    assert execute("SELECT user_id, total_balance FROM user_battery ORDER BY 1") == [
        ("alice", 70),
        ("bob", 20),
        ("carol", 33),
    ]
    assert AuditLog.objects.filter(action="battery.correction").count() == 3


def test_what_no_entry_can_settle_is_left_and_named(capsys: pytest.CaptureFixture[str]):
    user("alice", 15)
    row("1", "alice", 20, 20)
    row("2", "alice", -5, 15, type="purchase", at="2026-11-22 10:00:01")
    code, data = run(capsys, "--fix")
    assert (code, data["fixed"], data["drift"][0]["kind"]) == (1, 0, "sign")
    assert execute("SELECT count(*) FROM battery_transactions") == [(2,)]


def test_a_chain_that_is_broken_but_sums_up_is_settled_once():
    user("alice", 30)
    row("1", "alice", 10, 10)
    row("2", "alice", 10, 99, at="2026-11-22 10:00:01")
    row("3", "alice", 10, 30, at="2026-11-22 10:00:02")
    drift = audit_ledgers().drift
    assert [(each.row, each.kind) for each in drift] == [("2", "chain"), ("3", "chain")]
    assert mend(drift, by="carol") == []
    assert mend(drift, by="carol") == []
    assert execute("SELECT count(*) FROM battery_transactions") == [(4,)]
    assert found() == []


amounts = st.lists(st.integers(-20, 20), min_size=1, max_size=25)


@given(amounts=amounts, order=st.randoms())
def test_any_order_of_a_second_chains(amounts: list[int], order: Any):
    rows, balance = [], 0
    for number, amount in enumerate(amounts):
        balance += amount
        rows.append(Row("alice", "2026-11-22 10:00:00", str(number), "refund", amount, balance, None))
    order.shuffle(rows)
    book = Book("alice").walk(rows)
    assert (book.findings, book.balance, book.total) == ([], balance, balance)


@given(amounts=amounts, seconds=st.booleans(), place=st.integers(0, 24), by=st.integers(1, 9))
def test_a_wrong_link_is_always_found(amounts: list[int], seconds: bool, place: int, by: int):
    rows, balance = [], 0
    start = datetime(2026, 11, 22)
    for number, amount in enumerate(amounts):
        moment = str(start + timedelta(seconds=number * seconds))
        rows.append(Row("alice", moment, str(number), "refund", amount, balance + amount, None))
        # Somebody's absolute write between two entries.
        balance += amount + by * (number == place)
    book = Book("alice").walk(rows)
    is_broken = place < len(amounts) - 1
    assert any(each.kind == "chain" for each in book.findings) == is_broken


def test_two_separate_circles_are_no_path():
    rows = [Row("a", "", str(n), "", *pair, None) for n, pair in enumerate([(5, 5), (-5, 0), (5, 105), (-5, 100)])]
    assert is_path(0, rows[:2])
    assert not is_path(0, rows)


def test_payment_intents_are_compared_a_page_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_audit, "PAGE_ROWS", 2)
    for number in range(7):
        row(str(number), f"user_{number}", 10, 10, type="purchase", intent="pi_1" if number % 2 else f"pi_{number}")
    row("lost", "user_8", -3, -3, type="refund", intent="pi_1")
    causes = [finding.row for finding in audit_ledgers().drift if finding.kind == "cause"]
    assert causes == ["3", "5"]


@pytest.mark.skipif(ON_D1, reason="of SQLite's planner, which both have")
def test_no_read_of_the_audit_goes_through_a_whole_table_unordered():
    page = ["", "", 0, 5]
    told = " ".join(line[-1] for line in execute(f"EXPLAIN QUERY PLAN {ledger_audit._PAID}", *page))
    assert "SEARCH battery_transactions USING INDEX transactions_by_payment_intent" in told
    assert "TEMP B-TREE" not in told
    ledger = ledger_audit._LEDGER.format(where=ledger_audit._RANGE)
    told = " ".join(line[-1] for line in execute(f"EXPLAIN QUERY PLAN {ledger}", "", None, None))
    assert "SEARCH battery_transactions USING INDEX transactions_by_user" in told
    assert "TEMP B-TREE" not in told


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
def test_the_comparison_with_calls_and_summaries_takes_few_requests():
    seed(60, 3_000, seed=1, day=datetime(2026, 11, 22, tzinfo=UTC).date())
    execute("UPDATE api_usage SET battery_used = battery_used + 1 WHERE id = (SELECT min(id) FROM api_usage)")
    usage = connections["omnichat"].usage
    usage.reset()
    kinds = {finding.kind for finding in audit_ledgers().drift}
    assert kinds == {"usage", "summary"}
    # The bounds and four tables; whoever is suspect again; payment intents in two; entries of nobody.
    assert usage.requests <= 5 + 1 + 2 + 1


def test_a_database_without_tables_names_the_remedy(manage: Any):
    for command in ("audit_battery", "reset_daily_battery"):
        ended = manage(command, "--json")
        assert ended.returncode == 1
        assert "setup_database" in json.loads(ended.stdout)["error"]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_a_ledger_that_comes_in_several_answers_is_the_same(rows: int, monkeypatch: pytest.MonkeyPatch):
    for user in ("alice", "bob"):
        execute("INSERT INTO users (id, email) VALUES (%s, %s)", user, user)
        for number in range(6):
            moment = (None, "2026-11-22 10:00:00", "2026-11-22T10:00:00.000Z", "1763805600")[number % 4]
            execute(
                "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, created_at) "
                "VALUES (%s, %s, 'bonus', 1, %s, %s)",
                f"{user}{number}", user, number + 1, moment,
            )  # fmt: skip
    monkeypatch.setattr(ledger_audit, "ANSWER_ROWS", rows)
    assert list(ledger_audit._by_answers(["", None, None])) == list(ledger_audit._streamed(["", None, None]))
