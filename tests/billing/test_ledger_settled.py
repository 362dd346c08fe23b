"""Causes that are settled without an entry of ours: by a row of the app's, or with nothing left to take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections

from billing.ledger import Entry, Outcome, State, foresee, post
from billing.ledger_settled import Settlement
from billing.models import BatteryTransaction, UserBattery
from billing.models import TransactionType as Type
from chat.models import User
from database.models import AuditLog

pytestmark = pytest.mark.django_db
PAID_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def alice() -> None:
    User.objects.bulk_create([User(id=name, email=f"{name}@example.com") for name in ("alice", "bob")])


def app_row(id: str, units: int = 500, **cells: Any) -> None:
    row = {"user_id": "alice", "type": "purchase", "created_at": "2026-11-22 12:00:05", "metadata": "{}"} | cells
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO battery_transactions (id, amount, {', '.join(row)}) "
            f"VALUES (%s, %s, {', '.join(['%s'] * len(row))})",
            [id, units, *row.values()],
        )


def bought(id: str, units: int = 500, intent: str | None = None, user: str = "alice") -> Entry:
    return Entry(id, user, Type.PURCHASE, units, intent, settlement=Settlement(PAID_AT, ("purchase",)))


def states(*entries: Entry) -> list[State]:
    return [outcome.state for outcome in post(entries, by="stripe")]


def balance() -> Any:
    return [battery.total_balance for battery in UserBattery.objects.filter(pk="alice")]


def test_a_row_of_the_app_with_the_same_payment_intent_is_the_credit():
    app_row("app-1", 450, stripe_payment_intent_id="pi_1", created_at="2026-10-01 00:00:00")
    (outcome,) = post([bought("pi:pi_1", intent="pi_1")], by="stripe")
    assert (outcome.state, outcome.settled_by) == (State.BY_APP, "app-1")
    assert balance() == []
    note = AuditLog.objects.get(pk="settled:pi:pi_1")
    assert (note.action, note.user_id, note.resource_id) == ("battery.credited_by_app", "alice", "app-1")
    assert (note.metadata["cause"], note.metadata["amount"]) == ("pi:pi_1", 500)


@pytest.mark.parametrize("at", ["2026-11-21 12:00:00", "2026-11-23T12:00:00.000Z", "1795348800"])
def test_a_row_of_the_app_of_the_same_user_kind_and_units_within_a_day_is_the_credit(at: str):
    app_row("app-1", created_at=at)
    assert states(bought("pi:pi_1", intent="pi_1")) == [State.BY_APP]


@pytest.mark.parametrize(
    "cells",
    [
        {"user_id": "bob"},
        {"type": "bonus"},
        {"created_at": "2026-11-21 11:59:59"},
        {"created_at": "2026-11-23T12:00:00.001Z"},
        {"stripe_payment_intent_id": "pi_2"},
        {"metadata": '{"post":"ours"}'},
        {"units": 499},
    ],
)
def test_any_other_row_is_not(cells: dict[str, Any]):
    app_row("app-1", **cells)
    assert states(bought("pi:pi_1", intent="pi_1")) == [State.POSTED]
    assert balance() == [500]


def test_a_row_of_the_app_counts_for_one_cause_alone():
    app_row("app-1")
    assert states(bought("pi:pi_1"), bought("pi:pi_2")) == [State.BY_APP, State.POSTED]
    assert states(bought("pi:pi_1"), bought("pi:pi_2")) == [State.BY_APP, State.REPEATED]
    assert balance() == [500]


def test_a_cause_that_has_its_entry_takes_no_row_of_the_app():
    assert states(bought("pi:pi_1")) == [State.POSTED]
    app_row("app-1")
    assert states(bought("pi:pi_1"), bought("pi:pi_2")) == [State.REPEATED, State.BY_APP]


def test_a_debit_that_found_nothing_is_settled_once_for_all():
    back = Entry("refund:re_1", "alice", Type.REFUND, -100, settlement=Settlement())
    assert states(back) == [State.NOTHING]
    assert AuditLog.objects.get().action == "battery.nothing_taken"
    assert states(bought("pi:pi_1")) == [State.POSTED]
    assert states(back) == [State.NOTHING]
    assert balance() == [500]


def test_a_debit_that_finds_something_takes_it_as_before():
    states(bought("pi:pi_1", 60))
    back = Entry("refund:re_1", "alice", Type.REFUND, -100, settlement=Settlement())
    assert [(o.state, o.amount) for o in post([back], by="stripe")] == [(State.POSTED, -60)]
    assert states(back) == [State.REPEATED]
    assert not AuditLog.objects.filter(pk__startswith="settled:").exists()


def test_entries_with_and_without_a_settlement_go_together():
    app_row("app-1")
    plain = Entry("grant:1", "bob", Type.BONUS, 5)
    assert states(bought("pi:1"), plain, bought("pi:2", 7), Entry("grant:2", "alice", Type.BONUS, 1)) == [
        State.BY_APP,
        State.POSTED,
        State.POSTED,
        State.POSTED,
    ]
    assert balance() == [8]


def test_an_unknown_user_settles_nothing():
    assert states(bought("pi:1", user="nobody")) == [State.UNKNOWN_USER]
    assert not AuditLog.objects.exists()


def test_what_is_foreseen_is_what_comes_and_nothing_is_written_by_it():
    app_row("app-1")
    app_row("app-2", 450, stripe_payment_intent_id="pi_4")
    states(bought("pi:0", 60), bought("pi:5", 300, user="bob"))

    def refund(id: str, units: int, user: str = "alice") -> Entry:
        return Entry(id, user, Type.REFUND, -units, settlement=Settlement())

    asked = [
        bought("pi:0", 60), bought("pi:1"), bought("pi:2"), bought("pi:4", 9, intent="pi_4"), refund("refund:1", 400),
        refund("refund:2", 400), refund("refund:3", 5), refund("refund:4", 100, "bob"), bought("pi:6", user="nobody"),
        Entry("grant:1", "bob", Type.PURCHASE, -201), Entry("grant:2", "bob", Type.USAGE, -201),
    ]  # fmt: skip
    before = (BatteryTransaction.objects.count(), AuditLog.objects.count(), balance())

    def said(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
        return [(each.entry.id, each.state, each.amount, each.balance_after, each.settled_by) for each in outcomes]

    foreseen = said(foresee(asked))
    assert (BatteryTransaction.objects.count(), AuditLog.objects.count(), balance()) == before
    posted = said(post(asked, by="stripe"))
    # A balance of a cause that is settled is told as the last one of all.
    assert [each[:3] + each[4:] for each in foreseen] == [each[:3] + each[4:] for each in posted]
    assert [each[3] for each in foreseen if each[1] is State.POSTED] == [560, 160, 0, 200, -1]
    assert foresee([]) == []
    assert [each.state for each in foresee(asked)] == [
        State.REPEATED if state is State.POSTED else state for _, state, *_ in posted
    ]
