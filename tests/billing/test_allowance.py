"""The daily allowance: once for each UTC day, to whom it is due."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from billing import allowance
from billing.allowance import Allowances, give_allowances, today
from billing.models import BatteryTransaction, UserBattery
from database.models import AuditLog

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 22)


def execute(sql: str, *params: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params))


def subscriber(
    name: str, own: int | str | None = 300, *, last: str | None = None, plan: str = "power", status: str = "active",
    since: str | None = None, battery: bool = True,
) -> None:  # fmt: skip
    execute("INSERT OR IGNORE INTO users (id, email) VALUES (%s, %s)", name, name)
    execute(
        "INSERT INTO user_subscriptions (id, user_id, plan_id, status, current_period_start) "
        "VALUES (%s, %s, %s, %s, %s)",
        f"{name}-{plan}-{status}", name, plan, status, since,
    )  # fmt: skip
    if battery:
        execute(
            "INSERT OR IGNORE INTO user_battery (user_id, total_balance, daily_allowance, last_daily_reset) "
            "VALUES (%s, 10, %s, %s)",
            name, own, last,
        )  # fmt: skip


def give(day: date = DAY) -> Allowances:
    return give_allowances(day, by="test")


def battery(name: str) -> tuple[Any, str]:
    row = UserBattery.objects.get(pk=name)
    return row.total_balance, str(row.last_daily_reset)


def test_active_and_trialing_users_get_it_and_others_do_not():
    for name in ("active", "trialing", "canceled", "past_due", "incomplete"):
        subscriber(name, status=name)
    given = give()
    assert (given.credited, given.units) == (2, 600)
    assert battery("active") == battery("trialing") == (310, "2026-11-22")
    assert battery("canceled") == (10, "None")
    entry = BatteryTransaction.objects.get(pk="allowance:active:2026-11-22")
    assert (entry.type, entry.amount, entry.balance_after) == ("subscription", 300, 310)
    assert entry.metadata["date"] == "2026-11-22"
    assert AuditLog.objects.get(user_id="active").metadata["date"] == "2026-11-22"


def test_run_twice_it_credits_once():
    subscriber("alice")
    give()
    again = give()
    assert (again.credited, again.units, again.given) == (0, 0, 1)
    assert battery("alice") == (310, "2026-11-22")


def test_a_day_that_the_app_has_given_is_given():
    subscriber("alice", last="2026-11-22")
    subscriber("bob", last="2026-11-22T00:00:03.000Z")
    assert (give().credited, give().given) == (0, 2)


def test_a_day_that_the_app_gives_between_reading_and_crediting_is_given(monkeypatch: pytest.MonkeyPatch):
    subscriber("alice")
    subscriber("bob")
    read = list(allowance._portions())
    monkeypatch.setattr(allowance, "_portions", lambda: iter(read))
    execute("UPDATE user_battery SET total_balance = 310, last_daily_reset = %s WHERE user_id = 'alice'", str(DAY))
    given = give()
    assert (given.credited, given.given, given.problems) == (1, 1, [])
    assert battery("alice") == (310, str(DAY))
    assert battery("bob") == (310, str(DAY))


def test_the_entry_alone_decides_where_the_day_was_moved_back():
    subscriber("alice")
    give()
    execute("UPDATE user_battery SET last_daily_reset = '2026-11-20'")
    again = give()
    assert (again.credited, again.given) == (0, 1)
    assert battery("alice") == (310, "2026-11-22")


def test_two_subscriptions_are_one_allowance():
    subscriber("alice", plan="starter")
    subscriber("alice", plan="power", status="trialing")
    assert give().units == 300


def test_without_an_allowance_of_the_user_the_largest_plan_says_it():
    subscriber("alice", None, plan="starter")
    subscriber("alice", None, plan="daily", status="trialing")
    subscriber("bob", battery=False, plan="power")
    assert give().credited == 2
    assert (battery("alice")[0], battery("bob")) == (610, (1500, "2026-11-22"))


def test_an_allowance_of_nothing_is_nothing():
    subscriber("alice", 0)
    given = give()
    assert (given.credited, given.nothing, given.missed) == (0, 1, Counter())
    assert battery("alice") == (10, "None")


@pytest.mark.parametrize("odd", ["lots", -5])
def test_an_odd_allowance_stops_nobody_else(odd: Any):
    subscriber("alice", odd)
    subscriber("bob")
    given = give()
    assert given.credited == 1
    assert [problem.split(":")[0] for problem in given.problems] == ["alice"]


def test_missed_days_are_named_and_given_only_when_asked_for():
    subscriber("alice", last="2026-11-19")
    subscriber("bob", last="2026-11-20", since="2026-11-01T00:00:00.000Z")
    subscriber("carol", last="2026-06-01", since="2026-11-21 08:00:00")
    given = give()
    assert given.missed == {date(2026, 11, 20): 1, date(2026, 11, 21): 3}
    assert given.units == 900
    assert give(date(2026, 11, 21)).credited == 3
    assert battery("alice") == (610, "2026-11-22")


def test_a_missed_day_is_given_only_to_those_who_missed_it():
    subscriber("alice", last="2026-11-19")
    subscriber("bob", last="2026-11-20")
    subscriber("carol", last="2026-11-21")
    subscriber("dave", last="2026-11-23")
    subscriber("eve")
    assert give().credited == 4
    assert [give(date(2026, 11, day)).credited for day in (20, 21, 20, 21)] == [2, 3, 0, 0]
    assert [battery(name)[0] for name in ("alice", "bob", "carol", "dave", "eve")] == [910, 610, 310, 10, 910]


def test_portions_cover_everybody_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowance, "PORTION", 3)
    for number in range(8):
        subscriber(f"user_{number}")
    assert give().credited == 8
    assert give().credited == 0


def test_a_stop_between_two_portions_is_made_good_by_the_next_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowance, "PORTION", 3)
    for number in range(8):
        subscriber(f"user_{number}")

    def stop(users: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_allowances(DAY, by="test", advance=stop)
    assert give().credited == 5
    assert {battery(f"user_{number}")[0] for number in range(8)} == {310}


def reset(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = 0
    try:
        call_command("reset_daily_battery", "--json", *words, skip_checks=True)
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_the_command_credits_today_and_names_missed_days(capsys: pytest.CaptureFixture[str]):
    missed = today() - timedelta(days=1)
    subscriber("alice", last=str(today() - timedelta(days=2)))
    code, data, said = reset(capsys)
    assert (code, data["credited"], data["units"], data["date"]) == (0, 1, 300, str(today()))
    assert data["missed"] == [{"date": str(missed), "users": 1}]
    assert f"--date {missed}" in said
    assert reset(capsys, "--date", str(missed))[1]["credited"] == 1
    assert reset(capsys, "--date", str(missed))[1]["credited"] == 0


def test_the_command_ends_with_1_where_somebody_could_not_be_credited(capsys: pytest.CaptureFixture[str]):
    subscriber("alice", "lots")
    code, data, _ = reset(capsys)
    assert (code, data["credited"]) == (1, 0)
    assert "alice" in data["error"]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "9999-12-31"])
def test_a_day_that_is_none_or_to_come_is_bad_usage(manage: Any, day: str):
    ended = manage("reset_daily_battery", "--json", "--date", day)
    assert ended.returncode == 2
    assert day in json.loads(ended.stdout)["error"]


@pytest.mark.skipif("connections['omnichat'].settings_dict['ENGINE'] != 'd1'", reason="of D1 alone")
def test_two_resets_at_once_credit_once_on_d1():
    for number in range(30):
        subscriber(f"user_{number}")
    credited: list[int] = []

    def run() -> None:
        credited.append(give().credited)
        connections["omnichat"].close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(credited) == 30
    assert {battery(f"user_{number}")[0] for number in range(30)} == {310}
