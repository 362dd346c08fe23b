"""Whatever is posted in whatever order, beside an app that writes as it likes: our books hold, its breaks are found.

The OmniChat app is the second writer: it reads a balance, writes an absolute one, and inserts a row, and anything may
come between.
"""

from __future__ import annotations

import json
import os
from datetime import date
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as Profile
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.allowance import give_allowances
from billing.ledger import POLICIES, Entry, Short, State, post
from billing.ledger_audit import audit_ledgers, mend
from billing.ledger_chain import Finding
from billing.models import TransactionType as Type
from database.transactions import run_batch

ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"
FULL = os.environ.get("HYPOTHESIS_PROFILE") == "proof"
EXAMPLES, STEPS = (60 if ON_D1 else 2_000, 50) if FULL else (8 if ON_D1 else 50, 20)
USERS = ["alice", "bob", "carol"]
TABLES = ("audit_logs", "battery_transactions", "user_battery", "user_subscriptions", "users")
OF_CALLS = ("usage", "summary")
MARKED_AS = {Type.BONUS: {"grant": "x"}}


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    number = draw(st.integers(0, 30))
    kind = list(Type)[number % len(Type)]
    units = draw(st.integers(1, 60))
    sign = {Type.PURCHASE: 1, Type.SUBSCRIPTION: 1, Type.USAGE: -1}.get(kind) or draw(st.sampled_from([1, -1]))
    user = draw(st.sampled_from([*USERS, "nobody"])) if number % 7 == 0 else USERS[number % 3]
    short = draw(st.sampled_from([None, *Short]))
    return Entry(f"cause:{number}", user, kind, sign * units, metadata=MARKED_AS.get(kind, {}), short=short)


