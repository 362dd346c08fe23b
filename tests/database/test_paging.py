"""Pages by key: every row once, in either direction, whatever the keys hold."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.db import connections
from django.db.models import F, Q, Value
from hypothesis import given
from hypothesis import strategies as st

from chat.models import User
from database.instants import Instant
from database.paging import Holds, Order, Page, Place, Unindexed, Walk

NEWEST = Order("created", Instant("created_at"))
CELLS = (
    ["2026-01-01 10:00:00", "2026-01-01T10:00:00.000Z", "2026-01-01T10:00:00.500Z", "1767261600", "", None, "soon"]
    + ["2026-01-02 10:00:00"] * 3
    + [None] * 3
)


@pytest.fixture
def users(db: Any) -> list[str]:
    """Users made at all kinds of moments, some at the same one, some at none; their ids from the newest on."""
    with connections["omnichat"].cursor() as cursor:
        for number, cell in enumerate(CELLS):
            tier = "paid" if number % 2 else "free"
            cursor.execute(
                "INSERT INTO users (id, email, tier, createdAt) VALUES (%s, %s, %s, %s)",
                [f"user_{number:02}", f"u{number}@example.com", tier, cell],
            )
    return list(NEWEST.applied(User.objects.all(), descending=True).values_list("pk", flat=True))


def walked(order: Order, size: int, *, backwards: bool = False, **options: Any) -> list[Page]:
    """All pages from one end to the other."""
    pages: list[Page] = []
    place = None
    while True:
        page = Walk(order, Q(), place=place, backwards=backwards, **options).page(User.objects.all(), size)
        pages.append(page)
        place = page.stopped_at or page.place(0 if backwards else -1)
        if not (page.stopped_at or (page.earlier if backwards else page.later)):
            return pages


def ids(pages: list[Page]) -> list[str]:
    return [row.pk for page in pages for row in page.rows]


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("descending", [True, False])
def test_every_row_is_met_once_going_on_and_going_back(users: list[str], size: int, descending: bool) -> None:
    order = NEWEST.turned(descending=descending)
    expected = users if descending else users[::-1]
    assert ids(walked(order, size)) == expected
    assert ids(walked(order, size, backwards=True)[::-1]) == expected


@pytest.mark.django_db
def test_the_page_before_the_next_page_is_the_first_one(users: list[str]) -> None:
    first = Walk(NEWEST, Q()).page(User.objects.all(), 4)
    second = Walk(NEWEST, Q(), place=first.place(-1)).page(User.objects.all(), 4)
    back = Walk(NEWEST, Q(), place=second.place(0), backwards=True).page(User.objects.all(), 4)
    assert [row.pk for row in back.rows] == [row.pk for row in first.rows]
    assert (first.earlier, first.later) == (False, True)
    assert (back.earlier, back.later) == (False, True)


@pytest.mark.django_db
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_a_search_that_looks_at_few_rows_at_a_time_still_meets_all(
    users: list[str], descending: bool, window: int
) -> None:
    rest = Q(Holds(Unindexed(F("tier")), "=", Value("paid")))
    paid = set(User.objects.filter(tier="paid").values_list("pk", flat=True))
    pages = walked(NEWEST.turned(descending=descending), 2, rest=rest, window=window)
    expected = [pk for pk in users if pk in paid]
    assert ids(pages) == (expected if descending else expected[::-1])


@pytest.mark.django_db
def test_a_search_says_where_it_stopped_when_it_found_too_little(users: list[str]) -> None:
    none = Q(Holds(F("name"), "IS NOT", F("name")))
    page = Walk(NEWEST, Q(), rest=none, window=3).page(User.objects.all(), 5)
    assert page.rows == []
    assert page.stopped_at is not None
    assert page.stopped_at.tie == users[3]


@given(key=st.one_of(st.none(), st.text(max_size=50), st.integers(-(2**63) + 1, 2**63 - 1)), tie=st.text(max_size=50))
def test_a_place_survives_its_way_through_an_address(key: str | int | None, tie: str) -> None:
    assert Place.decode(Place(key, tie).encode()) == Place(key, tie)


def wrapped(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


TAMPERED = [
    "", "x", "é", "====", "[]", wrapped(""), wrapped("[]"), wrapped("[1]"), wrapped("{}"), wrapped('{"a": 1, "b": 2}'),
    wrapped("[1, 2, 3]"), wrapped("[true, 1]"), wrapped("[1.5, 1]"), wrapped("[[], {}]"), wrapped(f"[{2**63}, 1]"),
    wrapped('["\\ud800", 1]'), wrapped("9" * 5000), wrapped("[" * 100_000), wrapped("NaN"), wrapped('"ab"'),
]  # fmt: skip


@pytest.mark.parametrize("text", TAMPERED)
def test_a_place_that_nobody_made_is_none(text: str) -> None:
    assert Place.decode(text) is None
