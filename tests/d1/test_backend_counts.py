"""How many rows an UPDATE or DELETE of a block matches: what is asked, guarded, or known without asking."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

from typing import Any

import pytest
from django.db import (
    IntegrityError,
)

from d1 import GuardFailed
from standins.d1 import Engine
from tests.d1.shelf import Author, Book


def names(authors: Any) -> list[str]:
    return list(authors.order_by("name").values_list("name", flat=True))


def test_saving_a_row_that_the_block_has_read_needs_no_count(authors: Any, block: Any, engine: Engine) -> None:
    authors.create(name="alice")
    engine.reset()
    with block():
        alice = authors.get(name="alice")
        alice.age = 30
        alice.save()
    assert engine.counts()["requests"] == 2
    assert authors.get().age == 30


def test_twenty_rows_that_the_block_has_read_are_saved_in_two_requests(books: Any, block: Any, engine: Engine) -> None:
    books.bulk_create([Book(id=f"b{number}") for number in range(20)])
    engine.reset()
    with block():
        for book in books.all():
            book.pages += 1
            book.save()
    assert engine.counts()["requests"] == 2
    assert books.filter(pages=1).count() == 20


def test_saving_a_row_that_is_gone_by_then_fails_the_batch(authors: Any, block: Any, engine: Engine) -> None:
    authors.create(name="alice")
    with pytest.raises(GuardFailed, match=r"1 rows of .*shelf_author"), block():
        alice = authors.get()
        engine.execute("DELETE FROM shelf_author")
        alice.save()
    assert not authors.exists()


def test_an_update_counts_its_matches_and_guards_the_count(authors: Any, block: Any, engine: Engine) -> None:
    authors.bulk_create([Author(name=name) for name in "abc"])
    with block():
        assert authors.filter(name__in=["a", "b", "x"]).update(age=7) == 2
    assert authors.filter(age=7).count() == 2
    with pytest.raises(GuardFailed) as failed, block():
        assert authors.filter(age=7).update(age=8) == 2
        engine.execute("UPDATE shelf_author SET age = 7")
    assert failed.value.name == '2 rows of "shelf_author" matched by the block\'s UPDATE'
    assert isinstance(failed.value, IntegrityError)
    assert authors.filter(age=7).count() == 3


def test_a_count_after_other_writes_of_the_block_sees_them(authors: Any, block: Any, books: Any) -> None:
    books.create(id="a", pages=1)
    with block():
        assert books.filter(pages=1).update(pages=2) == 1
        assert books.filter(pages=1).update(pages=3) == 0
        books.create(id="b", pages=2)
        assert books.filter(pages=2).update(pages=4) == 2
        assert books.filter(pages=4).delete() == (2, {"shelf.Book": 2})
        assert books.filter(pages=4).update(pages=5) == 0
    assert not books.exists()


def test_a_statement_whose_count_nobody_reads_costs_no_count(d1: Any, authors: Any, block: Any, engine: Engine) -> None:
    with block(), d1.cursor() as cursor:
        cursor.execute("UPDATE shelf_author SET age = 1 WHERE name = 'nobody'")
        cursor.execute("DELETE FROM shelf_author")
    assert engine.counts()["requests"] == 1


def test_raw_statements_have_their_counts_too(d1: Any, authors: Any, block: Any) -> None:
    authors.bulk_create([Author(name=name) for name in "abc"])
    with block(), d1.cursor() as cursor:
        cursor.execute("UPDATE shelf_author SET name = %s || name WHERE name > %s", ["x", "a"])
        assert cursor.rowcount == 2
        cursor.execute("DELETE FROM shelf_author WHERE name LIKE 'x%%' AND age = %s", [0])
        assert cursor.rowcount == 2
    assert names(authors) == ["a"]


def test_the_count_of_a_delete_leaves_out_what_cascades(rows: Any, d1: Any, engine: Engine, block: Any) -> None:
    rows("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    rows("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) ON DELETE CASCADE)")
    rows("INSERT INTO p VALUES (1), (2), (3)")
    rows("INSERT INTO c (p) VALUES (1), (1), (2)")
    engine.reset()
    with d1.cursor() as cursor:
        cursor.execute("DELETE FROM p WHERE id < %s", [3])
        assert cursor.rowcount == 2
    assert engine.counts()["requests"] == 1
    assert rows("SELECT count(*) FROM c") == [(0,)]


def test_a_row_that_the_block_deletes_is_not_updated_after(books: Any, block: Any, engine: Engine) -> None:
    books.bulk_create([Book(id=name) for name in "abc"])
    engine.reset()
    with block():
        kept, gone, _ = books.order_by("id")
        gone.delete()
        kept.save()
        assert books.filter(pk="b").update(pages=5) == 0
        assert books.filter(pk="c").update(pages=5) == 1
        assert books.filter(pk="d").update(pages=5) == 0
    # One read of the rows, two counts of what the block does not know, and the batch.
    assert engine.counts()["requests"] == 4
    assert dict(books.values_list("id", "pages")) == {"a": 0, "c": 5}


def test_rows_of_combined_queries_are_not_taken_for_rows_of_the_first(
    books: Any, authors: Any, block: Any, d1: Any
) -> None:
    authors.create(name="x")
    with block():
        assert list(books.values_list("pk").union(authors.values_list("name"))) == [("x",)]
        assert books.filter(pk="x").update(pages=1) == 0


def test_updates_of_other_columns_need_no_rehearsal_of_each_other(books: Any, block: Any, engine: Engine) -> None:
    books.bulk_create([Book(id=f"b{number:05}") for number in range(5_010)])
    made = list(books.only("pages"))
    for book in made:
        book.pages = 3
    engine.reset()
    assert books.bulk_update(made, ["pages"]) == 5_010
    # Two reads of a count, and one batch that wrote: no count tried out the updates before it.
    counts = engine.counts()
    assert (counts["requests"], counts["errors"]) == (3, 0)


def test_rows_with_keys_of_their_own_are_saved_one_after_another(books: Any, block: Any, engine: Engine) -> None:
    books.create(id="c")
    engine.reset()
    with block():
        for name in "abcd":
            Book(id=name, pages=2).save(using=books.db)
    # Django asks by an UPDATE whether each is there: four reads, none of which tries out what waits, and the batch.
    counts = engine.counts()
    assert (counts["requests"], counts["errors"]) == (5, 0)
    assert list(books.values_list("id", "pages").order_by("id")) == [(name, 2) for name in "abcd"]


def test_updates_of_two_columns_by_key_are_counted_by_plain_reads(books: Any, engine: Engine) -> None:
    books.bulk_create([Book(id=f"b{number:05}") for number in range(10_010)])
    made = [Book(id=f"b{number:05}", pages=3, title="x") for number in range(10_010)]
    engine.reset()
    assert books.bulk_update(made, ["pages", "title"]) == 10_010
    counts = engine.counts()
    # A batch that tries out what waits is one that fails. Each row is read for its count, its guard and its update.
    assert (counts["requests"], counts["errors"]) == (4, 0)
    assert counts["rows_read"] < 100_000