class Ledger(RuleBasedStateMachine):
    """`balances` and `sums` are what each user's balance and entries have to be: apart only by what the app did."""

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[str, int] = {}
        self.sums = dict.fromkeys(USERS, 0)
        self.posted: dict[str, tuple[str, Type, int]] = {}
        #: What the app has read and not yet written; has written and not yet inserted a row for.
        self.read: dict[str, int] = {}
        self.written: dict[str, tuple[int, int]] = {}
        #: Users to whose ledger something came between two steps of the app.
        self.disturbed: set[str] = set()
        self.number = 0

    @initialize()
    def begin(self) -> None:
        wipe: list[Any] = [(f"DELETE FROM {table}", []) for table in TABLES]
        users = json.dumps(USERS)
        wipe.append(("INSERT INTO users (id, email) SELECT value, value FROM json_each(%s)", [users]))
        columns, cells = "id, user_id, plan_id, status", "'s', 'alice', 'starter', 'active'"
        wipe.append((f"INSERT INTO user_subscriptions ({columns}) VALUES ({cells})", []))
        run_batch(connections["omnichat"], wipe)

    def changed(self, user: str) -> None:
        if user in self.read or user in self.written:
            self.disturbed.add(user)

    # What we do

    @rule(call=st.lists(entries(), min_size=1, max_size=5, unique_by=lambda entry: entry.id))
    def post_entries(self, call: list[Entry]) -> None:
        for outcome, expected in zip(post(call, by="machine"), map(self._expected, call), strict=True):
            assert (outcome.state, outcome.amount) == expected, outcome

    def _expected(self, entry: Entry) -> tuple[State, int]:
        user, balance = entry.user_id, self.balances.get(entry.user_id, 0)
        if entry.id in self.posted:
            owner, kind, amount = self.posted[entry.id]
            return (State.REPEATED if (owner, kind) == (user, entry.type) else State.TAKEN), amount
        if user not in USERS:
            return State.UNKNOWN_USER, 0
        policy, moved = entry.short or POLICIES[entry.type], entry.amount
        if moved < 0 and policy is Short.CLIP:
            moved = max(moved, -max(balance, 0))
        if not moved:
            return State.NOTHING, 0
        if moved < 0 and policy is Short.REFUSE and balance + moved < 0:
            return State.REFUSED, 0
        self._credit(user, moved)
        self.posted[entry.id] = (user, entry.type, moved)
        return State.POSTED, moved

    def _credit(self, user: str, units: int) -> None:
        self.balances[user] = self.balances.get(user, 0) + units
        self.sums[user] += units
        self.changed(user)

    @rule(day=st.integers(1, 4))
    def give_allowance(self, day: int) -> None:
        given = give_allowances(date(2026, 11, day), by="machine")
        id = f"allowance:alice:2026-11-0{day}"
        assert given.credited == (id not in self.posted)
        if given.credited:
            self._credit("alice", 200)
            self.posted[id] = ("alice", Type.SUBSCRIPTION, 200)

    @rule()
    def audit_and_fix(self) -> None:
        left = mend(self.look(), by="machine")
        assert [finding for finding in left if finding.kind not in OF_CALLS] == []
        for user, balance in self.balances.items():
            if self.sums[user] != balance:
                self.sums[user] = balance
                self.changed(user)
                self.disturbed.add(user)

    # What the app does

    @rule(user=st.sampled_from(USERS))
    def app_reads(self, user: str) -> None:
        if user not in self.read and user not in self.written:
            self.read[user] = self.balances.get(user, 0)

    @precondition(lambda self: self.read)
    @rule(data=st.data(), units=st.integers(1, 30))
    def app_writes(self, data: st.DataObject, units: int) -> None:
        user = data.draw(st.sampled_from(sorted(self.read)))
        after = self.read.pop(user) - units
        self._execute(
            "INSERT INTO user_battery (user_id, total_balance, daily_allowance) VALUES (%s, %s, 200) "
            "ON CONFLICT (user_id) DO UPDATE SET total_balance = excluded.total_balance",
            user, after,
        )  # fmt: skip
        self.balances[user], self.written[user] = after, (units, after)

    @precondition(lambda self: self.written)
    @rule(data=st.data(), form=st.sampled_from(["%%Y-%%m-%%d %%H:%%M:%%S", "%%Y-%%m-%%dT%%H:%%M:%%fZ"]))
    def app_inserts(self, data: st.DataObject, form: str) -> None:
        user = data.draw(st.sampled_from(sorted(self.written)))
        units, after = self.written.pop(user)
        self.number += 1
        self._execute(
            "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, created_at) "
            f"VALUES (%s, %s, 'usage', %s, %s, strftime('{form}', 'now'))",
            f"app-{self.number}", user, -units, after,
        )  # fmt: skip
        self.sums[user] -= units

    def _execute(self, sql: str, *params: Any) -> None:
        with connections["omnichat"].cursor() as cursor:
            cursor.execute(sql, list(params))

    # What has to be so

    @invariant()
    def balances_and_sums_are_what_was_done(self) -> None:
        with connections["omnichat"].cursor() as cursor:
            cursor.execute(
                "SELECT u.id, (SELECT total_balance FROM user_battery b WHERE b.user_id = u.id), "
                "(SELECT coalesce(sum(amount), 0) FROM battery_transactions t WHERE t.user_id = u.id) FROM users u"
            )
            found = {user: (balance, total) for user, balance, total in cursor.fetchall()}
        if found:
            assert found == {user: (self.balances.get(user), self.sums[user]) for user in USERS}

    def look(self) -> list[Finding]:
        """The audit finds whoever has another balance than entries, and nothing in whom nobody disturbed."""
        drift = audit_ledgers().drift
        found = {finding.user for finding in drift if finding.kind in ("balance", "no ledger")}
        assert found == {user for user, balance in self.balances.items() if balance != self.sums[user]}
        calm = set(USERS) - self.disturbed - set(self.written)
        assert [each for each in drift if each.user in calm and each.kind not in OF_CALLS] == []
        return drift

    def teardown(self) -> None:
        self.look()


@pytest.mark.django_db
def test_our_writers_keep_every_rule_and_what_the_app_breaks_is_found() -> None:
    steps = Profile(max_examples=EXAMPLES, stateful_step_count=STEPS)
    run_state_machine_as_test(Ledger, settings=steps)
