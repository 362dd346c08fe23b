"""Values go in and come out the same, by parameters, by bulk rows and by the ORM."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from typing import Any

import pytest
from django.db.models import F, Max, Sum
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.d1.shelf import Author, Value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
INTEGER = st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 3, 2**53 + 3)
REAL = st.floats(allow_nan=False, allow_infinity=False)
# Without shrinking, which would send a request for each attempt.
ONE_SETTING = settings(phases=[Phase.generate])
MOMENT = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30), timezones=st.just(datetime.UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.builds(
    Value,
    id=st.uuids(),
    big=st.none() | INTEGER,
    real=st.none() | REAL,
    text=st.none() | TEXT,
    blob=st.none() | st.binary(max_size=40),
    flag=st.none() | st.booleans(),
    day=st.none() | st.dates(),
    moment=st.none() | MOMENT,
    clock=st.none() | st.times(),
    price=st.none() | st.decimals(-(10**9), 10**9, places=4),
    span=st.none() | st.timedeltas(datetime.timedelta(-99999), datetime.timedelta(99999)),
    document=st.none() | JSON,
)


def same(left: Any, right: Any) -> bool:
    """Equal and of one type; a negative zero is a zero, for JavaScript writes it so."""
    return left == right and type(left) is type(right)


def fields_of(value: Value) -> dict[str, Any]:
    return {field.attname: getattr(value, field.attname) for field in Value._meta.concrete_fields}


@ONE_SETTING
@given(st.lists(INTEGER | TEXT | st.none() | st.binary(max_size=20), min_size=1, max_size=20))
def test_parameters_come_back_as_they_went(rows: Any, values: list[Any]) -> None:
    (found,) = rows("SELECT " + ",".join(["%s"] * len(values)), values)
    assert all(map(same, found, values)), (found, values)


@ONE_SETTING
@given(st.lists(REAL, min_size=1, max_size=20))
def test_a_float_keeps_every_bit_and_is_stored_as_a_real(rows: Any, values: list[float]) -> None:
    found = rows("SELECT " + ",".join(["%s, typeof(%s)"] * len(values)), [v for value in values for v in (value,) * 2])
    assert [float(value) for value in found[0][::2]] == values
    assert set(found[0][1::2]) == {"real"}


@ONE_SETTING
@given(st.lists(VALUES, min_size=2, max_size=12, unique_by=lambda value: value.id))
def test_rows_of_a_bulk_create_come_back_as_they_went(d1: Any, tables: Any, values: list[Value]) -> None:
    _begin_anew(d1, tables)
    Value.objects.using(d1.alias).bulk_create(values)
    found = {value.id: value for value in Value.objects.using(d1.alias).filter(id__in=[v.id for v in values])}
    for value in values:
        assert fields_of(found[value.id]) == fields_of(value)
        assert same(found[value.id].real, value.real)


@ONE_SETTING
@given(VALUES)
def test_a_row_that_is_saved_comes_back_as_it_went(d1: Any, tables: Any, value: Value) -> None:
    _begin_anew(d1, tables)
    value.save(using=d1.alias, force_insert=True)
    assert fields_of(Value.objects.using(d1.alias).get(id=value.id)) == fields_of(value)
    (streamed,) = Value.objects.using(d1.alias).filter(id=value.id).iterator()
    assert fields_of(streamed) == fields_of(value)


def _begin_anew(d1: Any, tables: Any) -> None:
    """An empty table for each example; all examples of a test share its database."""
    if Value._meta.db_table not in d1.introspection.table_names():
        tables(Value)
    Value.objects.using(d1.alias).all().delete()


def test_integers_beyond_2_to_the_53_are_read_again_as_text(rows: Any, d1: Any) -> None:
    assert rows("SELECT 9223372036854775807, 'i5', 9007199254740993.0, x'00ff', -9007199254740993, NULL, 'tx'") == [
        (2**63 - 1, "i5", 9007199254740992, b"\0\xff", -(2**53) - 1, None, "tx")
    ]
    assert d1.usage.requests == 2
    assert rows("WITH a(b) AS (VALUES (9007199254740993), ('t'), (1.5)) SELECT b, b AS b FROM a") == [
        (2**53 + 1, 2**53 + 1),
        ("t", "t"),
        (1.5, 1.5),
    ]


def test_ordinary_integers_cost_one_request(rows: Any, d1: Any) -> None:
    assert rows("SELECT 9007199254740991, '12345678901234567890'") == [(2**53 - 1, "12345678901234567890")]
    assert d1.usage.requests == 1


def test_a_key_beyond_2_to_the_53_comes_back_exact_from_an_insert(d1: Any, tables: Any, rows: Any) -> None:
    tables(Author)
    rows("INSERT INTO shelf_author (id, name, age) VALUES (9007199254740993, 'alice', 1)")
    bob = Author.objects.using(d1.alias).create(name="bob")
    assert bob.pk == 9007199254740994


def test_sums_beyond_2_to_the_53_are_exact(d1: Any, tables: Any) -> None:
    tables(Value)
    Value.objects.using(d1.alias).bulk_create([Value(big=2**62), Value(big=2**61 + 1)])
    found = Value.objects.using(d1.alias).aggregate(total=Sum("big"), most=Max("big"))
    assert found == {"total": 2**62 + 2**61 + 1, "most": 2**62}


def test_a_large_blob_is_bound_and_a_small_one_is_a_literal(rows: Any) -> None:
    small, large = bytes(range(256)), bytes(range(256)) * 400
    assert rows("SELECT %s, %s", [small, memoryview(large)]) == [(small, large)]


def test_a_text_of_almost_two_megabytes_is_stored(rows: Any) -> None:
    text = "é" * 999_000
    rows("CREATE TABLE t (a TEXT)")
    rows("INSERT INTO t VALUES (%s)", [text])
    assert rows("SELECT a FROM t") == [(text,)]


def test_raw_parameters_take_what_sqlite3_takes(rows: Any) -> None:
    moment = datetime.datetime(2026, 11, 22, 14, 3, 9, 5, tzinfo=datetime.UTC)
    params = [decimal.Decimal("1.50"), moment, moment.date(), bytearray(b"x"), True, math.nan]
    assert rows("SELECT %s, %s, %s, %s, %s, %s", params) == [
        ("1.50", "2026-11-22 14:03:09.000005+00:00", "2026-11-22", b"x", 1, None)
    ]


def test_an_integer_column_of_text_and_a_text_column_of_digits_keep_their_kinds(rows: Any) -> None:
    rows("CREATE TABLE t (i INTEGER, s TEXT)")
    rows("INSERT INTO t VALUES (%s, %s)", ["abc", 5])
    rows("INSERT INTO t VALUES (%s, %s)", [5, "05"])
    assert rows("SELECT i, s, typeof(i), typeof(s) FROM t") == [
        ("abc", "5", "text", "text"),
        (5, "05", "integer", "text"),
    ]
    assert rows("SELECT count(*) FROM t WHERE s = %s", [5]) == [(1,)]


@pytest.mark.parametrize("key", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)])
def test_a_uuid_is_found_by_itself(d1: Any, tables: Any, key: uuid.UUID) -> None:
    tables(Value)
    Value.objects.using(d1.alias).create(id=key, real=2)
    assert Value.objects.using(d1.alias).annotate(half=F("real") / 4).get(id=key).half == 0.5
