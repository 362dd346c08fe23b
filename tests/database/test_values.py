"""Each form in which a cell may stand is read as what it means, and written back as it was."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from django.utils.html import conditional_escape
from hypothesis import given
from hypothesis import strategies as st

from database.values import (
    Odd,
    instant_text,
    json_text,
    read_day,
    read_flag,
    read_instant,
    read_json,
    read_whole,
)

MOMENT = datetime(2026, 11, 22, 14, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "stored",
    [
        "2026-11-22 14:03:09",
        "2026-11-22 14:03:09.000",
        "2026-11-22T14:03:09Z",
        "2026-11-22T14:03:09.000Z",
        "2026-11-22T14:03:09+00:00",
        "1795356189",
        1795356189,
    ],
)
def test_each_form_of_an_instant_is_read_and_keeps_its_text(stored):
    value = read_instant(stored)
    assert (value, value.text, value.utcoffset()) == (MOMENT, str(stored), timedelta(0))


def test_milliseconds_and_coarser_forms_are_read():
    assert read_instant("2026-11-22T14:03:09.123Z") == MOMENT.replace(microsecond=123000)
    assert read_instant("2026-11-22 14:03") == MOMENT.replace(second=0)
    assert read_instant("2026-11-22") == datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "yesterday",
        "2026-02-30 00:00:00",
        "0000-01-01",
        "2026-11-22T14:03:09+02:00",
        "1795356189123",
        "-1",
        "٣٤",
        1.5,
    ],
)
def test_what_is_no_instant_is_odd(stored):
    value = read_instant(stored)
    assert isinstance(value, Odd)
    assert value.stored == stored


def test_an_instant_is_written_as_javascript_does():
    there = datetime(2026, 11, 22, 16, 3, 9, 123999, tzinfo=timezone(timedelta(hours=2)))
    assert instant_text(there) == "2026-11-22T14:03:09.123Z"
    assert instant_text(datetime(33, 1, 2, tzinfo=UTC)) == "0033-01-02T00:00:00.000Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_written_is_read_again(value):
    assert read_instant(instant_text(value)) == value.replace(microsecond=value.microsecond // 1000 * 1000)


def test_a_copy_of_an_instant_keeps_its_text_and_one_computed_from_it_does_not():
    value = read_instant("2026-11-22 14:03:09")
    assert copy.deepcopy(value).text == pickle.loads(pickle.dumps(value)).text == value.text
    assert (value + timedelta(seconds=1)).text is None
    assert value.replace(hour=1).text is None


def test_a_day_is_read_from_a_date_and_from_an_instant():
    assert read_day("2026-11-22") == date(2026, 11, 22)
    whole = read_day("2026-11-22T23:59:59.999Z")
    assert (whole, copy.copy(whole).text) == (date(2026, 11, 22), "2026-11-22T23:59:59.999Z")
    assert [type(read_day(odd)) for odd in ("", "22.11.2026", "2026-02-30", "20261122", 20261122)] == [Odd] * 5


def test_a_flag_is_read_from_numbers_and_words():
    assert (read_flag(1), read_flag(0), read_flag(None), read_flag(1.0)) == (True, False, None, True)
    assert (read_flag("true"), read_flag("false")) == (True, False)
    assert (str(read_flag("true")), str(read_flag("false"))) == ("True", "False")
    assert {True: "yes"}[read_flag("true")] == "yes"
    assert [type(read_flag(odd)) for odd in (2, "", "yes", b"\1")] == [Odd] * 4


def test_json_that_was_not_changed_keeps_its_text():
    text = '{ "a": [1, 2.50], "é": "\\u00e9" }'
    value = read_json(text)
    assert value == {"a": [1, 2.5], "é": "é"}
    assert json_text(value) == json_text(copy.deepcopy(value)) == text
    value["a"].append(True)
    assert json_text(value) == '{"a":[1,2.5,true],"é":"é"}'


def test_one_for_true_is_a_change_of_json():
    value = read_json('{"a": 1}')
    value["a"] = True
    assert json_text(value) == '{"a":true}'


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "null",
        "NaN",
        '{"a": Infinity}',
        '"\\ud800"',
        '["\\ud800"]',
        "1e2",
        "[1e999]",
        f"[{'9' * 400}.0]",
        "[" * 100_000,
        b"{}",
        5,
    ],
)
def test_what_json_would_not_give_back_is_odd(stored):
    assert isinstance(read_json(stored), Odd)


def test_scalars_of_json_are_values():
    assert [read_json(text) for text in ("1", "true", '"a"')] == [1, True, "a"]


def test_whole_numbers_are_read_to_64_bits_and_other_texts_are_odd():
    assert read_whole(2**63 - 1) == 2**63 - 1
    assert read_whole(819.0) == 819
    assert isinstance(read_whole("12 units"), Odd)
    assert isinstance(read_whole(0.5), Odd)


def test_an_odd_value_is_marked_on_a_page_and_plain_elsewhere():
    odd = Odd("<b>", "no date")
    assert conditional_escape(odd) == '<mark class="odd" title="Kept as it was found: no date">&lt;b&gt;</mark>'
    assert conditional_escape(str(odd)) == conditional_escape(odd)
    assert type(odd.text) is str
    assert f"{odd}" == "<b>"
    again = pickle.loads(pickle.dumps(Odd(b"\xff", "no text")))
    assert (again.stored, again.why, again) == (b"\xff", "no text", "\N{REPLACEMENT CHARACTER}")
