"""Expressions of Django give on D1 what they give on Django's own SQLite backend."""

from __future__ import annotations

import datetime
import decimal
import json
import random
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import NotSupportedError, connections, models
from django.db.models import Avg, Case, Count, ExpressionWrapper, F, Max, Min, Q, StdDev, Sum, Value, Variance, When
from django.db.models import functions as f
from django.db.models.functions import Trunc, TruncDate, TruncTime

from d1 import zones
from tests.d1.shelf import Author, Book
from tests.d1.shelf import Value as Cell

LITE = "on_sqlite"
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"]


@pytest.fixture
def lite(d1: Any) -> Iterator[Any]:
    """Django's SQLite backend, in memory, under an alias of its own."""
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    connections.settings[LITE] = connections.configure_settings({"default": {}, LITE: settings})[LITE]
    yield connections[LITE]
    models_connection = connections[LITE]
    models_connection.inc_thread_sharing()
    if models_connection.connection is not None:
        models_connection.connection.close()
    del connections[LITE], connections.settings[LITE]


@pytest.fixture
def both(d1: Any, lite: Any, tables: Any) -> Any:
    """`both(lambda rows: rows.filter(...))`: the list that a query of cells gives, the same on both."""
    tables(Cell)
    with lite.schema_editor() as editor:
        editor.create_model(Cell)
    for alias in (d1.alias, LITE):
        Cell.objects.using(alias).bulk_create(cells())

    def run(query: Any) -> list[Any]:
        ours, theirs = (query(Cell.objects.using(alias).order_by("id")) for alias in (d1.alias, LITE))
        ours, theirs = (list(found) if isinstance(found, models.QuerySet) else found for found in (ours, theirs))
        assert ours == theirs
        return ours

    return run


def cells() -> list[Cell]:
    chance = random.Random(5)
    first = datetime.datetime(1999, 12, 25, tzinfo=datetime.UTC)
    made = []
    for number in range(60):
        moment = first + datetime.timedelta(days=number * 97, seconds=chance.randrange(86400), microseconds=number % 3)
        made.append(
            Cell(
                id=f"{number:032x}",
                big=chance.randrange(-50, 50),
                real=chance.uniform(-5, 5),
                text=chance.choice(["Straße", "a_b", "A%B", "x\\y", "", "été", "Ä" * 40, "needle in HAYSTACK " * 4]),
                flag=bool(number % 2),
                moment=moment if number % 7 else None,
                day=moment.date(),
                clock=moment.time(),
                price=decimal.Decimal(chance.randrange(100_000)) / 100,
                span=datetime.timedelta(days=number, microseconds=number * 7),
                document={"a": number, "b": ["x", None]} if number % 5 else None,
            )
        )
    return made


@pytest.mark.parametrize(
    "lookup", ["contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iexact"]
)
def test_text_lookups_of_any_length_find_what_they_find_on_sqlite(both: Any, lookup: str) -> None:
    needles = [
        "",
        "a",
        "A_B",
        "%",
        "\\",
        "ß",
        "É",
        "ä" * 40,
        "NEEDLE in haystack " * 4,
        "stack needle IN",
        "0" * 60,
    ]
    for needle in needles:
        both(lambda rows, needle=needle: rows.filter(**{f"text__{lookup}": needle}).values_list("pk"))
        both(lambda rows, needle=needle: rows.exclude(**{f"text__{lookup}": needle}).values_list("pk"))
    # Not compared for iexact, where SQLite takes the column's text for a pattern.
    assert Cell.objects.using("on_d1").filter(**{f"text__{lookup}": F("text")}).count() == 60


def test_a_nul_in_a_text_is_searched_for_like_any_character(d1: Any, tables: Any) -> None:
    tables(Cell)
    cells = Cell.objects.using(d1.alias)
    cells.bulk_create([Cell(text="a\0b"), Cell(text="ab")])
    assert cells.filter(text__contains="\0B").count() == 1
    assert cells.filter(text__startswith="A\0").count() == 1
    assert cells.filter(text__endswith="\0B").count() == 1
    assert cells.filter(text__iexact="A\0B").count() == 1


def test_dates_in_time_zones_are_those_of_sqlite(both: Any) -> None:
    kinds = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
    parts = [
        "year",
        "iso_year",
        "quarter",
        "month",
        "week",
        "iso_week_day",
        "week_day",
        "day",
        "hour",
        "minute",
        "second",
    ]
    for name in ZONES:
        zone = ZoneInfo(name)
        chosen = {f"t_{kind}": Trunc("moment", kind, tzinfo=zone) for kind in kinds}
        chosen |= {f"e_{part}": f.Extract("moment", part, tzinfo=zone) for part in parts}
        chosen |= {"d": TruncDate("moment", tzinfo=zone), "t": TruncTime("moment", tzinfo=zone)}
        for start in range(0, len(chosen), 4):
            some = dict(list(chosen.items())[start : start + 4])
            both(lambda rows, some=some: rows.annotate(**some).values_list(*some))


