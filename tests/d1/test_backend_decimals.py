"""Decimals come back as they went, or are refused; never nearly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import NotSupportedError
from django.db.models import Avg, Case, Count, DecimalField, F, Max, Sum, Value, When
from django.db.models.functions import Abs, Cast, Coalesce
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from d1 import GuardFailed
from tests.d1.shelf import Measure

WIDE = st.decimals(-(10**18) + 1, 10**18 - 1, places=20, allow_nan=False, allow_infinity=False)
ONE_SETTING = settings(phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None, max_examples=25)
LONG = Decimal("0.12345678901234567890")
NEAR = Decimal("0.12345678901234567891")


@pytest.fixture
def measures(d1: Any, tables: Any) -> Any:
    tables(Measure)
    return Measure.objects.using(d1.alias)


def wides(found: Any) -> list[Any]:
    return list(found.values_list("wide", flat=True))


@ONE_SETTING
@given(st.lists(WIDE, min_size=2, max_size=8, unique=True))
def test_decimals_of_many_digits_come_back_and_sort_exactly(d1: Any, engine: Any, values: list[Decimal]) -> None:
    engine.empty_database()
    with d1.schema_editor() as editor:
        editor.create_model(Measure)
    found = Measure.objects.using(d1.alias)
    found.bulk_create([Measure(wide=value) for value in values[1:]])
    found.create(wide=values[0])
    assert wides(found.order_by("wide")) == sorted(values)
    assert wides(found.order_by("-wide")) == sorted(values, reverse=True)
    for value in values[:3]:
        assert wides(found.filter(wide=value)) == [value]
        assert set(wides(found.filter(wide__in=[value, values[1]]))) == {value, values[1]}
        assert set(wides(found.filter(wide__lt=value))) == {each for each in values if each < value}
        assert set(wides(found.filter(wide__gte=value))) == {each for each in values if each >= value}
        assert set(wides(found.filter(wide__range=(value, values[1])))) == {
            each for each in values if value <= each <= values[1]
        }
        assert set(wides(found.exclude(wide__gt=value))) == {each for each in values if each <= value}


def test_two_decimals_that_one_float_would_hold_are_two(measures: Any) -> None:
    measures.bulk_create([Measure(wide=LONG), Measure(wide=NEAR), Measure(wide=None)])
    assert wides(measures.filter(wide=LONG)) == [LONG]
    assert wides(measures.filter(wide__gt=LONG)) == [NEAR]
    assert measures.filter(wide__isnull=True).count() == 1
    assert sorted(wides(measures.filter(wide__in=[LONG, NEAR]))) == [LONG, NEAR]
    assert list(measures.values("wide").annotate(n=Count("pk")).values_list("n", flat=True)) == [1, 1, 1]


def test_columns_are_compared_with_columns_of_other_places(measures: Any) -> None:
    measures.bulk_create(
        [
            Measure(wide=Decimal("10.5"), other=Decimal("9.5"), narrow=Decimal("10.5")),
            Measure(wide=Decimal("-10.5"), other=Decimal("-9.5"), narrow=Decimal("-11")),
            Measure(wide=Decimal("123456789.00000000000000000001"), other=Decimal("123456789"), narrow=Decimal("0")),
        ]
    )
    assert list(measures.filter(wide__gt=F("other")).order_by("pk").values_list("pk", flat=True)) == [1, 3]
    assert list(measures.filter(wide=F("narrow")).values_list("pk", flat=True)) == [1]
    assert list(measures.filter(narrow__lt=F("wide")).order_by("pk").values_list("pk", flat=True)) == [2, 3]


def test_an_update_keeps_every_digit(measures: Any) -> None:
    (one, two) = (measures.create(wide=LONG), measures.create(wide=Decimal("-0.0"), other=Decimal("2.5")))
    measures.filter(pk=one.pk).update(wide=NEAR)
    one.refresh_from_db()
    assert one.wide == NEAR
    one.wide, two.wide = Decimal("5"), LONG
    measures.bulk_update([one, two], ["wide"])
    assert wides(measures.order_by("pk")) == [Decimal("5"), LONG]
    measures.filter(pk=two.pk).update(wide=F("other"))
    assert wides(measures.filter(wide=Decimal("2.5"))) == [Decimal("2.5")]
    measures.filter(pk=two.pk).update(wide=Case(When(pk=two.pk, then=Value(NEAR)), default=Value(Decimal("1"))))
    assert wides(measures.filter(wide=NEAR)) == [NEAR]
    measures.filter(pk=two.pk).update(wide=Value(LONG))
    assert wides(measures.filter(wide=LONG)) == [LONG]
    measures.update(wide=F("narrow") + 1)
    measures.filter(pk=two.pk).update(narrow=Decimal("0.1"))
    measures.update(wide=F("narrow") + Decimal("0.2"))
    assert wides(measures.filter(wide=Decimal("0.3"))) == [Decimal("0.3")]


def test_a_zero_has_no_sign(measures: Any) -> None:
    measures.create(wide=Decimal("-0.0"))
    assert wides(measures.filter(wide=0)) == [Decimal("0")]


def test_values_are_handed_on_exactly(measures: Any) -> None:
    measures.create(wide=LONG)
    assert measures.annotate(found=Coalesce("wide", Value(Decimal("1")))).get().found == LONG
    assert measures.annotate(found=Value(NEAR)).get().found == NEAR
    assert wides(measures.order_by("wide").distinct()) == [LONG]
    assert measures.aggregate(n=Count("wide", distinct=True)) == {"n": 1}
    assert next(measures.iterator()).wide == LONG
    cast = Cast("wide", DecimalField(max_digits=30, decimal_places=20))
    assert measures.annotate(found=cast).get(found__gt=Decimal("0.1")).found == LONG


@pytest.mark.parametrize(
    "ask",
    [
        lambda found: found.aggregate(Sum("wide")),
        lambda found: found.aggregate(Avg("wide")),
        lambda found: found.aggregate(Max("wide")),
        lambda found: list(found.annotate(more=F("wide") + 1)),
        lambda found: list(found.annotate(more=F("narrow") * Value(LONG))),
        lambda found: list(found.annotate(more=Abs("wide"))),
        lambda found: found.update(other=F("wide")),
        lambda found: list(found.union(found).order_by("wide")),
    ],
)
def test_what_floats_would_compute_is_refused(measures: Any, ask: Any) -> None:
    with pytest.raises(NotSupportedError, match=r"compute it in Python, or give the field max_digits=15"):
        ask(measures)


def test_a_sum_beyond_the_digits_of_a_float_is_refused(measures: Any) -> None:
    measures.bulk_create([Measure(narrow=Decimal("999999999.999"))] * 3)
    assert measures.aggregate(Sum("narrow"))["narrow__sum"] == Decimal("2999999999.997")
    rows = [Measure(narrow=Decimal("999999999.999"))] * 5000
    measures.bulk_create(rows)
    with pytest.raises(
        NotSupportedError, match=r"a result of 5.003e\+12 with 3 places is refused: compute it in Python"
    ):
        measures.aggregate(Sum("narrow"))


def test_a_column_of_numbers_refuses_what_it_would_round(d1: Any, measures: Any, rows: Any) -> None:
    rows("DROP TABLE shelf_measure")
    rows("CREATE TABLE shelf_measure (id integer PRIMARY KEY, wide decimal(38,20), other decimal, narrow decimal)")
    measures.create(pk=1, wide=Decimal("0.5"))
    assert wides(measures.filter(wide=Decimal("0.5"))) == [Decimal("0.5")]
    for write in (
        lambda: measures.create(wide=LONG),
        lambda: measures.bulk_create([Measure(wide=LONG), Measure(wide=Decimal(1))]),
        lambda: measures.update(wide=LONG),
        lambda: measures.bulk_update([Measure(pk=1, wide=LONG)], ["wide"]),
    ):
        with pytest.raises(
            NotSupportedError, match=r"shelf_measure.wide keeps 15 digits.*type 'decimal text\(38,20\)'"
        ):
            write()
    assert wides(measures.all()) == [Decimal("0.5")]
    measures.update(wide=Decimal("0.123456789012346"))
    assert wides(measures.filter(wide=Decimal("0.12345678901234600001"))) == []
    assert wides(measures.filter(wide__in=[LONG, Decimal("0.123456789012346")])) == [Decimal("0.123456789012346")]
    assert wides(measures.filter(wide__lt=Decimal("0.2")).order_by("wide")) == [Decimal("0.123456789012346")]


def test_it_asks_once_whether_a_column_is_text(d1: Any, measures: Any) -> None:
    measures.create(wide=LONG)
    d1.usage.reset()
    measures.create(wide=NEAR)
    assert d1.usage.requests == 1


def test_inspection_knows_a_column_of_text_for_a_decimal_and_its_places(d1: Any, measures: Any) -> None:
    with d1.cursor() as cursor:
        (wide,) = [c for c in d1.introspection.get_table_description(cursor, "shelf_measure") if c.name == "wide"]
    assert d1.introspection.get_field_type(wide.type_code, wide) == "DecimalField"
    assert (wide.precision, wide.scale) == (38, 20)


def changed(d1: Any, digits: int, places: int, old: Any = None) -> DecimalField[Any, Any]:
    field: DecimalField[Any, Any] = DecimalField(max_digits=digits, decimal_places=places, null=True)
    field.set_attributes_from_name("wide")
    field.model = Measure
    with d1.schema_editor() as editor:
        editor.alter_field(Measure, old or Measure._meta.get_field("wide"), field)
    return field


def test_a_column_that_gets_more_places_keeps_its_values_and_their_equality(d1: Any, measures: Any, rows: Any) -> None:
    measures.bulk_create([Measure(wide=LONG), Measure(wide=Decimal("-5")), Measure(wide=None)])
    changed(d1, 40, 22)
    assert rows("SELECT wide FROM shelf_measure ORDER BY id") == [
        ("0.1234567890123456789000",),
        ("-5.0000000000000000000000",),
        (None,),
    ]


def test_a_column_of_numbers_that_becomes_text_has_all_places(d1: Any, measures: Any, rows: Any) -> None:
    narrow = changed(d1, 12, 3)
    rows("INSERT INTO shelf_measure (wide) VALUES (0.5), (7), (-1e-3)")
    assert rows("SELECT typeof(wide) FROM shelf_measure") == [("real",), ("integer",), ("real",)]
    changed(d1, 38, 20, narrow)
    assert wides(measures.order_by("wide")) == [Decimal("-0.001"), Decimal("0.5"), Decimal(7)]
    assert wides(measures.filter(wide=7)) == [Decimal(7)]


def test_a_column_does_not_become_one_that_would_round(d1: Any, measures: Any) -> None:
    measures.create(wide=LONG)
    with pytest.raises(NotSupportedError, match="fewer places"):
        changed(d1, 38, 10)
    with pytest.raises(GuardFailed, match=r"shelf_measure\.wide has no decimal of more than 15 digits"):
        changed(d1, 12, 3)
    assert wides(measures) == [LONG]
