"""Automatic keys inside of a block."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

from typing import Any

import pytest
from django.db import (
    IntegrityError,
    NotSupportedError,
)

from standins.d1 import Engine
from tests.d1.shelf import Author


def names(authors: Any) -> list[str]:
    return list(authors.order_by("name").values_list("name", flat=True))


def test_returning_in_a_block_tells_the_way_out(rows: Any, block: Any, authors: Any) -> None:
    with block(), pytest.raises(NotSupportedError, match="RETURNING gives nothing back inside a block"):
        rows("INSERT INTO shelf_author (name, age) VALUES ('a', 1) RETURNING id")


def test_automatic_keys_are_there_inside_of_a_block(authors: Any, block: Any, books: Any, engine: Engine) -> None:
    authors.create(name="first").delete()
    engine.reset()
    with block():
        alice, bob = authors.create(name="alice"), authors.create(name="bob")
        books.create(id="b", author=bob)
    # One read of the last key, and the batch.
    assert engine.counts()["requests"] == 2
    assert (alice.pk, bob.pk) == (2, 3)
    assert books.get().author.name == "bob"


def test_automatic_keys_leave_room_for_rows_without(authors: Any, block: Any) -> None:
    with block():
        authors.bulk_create([Author(name=name) for name in "abc"])
        made = authors.create(name="d")
        authors.bulk_create([Author(name="e")])
    assert made.pk == 4
    assert dict(authors.values_list("name", "pk")) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


def test_a_key_that_another_took_meanwhile_fails_the_batch(authors: Any, block: Any, engine: Engine) -> None:
    with pytest.raises(IntegrityError, match=r"shelf_author\.id"), block():
        authors.create(name="alice")
        engine.execute("INSERT INTO shelf_author (name, age) VALUES ('other', 0)")
    assert names(authors) == ["other"]


def test_get_or_create_works_in_and_out_of_blocks(authors: Any, block: Any) -> None:
    assert authors.get_or_create(name="alice")[1] is True
    with block():
        assert authors.get_or_create(name="alice")[1] is False
        assert authors.get_or_create(name="bob")[1] is True
    assert names(authors) == ["alice", "bob"]


def test_an_automatic_key_keeps_clear_of_those_that_were_given(authors: Any, block: Any) -> None:
    with block():
        authors.create(id=1, name="alice")
        assert authors.create(name="bob").pk == 2
        authors.create(id=9, name="charlie")
        assert authors.create(name="dora").pk == 10
    assert authors.count() == 4