def test_dates_and_times_without_zones_are_those_of_sqlite(both: Any) -> None:
    days = {k: Trunc("day", k) for k in ("year", "quarter", "month", "week")}
    clocks = {k: Trunc("clock", k) for k in ("hour", "minute", "second")}
    assert both(lambda rows: rows.values_list(*days.values(), *clocks.values()))
    both(lambda rows: rows.values_list("day__week", "day__iso_year", "day__week_day", "clock__hour", "clock__second"))
    both(lambda rows: rows.filter(moment__date__gte=datetime.date(2005, 1, 1), moment__hour__lt=12).values_list("pk"))
    both(lambda rows: rows.filter(moment__time__gte=datetime.time(12, 0, 0, 1)).values_list("pk"))
    both(lambda rows: list(rows.datetimes("moment", "month", tzinfo=ZoneInfo("Asia/Kolkata"))))


def test_aggregates_over_truncated_moments_are_those_of_sqlite(both: Any) -> None:
    zone = ZoneInfo("Europe/Berlin")
    both(
        lambda rows: (
            rows.order_by()
            .annotate(month=Trunc("moment", "year", tzinfo=zone))
            .values("month")
            .annotate(n=Count("pk"), most=Max("big"))
            .order_by("month")
            .values_list("month", "n", "most")
        )
    )
    both(lambda rows: rows.aggregate(day=Trunc(Max("moment"), "day", tzinfo=zone)))


@pytest.mark.parametrize("name", ZONES)
def test_a_zone_changes_at_the_second_at_which_python_changes_it(rows: Any, name: str) -> None:
    zone, chance = ZoneInfo(name), random.Random(name)
    steps = [at for at, _ in zones.changes(name) if at is not None]
    near = [at + delta for at in steps[-60:] for delta in (-1, 0, 1)]
    seconds = near + [chance.randrange(-2_000_000_000, 4_000_000_000) for _ in range(100)]
    added = zones.shift("UTC", name)
    found = rows(f"SELECT v, {added} FROM (SELECT value AS v FROM json_each(%s))", [json.dumps(seconds)])
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    for second, offset in found:
        moment = (epoch + datetime.timedelta(seconds=second)).astimezone(zone)
        assert datetime.timedelta(seconds=offset) == moment.utcoffset(), moment


def test_a_database_in_a_zone_of_its_own_is_read_by_its_own_clock(rows: Any) -> None:
    berlin, york = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
    walls = [
        datetime.datetime(2026, month, day, hour, 30)
        for month, day in ((3, 29), (10, 25), (11, 1))
        for hour in range(24)
    ]
    epoch = datetime.datetime(1970, 1, 1)
    seconds = [int((wall - epoch).total_seconds()) for wall in walls]
    added = zones.shift("Europe/Berlin", "America/New_York")
    found = rows(f"SELECT v + {added} FROM (SELECT value AS v FROM json_each(%s))", [json.dumps(seconds)])
    expected = [wall.replace(tzinfo=berlin).astimezone(york).replace(tzinfo=None) for wall in walls]
    assert [epoch + datetime.timedelta(seconds=value) for (value,) in found] == expected


def test_durations_are_added_and_compared_as_on_sqlite(both: Any) -> None:
    both(lambda rows: rows.annotate(later=F("moment") + F("span")).values_list("later"))
    both(
        lambda rows: rows.annotate(
            sooner=F("moment") - Value(datetime.timedelta(days=800, microseconds=1))
        ).values_list("sooner")
    )
    both(
        lambda rows: rows.annotate(
            since=F("moment") - Value(datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC))
        ).values_list("since")
    )
    both(lambda rows: rows.filter(moment__gt=F("moment") - datetime.timedelta(microseconds=1)).values_list("pk"))
    both(lambda rows: rows.annotate(left=F("clock") - Value(datetime.time(12))).values_list("left"))
    both(lambda rows: rows.annotate(half=ExpressionWrapper(F("span") / 2, models.DurationField())).values_list("half"))


def test_functions_are_those_of_sqlite(both: Any) -> None:
    both(lambda rows: rows.values_list(f.Reverse("text"), f.Repeat("text", 3), f.Repeat("text", F("big") * 0)))
    both(
        lambda rows: rows.values_list(
            f.LPad("text", 10, Value("xy")), f.RPad("text", 10, Value("é")), f.LPad("text", 2)
        )
    )
    both(
        lambda rows: rows.values_list(
            f.Upper("text"), f.Length("text"), f.Substr("text", 2, 3), f.StrIndex("text", Value("A"))
        )
    )
    both(
        lambda rows: rows.values_list(
            f.Ceil("real"), f.Floor("real"), f.Abs("real"), f.Sign("real"), f.Round("real", 2)
        )
    )
    both(lambda rows: rows.values_list(F("big").bitxor(21), F("big").bitand(12), F("big") % 7, f.Mod("big", 7)))
    both(
        lambda rows: rows.values_list(
            f.Concat("text", Value("-"), "text", output_field=models.TextField()),
            f.Coalesce("moment", Value(None)),
            f.NullIf("flag", Value(True)),
        )
    )
    close = both
    assert close(lambda rows: [round(x, 9) for (x,) in rows.values_list(f.Power(f.Abs("real"), 1.5))])
    assert close(lambda rows: [round(x, 9) for (x,) in rows.values_list(f.Cot("real"))])
    both(lambda rows: rows.values_list(F("big") ** 3))
    assert all(0 <= x < 1 for (x,) in Cell.objects.using("on_d1").values_list(f.Random()))


