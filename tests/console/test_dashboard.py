"""The home page: what waits, the figures of the business with their moment, and their plots."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.models import BatteryTransaction, UserSubscription
from chat.models import ApiUsage, DailyUsageSummary, User
from console import bars, dashboard
from console.dashboard import Figures, count_figures, figures, waiting
from console.jobs import work_off
from console.models import Job, JobState, Summary
from console.roles import SUPPORT
from database.values import Odd

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def login(client: Client, django_user_model: type[Login]) -> Any:
    def enter(role: str | None) -> Login:
        made = django_user_model.objects.create_user(role or "nobody", is_staff=True)
        if role:
            made.groups.add(Group.objects.get(name=role))
        client.force_login(made)
        return made

    return enter


def subscription(key: str, **fields: Any) -> UserSubscription:
    month = {"current_period_start": "2026-11-01 00:00:00", "current_period_end": "2026-12-01T00:00:00.000Z"}
    common = {"user_id": "user_a", "plan_id": "starter", "status": "active", "created_at": "2026-11-10 10:00:00"}
    return UserSubscription(id=key, **{**common, **month, **fields})


@pytest.fixture
def alice() -> User:
    return User.objects.create(id="user_a", email="alice@example.com")


def counted() -> Figures:
    count_figures(NOW)
    found = figures()
    assert found is not None
    return found


@pytest.mark.django_db
def test_revenue_is_of_active_subscriptions_and_a_year_counts_a_twelfth_a_month(alice: User) -> None:
    year = {"current_period_start": "2026-01-01 00:00:00", "current_period_end": "2027-01-01 00:00:00"}
    UserSubscription.objects.bulk_create([
        subscription("s1"), subscription("s2", **year), subscription("s3", plan_id="power", status="trialing"),
        subscription("s4", status="past_due"), subscription("s5", plan_id=None, current_period_end=Odd("whenever")),
    ])  # fmt: skip
    found = counted()
    # 499 cents, and 4,790 / 12 = 399.17.
    assert "$8.98" in found.revenue
    assert (found.active, found.trialing, found.past_due) == (3, 1, 1)
    assert [(row.plan, row.active, row.trialing, row.past_due) for row in found.plans] == [
        ("", 1, 0, 0), ("Power", 0, 1, 0), ("Starter", 2, 0, 1),
    ]  # fmt: skip


@pytest.mark.django_db
def test_new_and_canceled_are_those_of_thirty_days_in_whichever_form_their_dates_are(alice: User) -> None:
    UserSubscription.objects.bulk_create([
        subscription("s1", created_at="2026-11-20T11:59:59.999Z"), subscription("s2", created_at="1795000000"),
        subscription("s3", created_at="2026-10-01 00:00:00", canceled_at="2026-11-19 10:00:00"),
        subscription("s4", created_at="2020-01-01 00:00:00", canceled_at=Odd("soon")),
    ])  # fmt: skip
    found = counted()
    assert (found.new, found.canceled) == (2, 1)


@pytest.mark.django_db
def test_units_are_added_up_by_day_and_model_and_odd_ones_count_nothing(alice: User) -> None:
    BatteryTransaction.objects.bulk_create([
        BatteryTransaction(id="1", user_id="user_a", type="bonus", amount=100, created_at="2026-11-20 01:00:00"),
        BatteryTransaction(id="2", user_id="user_a", type="usage", amount=-7, created_at="2026-11-20T02:00:00.000Z"),
        BatteryTransaction(id="3", user_id="user_a", type="usage", amount=-7, created_at="2020-01-01 00:00:00"),
        BatteryTransaction(id="4", user_id="user_a", type="refund", amount=-90, created_at="2026-11-20 03:00:00"),
    ])  # fmt: skip
    ApiUsage.objects.bulk_create([
        ApiUsage(id="1", user_id="user_a", model="gpt", battery_used=5, date="2026-11-19"),
        ApiUsage(id="2", user_id="user_a", model=None, battery_used=2, date="2026-11-19"),
    ])  # fmt: skip
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("UPDATE api_usage SET battery_used = 'many' WHERE id = '2'")
    _, granted, used, by_model = counted().plots
    assert (granted.totals, used.totals) == ([100], [7])
    assert by_model.rows == [(date(2026, 11, 19), [5, 0])]


@pytest.mark.django_db
def test_the_most_active_are_named_by_email(alice: User) -> None:
    DailyUsageSummary.objects.bulk_create(
        DailyUsageSummary(id=f"{n}", user_id=user, date="2026-11-19", total_battery_used=n, total_messages=1)
        for n, user in ((5, "user_a"), (9, "user_gone"))
    )
    assert [row[1:] for row in counted().most_active] == [("user_gone", 9, 1), ("alice@example.com", 5, 1)]


@pytest.mark.django_db
def test_counting_takes_six_queries_and_the_page_none_of_omnichats(client: Client, login: Any) -> None:
    login(SUPPORT)
    with CaptureQueriesContext(connections["omnichat"]) as counting:
        count_figures()
    assert len(counting) == 6
    with CaptureQueriesContext(connections["omnichat"]) as asked, CaptureQueriesContext(connections["default"]) as own:
        page = client.get("/admin/")
    assert page.status_code == 200
    # Of the console's own: session, login, its permissions, what waits, the figures, and what one changed last.
    assert (len(asked), len(own)) == (0, 7)


@pytest.mark.django_db
def test_a_page_without_figures_says_how_to_get_them_and_the_button_does(client: Client, login: Any) -> None:
    login(SUPPORT)
    assert "No figures yet" in client.get("/admin/").content.decode()
    assert client.get("/admin/count-figures/").status_code == 405
    for _ in range(2):
        assert client.post("/admin/count-figures/").status_code == 302
    assert "job-progress" in client.get("/admin/").content.decode()
    assert work_off() == 1
    assert "job-progress" not in client.get("/admin/").content.decode()
    assert Summary.objects.filter(name=dashboard.FIGURES).exists()
    assert "No figures yet" not in client.get("/admin/").content.decode()


@pytest.mark.django_db
def test_old_figures_are_called_old(client: Client, login: Any) -> None:
    login(SUPPORT)
    count_figures()
    assert "does the worker run" not in client.get("/admin/").content.decode()
    count_figures(timezone.now() - dashboard.STALE_AFTER - timedelta(seconds=1))
    assert "does the worker run" in client.get("/admin/").content.decode()


@pytest.mark.django_db
def test_a_login_without_a_role_sees_no_figures_and_counts_none(client: Client, login: Any) -> None:
    count_figures()
    login(None)
    page = client.get("/admin/").content.decode()
    assert "The business" not in page
    assert "has no role" in page
    assert client.post("/admin/count-figures/").status_code == 403


@pytest.mark.django_db
def test_a_failed_job_waits_for_its_owner_and_for_operators(login: Any) -> None:
    support, operator = login(SUPPORT), Login.objects.create_superuser("admin")
    Job.objects.create(kind="x", title="X", state=JobState.FAILED, ended_at=timezone.now())
    assert [each.count for each in waiting(operator)] == [1]
    assert waiting(support) == []
    Job.objects.create(kind="x", title="X", state=JobState.FAILED, ended_at=timezone.now(), actor=support)
    assert [(each.count, each.words) for each in waiting(support)] == [(1, "1 job failed")]


DAYS = bars.days_to(date(2026, 11, 20), 5)
OF_DAYS = st.dictionaries(st.sampled_from(DAYS), st.integers(-5, 10**15))


@given(st.dictionaries(st.sampled_from("abc"), OF_DAYS, max_size=3))
def test_bars_stay_inside_their_drawing_and_the_table_has_each_figure(series: dict[str, dict[date, int]]) -> None:
    plot = bars.stacked("Units", "units", DAYS, series)
    for bar in plot.bars:
        assert -0.1 <= bar.y <= bar.y + bar.height <= bars.HEIGHT + 0.1
        assert 0 <= bar.x <= bar.x + bar.width <= bars.WIDTH
    assert plot.totals == [sum(max(n, 0) for n in of_day.values()) for of_day in series.values()]
    assert sum(sum(row) for _, row in plot.rows) == sum(plot.totals)


@given(st.dictionaries(st.text(max_size=3), OF_DAYS), st.integers(1, 4))
def test_series_beyond_the_largest_are_one_and_lose_nothing(series: dict[str, dict[date, int]], most: int) -> None:
    kept = bars.largest(series, most, "all others")
    assert len(kept) <= most + 1
    assert sum(map(sum, (s.values() for s in kept.values()))) == sum(map(sum, (s.values() for s in series.values())))
