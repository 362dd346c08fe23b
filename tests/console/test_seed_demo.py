"""seed_demo: believable data that agrees with itself, the same each time, and never in anybody's real database."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import ManagementUtility, call_command
from django.db import connections

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, SubscriptionStatus, User
from console.demo import COLUMNS, DemoRefused, refuse_what_is_no_demo, seed
from console.demo_oddities import ROWS

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 22)


def fill(users: int = 30, messages: int = 400, **options: Any) -> Any:
    return seed(users, messages, **{"seed": 1, "day": DAY, **options})


def everything() -> dict[str, list[tuple[Any, ...]]]:
    with connections["omnichat"].cursor() as cursor:
        rows = {}
        for table in COLUMNS:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            rows[table] = list(cursor.fetchall())
    return rows


def empty() -> None:
    with connections["omnichat"].cursor() as cursor:
        for table in reversed(COLUMNS):
            cursor.execute(f"DELETE FROM {table}")


def cells(sql: str) -> list[Any]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def test_it_makes_as_many_users_and_messages_as_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("seed_demo", users=30, messages=400, json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["users"], said["messages"]) == (30, 400)
    assert (User.objects.count(), Message.objects.count()) == (30, 400)
    assert set(Conversation.objects.values_list("user_id")) <= set(User.objects.values_list("id"))


def test_a_second_run_loses_nothing_and_doubles_nothing() -> None:
    fill()
    User.objects.filter(pk=User.objects.order_by("pk")[3].pk).update(name="Put right by staff")
    before = everything()
    assert fill(day=date(2026, 11, 25)).added_users == 0
    assert everything() == before


def test_it_is_the_same_for_the_same_seed() -> None:
    fill()
    once = everything()
    empty()
    fill()
    assert everything() == once
    empty()
    fill(seed=2)
    assert everything()["users"] != once["users"]


def test_an_interruption_is_made_good_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.demo.ROWS_A_PORTION", 300)
    monkeypatch.setattr("console.demo.PORTIONS_A_TRANSACTION", defaultdict(lambda: 1))
    fill()
    whole = everything()
    empty()
    steps = iter(range(3))
    with pytest.raises(StopIteration):
        fill(advance=lambda accounts: next(steps))
    assert 0 < User.objects.count() < 30
    fill()
    assert everything() == whole


def test_more_users_join_those_who_are_there() -> None:
    fill()
    before = everything()
    assert fill(users=40, messages=600).added_users == 10
    after = everything()
    assert all(set(before[table]) <= set(after[table]) for table in COLUMNS)


def test_every_ledger_is_a_chain_that_ends_in_the_balance() -> None:
    fill()
    balances: dict[str, int] = defaultdict(int)
    for entry in BatteryTransaction.objects.extra(
        order_by=["user_id"], select={"at": "replace(replace(created_at, 'T', ' '), 'Z', '')"}
    ).extra(order_by=["user_id", "at"]):
        balances[entry.user_id] += entry.amount
        assert entry.balance_after == balances[entry.user_id] >= 0
    assert dict(UserBattery.objects.values_list("user_id", "total_balance")) == balances


def test_every_day_is_the_sum_of_its_usage() -> None:
    fill()
    days: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for user, day, units in ApiUsage.objects.values_list("user_id", "date", "battery_used"):
        days[user, day][0] += units
        days[user, day][1] += 1
    summaries = DailyUsageSummary.objects.values_list("user_id", "date", "total_battery_used", "total_messages")
    assert {(user, day): [units, calls] for user, day, units, calls in summaries} == days


def test_users_agree_with_their_subscriptions_and_every_status_occurs() -> None:
    fill()
    users = {user.id: user for user in User.objects.all()}
    assert {user.subscription_status for user in users.values()} == set(SubscriptionStatus.values)
    for subscription in UserSubscription.objects.all():
        user = users.pop(subscription.user_id)
        assert (user.subscription_status, user.subscription_id, user.stripe_customer_id) == (
            subscription.status,
            subscription.stripe_subscription_id,
            subscription.stripe_customer_id,
        )
        assert user.tier == ("paid" if subscription.status in ("active", "trialing") else "free")
    assert {(user.subscription_status, user.subscription_id, user.tier) for user in users.values()} == {
        ("inactive", None, "free")
    }


def test_both_forms_of_a_moment_occur_and_none_lies_after_the_day() -> None:
    fill()
    moments = cells("SELECT createdAt FROM messages")
    assert {moment[10] for moment in moments} == {" ", "T"}
    assert max(moments)[:10] < DAY.isoformat()
    assert min(moments)[:4] == "2025"


def test_it_refuses_a_database_with_other_people_in_it() -> None:
    User.objects.create(id="user_2abcdefghijklmnopqrstuvwxyz", email="somebody@omnichat.test")
    with pytest.raises(DemoRefused, match="user_2abc"):
        fill()
    assert User.objects.count() == 1


def test_it_refuses_demo_data_of_another_seed() -> None:
    fill()
    with pytest.raises(DemoRefused, match="another seed"):
        fill(seed=2)


@pytest.mark.parametrize(
    ("engine", "api_base", "refused"),
    [
        ("d1", "https://api.cloudflare.com/client/v4", True),
        ("d1", "http://127.0.0.1.example.com/client/v4", True),
        ("d1", "http://127.0.0.1:8787/client/v4", False),
        ("django.db.backends.postgresql", "", True),
        ("django.db.backends.sqlite3", "", False),
    ],
)
def test_only_a_file_or_a_stand_in_gets_demo_data(
    monkeypatch: pytest.MonkeyPatch, engine: str, api_base: str, refused: bool
) -> None:
    target = SimpleNamespace(settings_dict={"ENGINE": engine, "OPTIONS": {"api_base": api_base}})
    monkeypatch.setattr("console.demo.connections", {"omnichat": target})
    if refused:
        with pytest.raises(DemoRefused, match="OMNICHAT_DATABASE_URL"):
            refuse_what_is_no_demo()
    else:
        refuse_what_is_no_demo()


def test_odd_rows_come_only_when_asked_for_and_once() -> None:
    fill()
    assert not User.objects.filter(email="early.adopter@example.com").exists()
    fill(odd=True)
    once = everything()
    assert fill(odd=True).odd_rows == len(ROWS)
    assert everything() == once
    assert cells("SELECT createdAt FROM users WHERE email = 'early.adopter@example.com'") == ["1700000000"]


@pytest.mark.parametrize("words", [["--users", "0"], ["--messages", "-1"], ["--day", "never"], ["--day", "0001-01-01"]])
def test_bad_usage_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "seed_demo", *words]).execute()
    assert ended.value.code == 2