def test_aggregates_are_those_of_sqlite(both: Any) -> None:
    both(lambda rows: rows.aggregate(Sum("big"), Avg("big"), Min("text"), Max("price"), Count("text", distinct=True)))
    found = both(
        lambda rows: {
            name: round(value, 8)
            for name, value in rows.aggregate(
                a=StdDev("real"),
                b=Variance("real", sample=True),
                c=Variance("big", filter=Q(flag=True)),
                d=StdDev("price", sample=True),
            ).items()
        }
    )
    assert found["a"] > 0
    assert both(lambda rows: rows.filter(pk=f"{1:032x}").aggregate(one=Variance("big", sample=False))) == {"one": 0.0}


def test_json_is_queried_as_on_sqlite(both: Any) -> None:
    both(lambda rows: rows.filter(document__a__gt=30).values_list("document__a", "document__b__0"))
    both(lambda rows: rows.filter(document__has_key="b", document__b__1=None).values_list("pk"))
    both(lambda rows: rows.filter(document__b__0__icontains="X").values_list("pk"))


def test_conditions_of_any_length_are_put_as_a_tree(both: Any) -> None:
    many = Q(pk=None)
    for number in range(150):
        many |= Q(big=number - 40, flag=True)
    assert both(lambda rows: rows.filter(many).values_list("pk"))
    both(lambda rows: rows.exclude(many).values_list("pk"))
    both(lambda rows: rows.filter(*[~Q(big=number) for number in range(150)]).values_list("pk"))


def test_long_lists_travel_as_json(both: Any, d1: Any) -> None:
    keys = [f"{number:032x}" for number in range(0, 5000, 2)]
    assert len(both(lambda rows: rows.filter(pk__in=keys).values_list("pk"))) == 30
    both(lambda rows: rows.filter(big__in=range(-2000, 20)).values_list("pk"))
    both(lambda rows: rows.filter(text__in=["été", *map(str, range(300))]).values_list("pk"))
    both(
        lambda rows: rows.filter(price__in=[decimal.Decimal(cents) / 100 for cents in range(50_000)][:900]).values_list(
            "pk"
        )
    )


@pytest.mark.parametrize("count", [6, 12])
def test_more_than_five_combined_queries_are_nested(both: Any, count: int) -> None:
    def parts(rows: Any) -> list[Any]:
        return [rows.order_by().filter(big__gt=number * 3).values_list("big") for number in range(count)]

    both(lambda rows: sorted(parts(rows)[0].union(*parts(rows)[1:])))
    both(lambda rows: sorted(parts(rows)[0].union(*parts(rows)[1:], all=True)))
    both(lambda rows: sorted(parts(rows)[0].intersection(*parts(rows)[1:])))
    both(lambda rows: sorted(rows.order_by().values_list("big").difference(*parts(rows)[3:])))
    both(lambda rows: list(parts(rows)[0].union(*parts(rows)[1:]).order_by("-big")[:3]))


def test_cases_and_constants_in_groups_and_orders_are_those_of_sqlite(both: Any) -> None:
    kind = Case(When(big__lt=0, then=Value(1)), When(big__lt=20, then=Value(2)), default=Value(3))
    both(
        lambda rows: (
            rows.order_by().annotate(kind=kind).values("kind").annotate(n=Count("pk")).order_by("kind", Value(1))
        )
    )
    both(lambda rows: rows.annotate(one=Value(2)).values("one").annotate(n=Count("pk")).order_by())


@pytest.mark.parametrize("query", [Q(text__regex="a.*"), Q(text__iregex="a.*")])
def test_a_regular_expression_tells_the_way_out(d1: Any, tables: Any, query: Q) -> None:
    tables(Cell)
    with pytest.raises(NotSupportedError, match="use contains, startswith or endswith"):
        Cell.objects.using(d1.alias).filter(query).exists()


def test_a_hash_tells_the_way_out(d1: Any, tables: Any) -> None:
    tables(Cell)
    with pytest.raises(NotSupportedError, match="no MD5: compute it in Python"):
        list(Cell.objects.using(d1.alias).values_list(f.MD5("text")))


def test_too_many_columns_tell_the_way_out(d1: Any, tables: Any) -> None:
    tables(Author, Book)
    wide = {f"c{number}": Value(number) for number in range(101)}
    with pytest.raises(NotSupportedError, match=r"only\(\) or values\(\)"):
        list(Book.objects.using(d1.alias).annotate(**wide))
