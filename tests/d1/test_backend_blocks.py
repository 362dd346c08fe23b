"""Blocks: one batch at the end, savepoints, what is refused within, and how many requests each thing costs."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    connections,
    transaction,
)

from standins.d1 import Engine
from tests.d1.shelf import Author, Book


class Stop(Exception):
    """What a test raises to leave a block."""


def test_outside_of_a_block_a_statement_is_a_request(authors: Any, engine: Engine) -> None:
    alice = authors.create(name="alice")
    alice.age = 5
    alice.save()
    assert authors.get().age == 5
    assert engine.counts()["requests"] == 3


def test_a_block_of_twenty_writes_is_one_request(books: Any, block: Any, engine: Engine) -> None:
    with block():
        for number in range(20):
            books.create(id=f"b{number}")
        assert engine.counts()["requests"] == 0
    assert (engine.counts()["requests"], engine.counts()["batches"]) == (1, 1)
    assert books.count() == 20


def test_a_block_that_only_reads_sends_no_batch(books: Any, block: Any, engine: Engine) -> None:
    with block():
        assert list(books.all()) == []
    assert engine.counts()["requests"] == 1


def test_a_rollback_sends_nothing(books: Any, block: Any, engine: Engine) -> None:
    with pytest.raises(Stop), block():
        books.create(id="b")
        raise Stop
    assert engine.counts()["requests"] == 0
    assert not books.exists()


def test_an_inner_block_that_rolls_back_drops_its_own_writes(books: Any, block: Any, engine: Engine) -> None:
    with block():
        books.create(id="before")
        with pytest.raises(Stop), block():
            books.create(id="within")
            raise Stop
        with block():
            books.create(id="kept")
    assert engine.counts()["requests"] == 1
    assert set(books.values_list("id", flat=True)) == {"before", "kept"}


def test_a_batch_that_fails_leaves_nothing(books: Any, block: Any) -> None:
    books.create(id="b")
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: shelf_book\.id"), block():
        books.create(id="a")
        books.create(id="b")
    assert books.count() == 1


def test_the_block_after_one_that_failed_is_clean(books: Any, block: Any, d1: Any) -> None:
    with pytest.raises(OperationalError), block(), d1.cursor() as cursor:
        cursor.execute("INSERT INTO nowhere VALUES (1)")
    with block():
        books.create(id="a")
    assert books.count() == 1


def test_what_follows_a_commit_runs_after_it(books: Any, block: Any, d1: Any) -> None:
    seen: list[int] = []
    with block():
        books.create(id="a")
        transaction.on_commit(lambda: seen.append(books.count()), using=d1.alias)
    assert seen == [1]


def test_a_read_of_a_table_with_writes_waiting_tells_the_way_out(books: Any, block: Any, authors: Any) -> None:
    with block():
        books.create(id="a")
        assert authors.count() == 0
        with pytest.raises(NotSupportedError, match=r"waiting for shelf_book.*Read before the first write"):
            books.count()
        with pytest.raises(NotSupportedError, match="shelf_book"):
            authors.filter(pk__in=books.values("author")).exists()
    assert books.count() == 1


@pytest.mark.parametrize("read", ["SELECT * FROM 'shelf_book'", "SELECT 1 FROM shelf_author a, 'shelf_book' b"])
def test_a_table_in_single_quotes_is_a_table(books: Any, block: Any, rows: Any, read: str) -> None:
    with pytest.raises(NotSupportedError, match="writes waiting for shelf_book"), block():
        books.create(id="a")
        rows(read)


def test_a_column_that_is_called_like_a_waiting_table_is_no_read_of_it(d1: Any, rows: Any, block: Any) -> None:
    rows('CREATE TABLE a ("b" INTEGER)')
    rows("CREATE TABLE b (c)")
    with block():
        rows("INSERT INTO b VALUES (1)")
        assert rows('SELECT "a"."b" AS "b" FROM "a"') == []


def test_inserts_that_choose_or_collide_may_wait(d1: Any, authors: Any, rows: Any, block: Any) -> None:
    authors.create(name="a")
    with block():
        rows("INSERT OR IGNORE INTO shelf_author (name, age) VALUES ('a', 5)")
        rows("INSERT INTO shelf_author (name, age) VALUES ('a', 5) ON CONFLICT (name) DO UPDATE SET age = 6")
        rows("INSERT INTO shelf_author (name, age) SELECT name || 'b', 1 FROM shelf_author")
    assert list(authors.values_list("name", "age").order_by("name")) == [("a", 6), ("ab", 1)]


def test_without_autocommit_a_commit_sends_what_waits(d1: Any, books: Any, engine: Engine) -> None:
    d1.set_autocommit(False)
    try:
        books.create(id="a")
        d1.rollback()
        books.create(id="b")
        d1.commit()
        assert engine.counts()["requests"] == 1
        books.create(id="c")
    finally:
        d1.rollback()
        d1.set_autocommit(True)
    assert list(books.values_list("id", flat=True)) == ["b"]


def test_foreign_keys_are_checked_by_the_batch(books: Any, block: Any) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"), block():
        books.create(id="b", author_id=99)
    with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
        books.create(id="b", author_id=99)
    assert not books.exists()


def test_foreign_keys_may_be_deferred_to_the_end_of_a_block(d1: Any, books: Any, authors: Any, block: Any) -> None:
    with block(), d1.constraint_checks_disabled():
        books.create(id="b", author_id=5)
        authors.bulk_create([Author(id=5, name="alice")])
    assert books.get().author.name == "alice"


def test_the_failing_statement_of_a_batch_is_found_when_asked_for(d1: Any, books: Any, rows: Any, block: Any) -> None:
    d1.find_failing_statement = True
    with pytest.raises(OperationalError, match="no such table: nowhere") as failed, block():
        rows("CREATE TABLE made (a)")
        for number in range(5):
            rows("INSERT INTO made VALUES (%s)", [number])
        rows("INSERT INTO nowhere VALUES (1)")
        rows("DROP TABLE made")
    assert failed.value.statement_number == 7  # type: ignore[attr-defined]
    assert failed.value.statement == "INSERT INTO nowhere VALUES (1)"  # type: ignore[attr-defined]
    assert "made" not in d1.introspection.table_names()


def test_a_batch_too_large_is_refused_before_it_is_sent(connect: Any, tables: Any, engine: Engine) -> None:
    tables(Author, Book)
    d1 = connect(max_batch_bytes=5000)
    with pytest.raises(NotSupportedError, match="several blocks"), transaction.atomic(using=d1.alias):
        Book.objects.using(d1.alias).bulk_create([Book(id=str(n), title="x" * 100) for n in range(100)])
    assert engine.counts()["requests"] == 0


def test_several_reads_go_in_one_request(d1: Any, authors: Any, engine: Engine) -> None:
    authors.bulk_create([Author(name="alice"), Author(name="bob")])
    engine.reset()
    found = authors.order_by("name")
    count = "SELECT count(*) FROM shelf_author"
    with d1.prefetch([found.query.sql_with_params(), (count, None), (count, ())]), d1.cursor() as cursor:
        assert [author.name for author in found] == ["alice", "bob"]
        assert cursor.execute(count).fetchone() == (2,)
        assert engine.counts()["requests"] == 1
        authors.create(name="charlie")
        assert cursor.execute(count, ()).fetchone() == (3,)
    assert engine.counts()["requests"] == 3


def test_threads_have_blocks_of_their_own(books: Any, block: Any, d1: Any, django_db_blocker: Any) -> None:
    barrier = threading.Barrier(3)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with transaction.atomic(using=d1.alias):
                books.create(id=f"b{number}")
                barrier.wait(60)
                if number == 1:
                    transaction.set_rollback(True, using=d1.alias)
        except BaseException as error:
            failures.append(error)
        finally:
            connections[d1.alias].close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(books.values_list("id", flat=True)) == {"b0", "b2"}


def test_usage_counts_requests_and_rows(d1: Any, authors: Any) -> None:
    authors.bulk_create([Author(name=name) for name in "abcde"])
    assert len(authors.all()) == 5
    assert d1.usage.requests == 2
    assert d1.usage.rows_read >= 5
    assert d1.usage.rows_written >= 5
    d1.usage.reset()
    assert (d1.usage.requests, d1.usage.rows_read, d1.usage.rows_written) == (0, 0, 0)


def test_a_broken_block_refuses_further_queries(books: Any, block: Any, d1: Any) -> None:
    with block():
        with pytest.raises(DatabaseError), transaction.atomic(using=d1.alias, savepoint=False):
            d1.guard("x", "SELECT nothing FROM")
            books.raw("SELECT nonsense")[0]
        with pytest.raises(transaction.TransactionManagementError):
            books.count()
        d1.set_rollback(True)


def test_a_foreign_key_deferred_and_never_met_is_an_integrity_error(d1: Any, books: Any, block: Any) -> None:
    with (
        pytest.raises(IntegrityError, match=r"^FOREIGN KEY constraint failed$"),
        block(),
        d1.constraint_checks_disabled(),
    ):
        books.create(id="a")
        books.create(id="b", author_id=5)
    assert not books.exists()
