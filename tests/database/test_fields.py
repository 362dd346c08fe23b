"""The columns as Django sees them: in the right order, in the right bounds, and never rewritten unless changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings as django
from django.db import connections
from django.db.models import DateTimeField, F, Max, Min
from django.db.models.functions import TruncDay
from hypothesis import given
from hypothesis import strategies as st

from billing.models import UserBattery
from chat.models import Conversation, DailyUsageSummary, User
from database.instants import Instant, StoredText, is_stored
from database.values import Odd, instant_text

pytestmark = pytest.mark.django_db
OMNICHAT = "omnichat"
ON_D1 = django.DATABASES[OMNICHAT]["ENGINE"] == "d1"


def put(table, **cells):
    columns, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(cells.values()))


def put_users(created):
    for number, cell in enumerate(created):
        put("users", id=f"user_{number:03}", email=f"{number}@example.com", createdAt=cell)


def cells(model, field):
    return list(model.objects.order_by("pk").values_list(StoredText(field), flat=True))


def found(**lookup):
    return set(User.objects.filter(**lookup).values_list("pk", flat=True))


MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
# Instants of a few seconds, so that equal ones and near ones come often, each in any of its forms.
NEAR = st.builds(
    lambda second, micros: (
        datetime(2026, 11, 22, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=second, microseconds=micros)
    ),
    st.integers(-2, 1),
    st.sampled_from([0, 0, 100_000, 120_000, 123_000, 999_000]),
)


def forms(value):
    plain = value.replace(tzinfo=None)
    texts = [instant_text(value), plain.isoformat(" ", "milliseconds"), plain.isoformat("T", "microseconds") + "Z"]
    if not value.microsecond:
        texts += [plain.isoformat(" "), plain.isoformat() + "Z", str(int(value.timestamp()))]
        texts += [] if value.second else [plain.isoformat(" ", "minutes")]
        texts += [] if plain.time() != datetime.min.time() else [plain.date().isoformat()]
    return texts


STORED = st.lists(NEAR.flatmap(lambda value: st.tuples(st.just(value), st.sampled_from(forms(value)))), max_size=12)
COMPARISONS = {
    "exact": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "date": lambda a, b: a.date() == b.date(),
    "date__gt": lambda a, b: a.date() > b.date(),
    "date__lte": lambda a, b: a.date() <= b.date(),
}


@given(STORED, NEAR, NEAR)
def test_mixed_forms_sort_and_compare_as_the_instants_they_are(stored, one, other):
    User.objects.all()._raw_delete(OMNICHAT)
    put_users(text for _, text in stored)
    instants = {f"user_{number:03}": value for number, (value, _) in enumerate(stored)}
    ordered = list(User.objects.order_by("created_at").values_list("created_at", "pk"))
    assert [value for value, _ in ordered] == sorted(instants.values())
    for name, compare in COMPARISONS.items():
        argument = one.date() if "date" in name else one
        assert found(**{f"created_at__{name}": argument}) == {k for k, v in instants.items() if compare(v, one)}, name
    low, high = sorted([one, other])
    assert found(created_at__range=(low, high)) == {k for k, v in instants.items() if low <= v <= high}
    assert found(created_at__in=[one, other, None]) == {k for k, v in instants.items() if v in (one, other)}
    ends = User.objects.aggregate(Min("created_at"), Max("created_at"))
    assert list(ends.values()) == [min(instants.values(), default=None), max(instants.values(), default=None)]


def test_parts_of_an_instant_are_looked_up_in_every_form():
    put_users(["2026-11-22 14:03:09", "2026-11-22T14:03:09.123Z", "1795356189", "2027-01-01", None, "soon"])
    same = {"user_000", "user_001", "user_002"}
    assert found(created_at__year=2026) == found(created_at__year__lt=2027) == found(created_at__month=11) == same
    assert found(created_at__day=22, created_at__hour=14, created_at__minute=3, created_at__second=9) == same
    assert found(created_at__isnull=True) == {"user_004"}
    assert found(created_at="2026-11-22T14:03:09Z") == {"user_000", "user_002"}
    days = (
        User.objects.filter(pk__in=same)
        .annotate(day=TruncDay("created_at", output_field=DateTimeField()))
        .values_list("day", flat=True)
    )
    assert set(days) == {datetime(2026, 11, 22, tzinfo=UTC)}


def test_odd_instants_are_in_no_bound_and_are_found_by_their_cell():
    put_users(["soon", "", "-5", "1795356189123", None])
    some = datetime(2026, 11, 22, tzinfo=UTC)
    assert found(created_at__gt=some) | found(created_at__lte=some) | found(created_at__year=2026) == set()
    assert [isinstance(user.created_at, Odd) for user in User.objects.order_by("pk")] == [True] * 4 + [False]
    assert found(created_at=Odd("soon")) == {"user_000"}
    assert list(User.objects.filter(is_stored("created_at", None)).values_list("pk", flat=True)) == ["user_004"]


def test_an_index_serves_the_order_and_the_bounds_of_an_instant():
    since = datetime(2026, 11, 22, tzinfo=UTC)
    for query in (
        User.objects.order_by("-created_at", "-pk")[:5],
        User.objects.filter(created_at__gte=since),
        User.objects.filter(created_at__date=since.date()),
        User.objects.filter(created_at__year=2026),
    ):
        assert "users_by_created" in query.explain()
        assert "TEMP B-TREE" not in query.explain()


def test_the_text_by_which_instants_sort_can_be_asked_for():
    put_users(["2026-11-22T14:03:09.123Z", "1795356189", "2026-11-22 14:03:08"])
    users = User.objects.annotate(key=Instant("created_at")).order_by("-key")
    assert list(users.values_list("key", flat=True)) == [
        "2026-11-22 14:03:09.123",
        "2026-11-22 14:03:09.000",
        "2026-11-22 14:03:08",
    ]
    assert User.objects.filter(created_at__gt=F("updated_at")).count() == 0


def test_saving_a_row_does_not_rewrite_what_was_not_changed():
    stored = ["2026-11-22 14:03:09", "1795356189", "soon", None, "2026-11-22T14:03:09.123456Z"]
    put_users(stored)
    for user in User.objects.all():
        user.name = "Alice"
        user.save()
    assert cells(User, "created_at") == stored


def test_a_changed_instant_is_written_as_javascript_does():
    put_users(["2026-11-22 14:03:09"])
    user = User.objects.get()
    user.created_at += timedelta(milliseconds=5)
    user.save()
    assert cells(User, "created_at") == ["2026-11-22T14:03:09.005Z"]


def test_days_compare_whether_or_not_a_time_follows():
    for number, cell in enumerate(["2026-11-21", "2026-11-22", "2026-11-22T23:00:00.000Z", "2026-11-23", "soon", None]):
        put("daily_usage_summary", id=str(number), user_id=str(number), date=cell)
    day = date(2026, 11, 22)

    def days(**lookup):
        return sorted(DailyUsageSummary.objects.filter(**lookup).values_list("pk", flat=True))

    assert days(date=day) == days(date__range=(day, day)) == days(date__in=[day]) == ["1", "2"]
    assert days(date__gt=day) == ["3"]
    assert days(date__gte=day) == ["1", "2", "3"]
    assert days(date__lt=day) == ["0"]
    assert days(date__lte=day) == ["0", "1", "2"]
    assert days(date__year=2026, date__month=11, date__day=22) == ["1", "2"]
    assert days(date__isnull=True) == ["5"]
    values = list(DailyUsageSummary.objects.order_by("pk").values_list("date", flat=True))
    assert values[1:3] == [day, day]
    assert isinstance(values[4], Odd)


def test_odd_cells_of_every_kind_are_read_and_stay():
    put("conversations", id="c", pinned="true", archived="maybe", userId=None)
    put("users", id="user_1", email="a@example.com", name=b"\xff")
    put("daily_usage_summary", id="d", total_messages="many", models_used="{broken", date="soon")
    rows = [Conversation.objects.get(), User.objects.get(), DailyUsageSummary.objects.get()]
    assert (rows[0].pinned, rows[0].archived) == (True, "maybe")
    assert isinstance(rows[1].name, Odd)
    assert (rows[2].total_messages, rows[2].models_used, rows[2].date) == ("many", "{broken", "soon")
    for row in rows:
        row.updated_at = datetime(2026, 11, 22, tzinfo=UTC)
        row.save()
    assert cells(Conversation, "pinned") + cells(Conversation, "archived") == ["true", "maybe"]
    assert cells(User, "name") == [b"\xff"]
    assert cells(DailyUsageSummary, "total_messages") + cells(DailyUsageSummary, "models_used") == ["many", "{broken"]
    assert cells(DailyUsageSummary, "date") == ["soon"]


def test_a_flag_is_found_as_number_and_as_word():
    for number, cell in enumerate([1, "true", 0, "false", None]):
        put("conversations", id=str(number), pinned=cell)
    assert sorted(Conversation.objects.filter(pinned=True).values_list("pk", flat=True)) == ["0", "1"]
    assert sorted(Conversation.objects.filter(pinned=False).values_list("pk", flat=True)) == ["2", "3"]


def test_integers_keep_all_their_64_bits():
    put("user_battery", user_id="user_1", total_balance=2**63 - 1, daily_allowance=-(2**53) - 1)
    battery = UserBattery.objects.get()
    battery.save()
    assert (battery.total_balance, battery.daily_allowance) == (2**63 - 1, -(2**53) - 1)
    assert cells(UserBattery, "total_balance") == [2**63 - 1]


def test_a_battery_without_its_user_is_listed():
    put("user_battery", user_id="user_gone", total_balance=5)
    batteries = list(UserBattery.objects.select_related("user").order_by("-total_balance"))
    assert [(battery.user_id, battery.user, str(battery)) for battery in batteries] == [
        ("user_gone", None, "user_gone")
    ]
