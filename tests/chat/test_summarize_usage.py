"""The daily summaries are what the calls say, whoever wrote them and however often they are rebuilt."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from chat import usage
from chat.models import ApiUsage, DailyUsageSummary, User
from chat.usage import Summaries, summarize_usage

pytestmark = pytest.mark.django_db
SUNDAY, MONDAY, TUESDAY = (date(2026, 11, day) for day in (22, 23, 24))


@pytest.fixture(autouse=True)
def people(db: Any) -> None:
    User.objects.bulk_create(User(id=f"u{n}", email=f"u{n}@example.com") for n in range(3))


def call(number: int, user: str | None, day: Any, units: Any = 5, model: str | None = "gpt", **values: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        sql = (
            "INSERT INTO api_usage (id, user_id, date, battery_used, model, created_at) VALUES (%s, %s, %s, %s, %s, %s)"
        )
        cursor.execute(
            sql,
            [f"a{number}", user, day, units, model, values.get("created_at")],
        )


def summary(id: str, user: str, day: Any, units: int = 0, calls: int = 0, models: str = "{}") -> None:
    DailyUsageSummary.objects.create(
        id=id, user_id=user, date=day, total_battery_used=units, total_messages=calls, models_used=json.loads(models)
    )


def rows() -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "SELECT id, user_id, date, total_battery_used, total_messages, models_used FROM daily_usage_summary "
            "ORDER BY user_id, date, id"
        )
        return [(*row[:5], json.loads(row[5])) for row in cursor.fetchall()]


def test_a_day_of_a_user_is_one_row_with_its_units_calls_and_models() -> None:
    for number, (user, model) in enumerate([("u0", "gpt"), ("u0", "gpt"), ("u0", "claude"), ("u1", None)]):
        call(number, user, "2026-11-22", 5, model)
    assert summarize_usage(None, MONDAY) == Summaries(days=1, rows=2, added=2)
    assert rows() == [
        ("usage:u0:2026-11-22", "u0", "2026-11-22", 15, 3, {"claude": 1, "gpt": 2}),
        ("usage:u1:2026-11-22", "u1", "2026-11-22", 5, 1, {}),
    ]


def test_run_again_it_changes_nothing() -> None:
    call(1, "u0", "2026-11-22")
    summarize_usage(None, MONDAY)
    before = list(DailyUsageSummary.objects.values())
    assert summarize_usage(None, MONDAY) == Summaries(days=1, rows=1)
    assert list(DailyUsageSummary.objects.values()) == before


def test_the_row_of_the_app_keeps_its_id_and_gets_the_right_figures() -> None:
    call(1, "u0", "2026-11-22", 7)
    summary("of-the-app", "u0", "2026-11-22", 3, 1)
    assert summarize_usage(None, MONDAY).corrected == 1
    assert rows() == [("of-the-app", "u0", "2026-11-22", 7, 1, {"gpt": 1})]


def test_a_row_of_the_app_that_is_right_is_left_alone_whatever_the_order_of_its_models() -> None:
    for number, model in enumerate(("gpt", "claude", "gpt")):
        call(number, "u0", "2026-11-22", 5, model)
    summary("of-the-app", "u0", "2026-11-22", 15, 3, '{"gpt": 2, "claude": 1}')
    assert summarize_usage(None, MONDAY) == Summaries(days=1, rows=1)


@pytest.mark.parametrize("models", ["[1]", "7", '"gpt"', "null", '{"gpt": 2}', '{"gpt": "1"}', '{"gpt": 1, "o1": 0}'])
def test_models_that_are_not_those_of_the_calls_are_corrected(models: str) -> None:
    call(1, "u0", "2026-11-22")
    summary("of-the-app", "u0", "2026-11-22", 5, 1, models)
    assert summarize_usage(None, MONDAY).corrected == 1
    assert rows()[0][5] == {"gpt": 1}


def test_of_several_rows_of_a_day_one_of_the_app_s_stays() -> None:
    call(1, "u0", "2026-11-22", 7)
    for each in ("usage:u0:2026-11-22", "bbb", "zzz"):
        summary(each, "u0", "2026-11-22", 7, 1, '{"gpt": 1}')
    assert summarize_usage(None, MONDAY) == Summaries(days=1, rows=1, removed=2)
    assert [row[0] for row in rows()] == ["bbb"]


def test_a_row_without_calls_is_set_to_zero_and_rows_from_before_the_first_call_are_left_alone() -> None:
    call(1, "u0", "2026-11-22")
    summary("old", "u0", "2025-01-01", 900, 9)
    summary("wrong", "u1", "2026-11-22", 900, 9)
    assert summarize_usage(None, MONDAY).corrected == 1
    assert {row[0]: row[3] for row in rows()} == {"old": 900, "wrong": 0, "usage:u0:2026-11-22": 5}


def test_days_between_those_with_calls_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PORTION", 1)
    for number, day in enumerate(("2026-11-18", "2026-11-20", "2026-11-22")):
        call(number, "u0", day)
        summary(f"wrong{number}", "u0", (date.fromisoformat(day) - timedelta(days=1)).isoformat(), 9, 9)
    found = summarize_usage(date(2026, 11, 17), MONDAY)
    assert (found.days, found.added, found.corrected, found.rows) == (3, 3, 3, 6)


def test_only_the_named_days_are_written() -> None:
    for number, day in enumerate(("2026-11-21", "2026-11-22", "2026-11-23")):
        call(number, "u0", day)
    summarize_usage(SUNDAY, MONDAY)
    assert [row[2] for row in rows()] == ["2026-11-22"]


@pytest.mark.parametrize(
    ("day", "created_at"),
    [
        ("2026-11-22T23:59:59.999Z", None),
        (None, "2026-11-22 23:59:59"),
        (None, "2026-11-22T00:00:00.000Z"),
        (None, str(int(datetime.fromisoformat("2026-11-22T12:00:00+00:00").timestamp()))),
    ],
)
def test_a_day_is_read_in_each_form_that_it_is_met_in(day: str | None, created_at: str | None) -> None:
    call(1, "u0", day, created_at=created_at)
    call(2, None, "2026-11-22")
    call(3, "u1", "no day at all")
    assert summarize_usage(None, MONDAY).days == 1
    assert [row[1:3] for row in rows()] == [("u0", "2026-11-22")]


def test_units_that_are_no_number_count_as_none() -> None:
    call(1, "u0", "2026-11-22", "a lot")
    call(2, "u0", "2026-11-22", None)
    call(3, "u0", "2026-11-22", 4)
    summarize_usage(None, MONDAY)
    assert rows()[0][3:5] == (4, 3)


def test_a_year_of_little_use_is_two_requests() -> None:
    ApiUsage.objects.bulk_create(
        ApiUsage(id=f"a{n}", user_id=f"u{n % 3}", date=SUNDAY - timedelta(days=n), battery_used=1, model="gpt")
        for n in range(365)
    )
    with CaptureQueriesContext(connections["omnichat"]) as queries:
        assert summarize_usage(None, MONDAY).rows == 365
    sent = [each["sql"] for each in queries if not each["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))]
    assert len(sent) <= 6


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 9), st.sampled_from("xyz")), max_size=12
    ),
    wrong=st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(0, 99), max_size=6),
    portion=st.integers(1, 5),
)
def test_whatever_stood_there_the_rows_are_the_sums_of_the_calls(
    calls: list[tuple[int, int, int, str]], wrong: dict[tuple[int, int], int], portion: int
) -> None:
    ApiUsage.objects.all().delete()
    DailyUsageSummary.objects.all().delete()
    days = [f"2026-11-{18 + n}" for n in range(5)]
    expected: Counter[tuple[str, str]] = Counter()
    for number, (user, day, units, model) in enumerate(calls):
        call(number, f"u{user}", days[day], units, model)
        expected[f"u{user}", days[day]] += units
    for (user, day), units in wrong.items():
        summary(f"w{user}{day}", f"u{user}", days[day], units, units)
        expected[f"u{user}", days[day]] += 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage, "PORTION", portion)
        summarize_usage(date(2026, 11, 18), MONDAY)
    assert {(row[1], row[2]): row[3] for row in rows()} == expected


def test_the_command_rebuilds_what_is_over_and_counts() -> None:
    today = usage.yesterday() + timedelta(days=1)
    for number, day in enumerate((usage.yesterday(), today)):
        call(number, "u0", str(day))
    out = StringIO()
    call_command("summarize_usage", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"days": 1, "rows": 1, "added": 1, "corrected": 0, "removed": 0}
    out = StringIO()
    call_command("summarize_usage", "--json", "--date", str(today), stdout=out)
    assert json.loads(out.getvalue())["added"] == 1
    out = StringIO()
    call_command("summarize_usage", "--json", "--since", str(today), stdout=out)
    assert json.loads(out.getvalue())["days"] == 0


@pytest.mark.parametrize(
    "words", [["--date", "soon"], ["--since", "2999-01-01"], ["--date=2026-01-01", "--since=2026-01-01"]]
)
def test_a_day_that_makes_no_sense_is_bad_usage(words: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("summarize_usage", *words)
