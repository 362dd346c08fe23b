"""Entries of the ledger: each cause once, each balance right, each with its audit row."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.db import connections, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.ledger import LARGEST, Entry, Short, State, post
from billing.models import BatteryTransaction, UserBattery
from billing.models import TransactionType as Type
from chat.models import User
from database.models import AuditLog

pytestmark = pytest.mark.django_db


def people(*names: str) -> None:
    User.objects.bulk_create([User(id=name, email=f"{name}@example.com") for name in names])


def bonus(id: str, user: str, amount: int, **more: Any) -> Entry:
    return Entry(id, user, Type.BONUS, amount, **more)


def states(*entries: Entry) -> list[State]:
    return [outcome.state for outcome in post(entries, by="alice")]


def ledger(user: str) -> list[tuple[Any, ...]]:
    """In the order of the rows, which is that of the postings."""
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "SELECT id, amount, balance_after FROM battery_transactions WHERE user_id = %s ORDER BY rowid", [user]
        )
        return list(cursor.fetchall())


def balance(user: str) -> Any:
    return UserBattery.objects.get(pk=user).total_balance


def metadata(id: str) -> dict[str, Any]:
    return BatteryTransaction.objects.get(pk=id).metadata  # type: ignore[return-value]


def test_a_credit_makes_the_battery_that_was_missing():
    people("alice")
    (outcome,) = post([bonus("grant:1", "alice", 500)], by="bob")
    assert (outcome.state, outcome.amount, outcome.balance_after) == (State.POSTED, 500, 500)
    assert ledger("alice") == [("grant:1", 500, 500)]
    assert balance("alice") == 500
    assert UserBattery.objects.get().daily_allowance == 0


def test_a_battery_that_was_missing_gets_the_allowance_of_the_plan():
    people("alice")
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_subscriptions (id, user_id, plan_id, status) VALUES ('s', 'alice', 'power', 'active')"
        )
    post([bonus("grant:1", "alice", 500)], by="bob")
    assert UserBattery.objects.get().daily_allowance == 1500


def test_the_same_cause_twice_is_one_entry():
    people("alice")
    assert states(bonus("grant:1", "alice", 500)) == [State.POSTED]
    (again,) = post([bonus("grant:1", "alice", 500)], by="bob")
    assert (again.state, again.amount, again.balance_after) == (State.REPEATED, 500, 500)
    assert states(bonus("grant:2", "alice", 5), bonus("grant:2", "alice", 5)) == [State.POSTED, State.REPEATED]
    assert balance("alice") == 505
    assert AuditLog.objects.count() == 2


def test_an_id_of_another_user_or_type_is_told():
    people("alice", "bob")
    post([bonus("grant:1", "alice", 500)], by="bob")
    assert states(bonus("grant:1", "bob", 500)) == [State.TAKEN]
    assert states(Entry("grant:1", "alice", Type.PURCHASE, 500)) == [State.TAKEN]
    assert not UserBattery.objects.filter(pk="bob").exists()


def test_the_audit_row_names_who_and_both_balances():
    people("alice")
    post([bonus("grant:1", "alice", 500)], by="bob")
    post([bonus("grant:2", "alice", 20)], by="bob", reason="goodwill")
    entry = AuditLog.objects.get(resource_id="grant:2")
    assert (entry.user_id, entry.action, entry.resource_type) == ("alice", "battery.bonus", "battery_transactions")
    assert entry.metadata == {
        "by": {"name": "bob"},
        "reason": "goodwill",
        "amount": 20,
        "before": {"total_balance": 500},
        "after": {"total_balance": 520},
    }
    assert str(entry.created_at.text).endswith("Z")


def test_what_the_caller_knows_is_kept_in_the_row():
    people("alice")
    post([Entry("pi:1", "alice", Type.PURCHASE, 500, "pi_1", {"units": 500, "note": "“ü”", "none": None})], by="bob")
    row = BatteryTransaction.objects.get()
    assert row.stripe_payment_intent_id == "pi_1"
    kept = metadata("pi:1")
    assert (kept["units"], kept["note"], kept["none"]) == (500, "“ü”", None)
    assert row.created_at.text[10] == "T"
    assert row.created_at.text[-5] == "."


@pytest.mark.parametrize(
    ("short", "state", "left"),
    [(Short.REFUSE, State.REFUSED, 100), (Short.CLIP, State.POSTED, 0), (Short.ALLOW, State.POSTED, -50)],
)
def test_a_debit_over_the_balance_goes_by_its_policy(short: Short, state: State, left: int):
    people("alice")
    post([bonus("grant:1", "alice", 100)], by="bob")
    (outcome,) = post([Entry("refund:1", "alice", Type.REFUND, -150, short=short)], by="bob")
    assert (outcome.state, outcome.balance_after, balance("alice")) == (state, left, left)
    marks = {"asked", "overdrawn"} & set(metadata("refund:1")) if state is State.POSTED else set()
    assert marks == {Short.REFUSE: set(), Short.CLIP: {"asked"}, Short.ALLOW: {"overdrawn"}}[short]
    if short is Short.ALLOW:
        assert metadata("refund:1")["overdrawn"] is True


def test_usage_may_overdraw_and_a_purchase_may_not():
    people("alice")
    assert states(Entry("u", "alice", Type.USAGE, -5), Entry("p", "alice", Type.PURCHASE, -5)) == [
        State.POSTED,
        State.REFUSED,
    ]
    assert balance("alice") == -5


def test_a_debit_clipped_to_nothing_writes_no_row():
    people("alice")
    assert states(bonus("back:1", "alice", -10)) == [State.NOTHING]
    assert (ledger("alice"), UserBattery.objects.count(), AuditLog.objects.count()) == ([], 0, 0)


def test_a_debit_that_the_balance_covers_is_taken_whole():
    people("alice")
    assert states(bonus("a", "alice", 10), Entry("b", "alice", Type.PURCHASE, -10)) == [State.POSTED] * 2
    assert "asked" not in metadata("b")
    assert ledger("alice") == [("a", 10, 10), ("b", -10, 0)]


def test_an_unknown_user_gets_nothing_and_stops_nobody():
    people("alice")
    assert states(bonus("1", "nobody", 5), bonus("2", "alice", 5)) == [State.UNKNOWN_USER, State.POSTED]
    assert not UserBattery.objects.filter(pk="nobody").exists()


@pytest.mark.parametrize("odd", ["'lots'", "1.5", "x'00'", "9007199254740993"])
def test_a_balance_that_is_no_whole_number_is_left_alone(odd: str):
    people("alice")
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(f"INSERT INTO user_battery (user_id, total_balance) VALUES ('alice', {odd})")
    assert states(bonus("1", "alice", 5)) == [State.UNREADABLE]
    assert ledger("alice") == []


def test_an_empty_balance_counts_as_none():
    people("alice")
    UserBattery.objects.create(user_id="alice", total_balance=None, daily_allowance=7)
    assert states(bonus("1", "alice", 5)) == [State.POSTED]
    assert (balance("alice"), UserBattery.objects.get().daily_allowance) == (5, 7)


def test_entries_of_one_user_are_posted_in_their_order():
    people("alice", "bob")
    outcomes = post(
        [bonus("1", "alice", 10), bonus("2", "bob", 1), Entry("3", "alice", Type.USAGE, -4), bonus("4", "alice", 2)],
        by="carol",
    )
    assert [outcome.balance_after for outcome in outcomes] == [10, 1, 6, 8]
    assert ledger("alice") == [("1", 10, 10), ("3", -4, 6), ("4", 2, 8)]


def test_a_row_with_broken_metadata_under_the_id_is_a_repetition():
    people("alice")
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO battery_transactions (id, user_id, type, amount, metadata) "
            "VALUES ('1', 'alice', 'bonus', 5, '{broken')"
        )
    assert states(bonus("1", "alice", 5)) == [State.REPEATED]


def test_what_no_entry_can_be_is_refused_before_anything_is_asked():
    for arguments in (("", "a", Type.BONUS, 1), ("1", "", Type.BONUS, 1), ("1", "a", Type.BONUS, 0)):
        with pytest.raises(ValueError):
            Entry(*arguments)
    with pytest.raises(ValueError):
        Entry("1", "a", Type.BONUS, LARGEST + 1)
    with pytest.raises(ValueError):
        Entry("1", "a", "gift", 1)  # type: ignore[arg-type]


def test_it_is_no_part_of_another_transaction():
    people("alice")
    with pytest.raises(RuntimeError), transaction.atomic(using="omnichat"), transaction.atomic(using="omnichat"):
        post([bonus("1", "alice", 5)], by="bob")


def test_what_follows_is_in_the_same_transaction():
    people("alice")
    then = [("UPDATE user_battery SET last_daily_reset = %s WHERE user_id = %s", ["2026-11-23", "alice"])]
    post([bonus("1", "alice", 5)], by="bob", then=then)
    assert UserBattery.objects.get().last_daily_reset.isoformat() == "2026-11-23"
    broken = [("INSERT INTO no_such_table VALUES (1)", [])]
    with pytest.raises(Exception, match="no_such_table"), transaction.atomic(using="default"):
        post([bonus("2", "alice", 5)], by="bob", then=broken)
    assert balance("alice") == 5


def test_five_thousand_users_are_credited_in_one_statement(django_assert_max_num_queries: Any):
    names = [f"user_{number:05}" for number in range(5000)]
    people(*names)
    with django_assert_max_num_queries(6, using="omnichat"):
        outcomes = post([bonus(f"grant:{name}", name, 7) for name in names], by="alice")
    assert all(outcome.is_posted for outcome in outcomes)
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("SELECT count(*), sum(total_balance), min(total_balance) FROM user_battery")
        assert cursor.fetchone() == (5000, 35_000, 7)
    assert AuditLog.objects.count() == 5000


def test_entries_too_large_for_one_text_go_into_several():
    names = [f"user_{number}" for number in range(4)]
    people(*names)
    long = {"note": "x" * 900_000}
    assert states(*(bonus(name, name, 1, metadata=long) for name in names)) == [State.POSTED] * 4
    assert orjson.loads(orjson.dumps(metadata("user_3")))["note"] == long["note"]


entries = st.tuples(
    st.sampled_from("abcdef"), st.sampled_from(["alice", "bob"]), st.sampled_from(list(Short)), st.integers(-30, 30)
).filter(lambda drawn: drawn[3] != 0)


@settings(max_examples=15)
@given(calls=st.lists(st.lists(entries, max_size=5), max_size=6))
def test_each_balance_is_the_one_before_and_the_amount(calls: list[list[tuple[str, str, Short, int]]]):
    for model in (AuditLog, BatteryTransaction, UserBattery, User):
        model.objects.all().delete()
    people("alice", "bob")
    expected: dict[str, list[tuple[str, int, int]]] = {"alice": [], "bob": []}
    seen: set[str] = set()
    for call in calls:
        post([Entry(id, user, Type.REFUND, amount, short=short) for id, user, short, amount in call], by="carol")
        asked: set[str] = set()
        for id, user, short, amount in call:
            before = expected[user][-1][2] if expected[user] else 0
            moved = max(amount, -max(before, 0)) if short is Short.CLIP and amount < 0 else amount
            refused = short is Short.REFUSE and amount < 0 and before + amount < 0
            # Of one id in one call the first alone counts.
            if id not in seen | asked and moved and not refused:
                seen.add(id)
                expected[user].append((id, moved, before + moved))
            asked.add(id)
    for user, rows in expected.items():
        assert ledger(user) == rows
        assert [kept.total_balance for kept in UserBattery.objects.filter(pk=user)] == [row[2] for row in rows[-1:]]
