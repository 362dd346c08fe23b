"""Guards: conditions that have to hold when the batch is committed."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

from typing import Any

import pytest
from django.db import (
    ProgrammingError,
)

from d1 import GuardFailed
from standins.d1 import Engine
from tests.d1.shelf import Author


def names(authors: Any) -> list[str]:
    return list(authors.order_by("name").values_list("name", flat=True))


def test_a_guard_that_holds_lets_the_batch_through(authors: Any, block: Any, d1: Any, engine: Engine) -> None:
    with block():
        authors.bulk_create([Author(name="alice", age=5)])
        d1.guard("age is 5", "(SELECT age FROM shelf_author WHERE name = %s) = %s", ["alice", 5])
    assert engine.counts()["requests"] == 1
    assert names(authors) == ["alice"]


@pytest.mark.parametrize("condition", ["(SELECT age FROM shelf_author) > 7", "NULL", "EXISTS (SELECT 1 WHERE 0)"])
def test_a_guard_that_fails_names_itself_and_leaves_nothing(authors: Any, block: Any, d1: Any, condition: str) -> None:
    name = 'it\'s 100% "free", says ☃'
    with pytest.raises(GuardFailed) as failed, block():
        authors.bulk_create([Author(name="alice", age=5)])
        d1.guard(name, condition)
    assert failed.value.name == name
    assert not authors.exists()


def test_a_guard_sees_the_writes_before_it_and_not_those_after(authors: Any, block: Any, d1: Any) -> None:
    with block():
        d1.guard("none yet", "NOT EXISTS (SELECT 1 FROM shelf_author)")
        authors.bulk_create([Author(name="alice")])
        d1.guard("one", "(SELECT count(*) FROM shelf_author) = 1")
    assert authors.count() == 1


def test_a_guard_outside_of_a_block_is_refused(d1: Any) -> None:
    with pytest.raises(ProgrammingError, match=r"transaction\.atomic"):
        d1.guard("name", "1")
