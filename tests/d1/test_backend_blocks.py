"""Blocks: one batch at the end, savepoints, guards, row counts, and how many requests each thing costs."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.models import F
from django.db.models import Value as Value_
from django.db.models.functions import Lower

from d1 import GuardFailed
from standins.d1 import Engine
from tests.d1.shelf import Author, Book, Value


class Stop(Exception):
    """What a test raises to leave a block."""


@pytest.fixture
def block(d1: Any) -> Callable[[], Any]:
    return lambda: transaction.atomic(using=d1.alias)


@pytest.fixture
def authors(d1: Any, tables: Any) -> Any:
    tables(Author, Book)
    return Author.objects.using(d1.alias)


@pytest.fixture
def books(d1: Any, authors: Any) -> Any:
    return Book.objects.using(d1.alias)


def names(authors: Any) -> list[str]:
    return list(authors.order_by("name").values_list("name", flat=True))


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


def test_a_column_that_is_called_like_a_waiting_table_is_no_read_of_it(d1: Any, rows: Any, block: Any) -> None:
    rows('CREATE TABLE a ("b" INTEGER)')
    rows("CREATE TABLE b (c)")
    with block():
        rows("INSERT INTO b VALUES (1)")
        assert rows('SELECT "a"."b" AS "b" FROM "a"') == []


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


def test_inserts_that_choose_or_collide_may_wait(d1: Any, authors: Any, rows: Any, block: Any) -> None:
    authors.create(name="a")
    with block():
        rows("INSERT OR IGNORE INTO shelf_author (name, age) VALUES ('a', 5)")
        rows("INSERT INTO shelf_author (name, age) VALUES ('a', 5) ON CONFLICT (name) DO UPDATE SET age = 6")
        rows("INSERT INTO shelf_author (name, age) SELECT name || 'b', 1 FROM shelf_author")
    assert list(authors.values_list("name", "age").order_by("name")) == [("a", 6), ("ab", 1)]


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


def test_bulk_writes_need_few_requests(books: Any, engine: Engine) -> None:
    made = [Book(id=f"b{number:05}", title="t" * 50) for number in range(12_000)]
    books.bulk_create(made)
    assert engine.counts()["requests"] == 1
    for book in made[:500]:
        book.pages, book.title = 7, "a title, 'quoted'"
    engine.reset()
    assert books.bulk_update(made[:500], ["pages", "title"]) == 500
    # The count of the rows, and the batch.
    assert engine.counts()["requests"] == 2
    assert books.filter(pages=7, title="a title, 'quoted'").count() == 500
    engine.reset()
    assert books.filter(id__in=[book.id for book in made]).count() == 12_000
    assert engine.counts()["requests"] == 1


def test_bulk_create_may_ignore_or_update_what_is_there(books: Any) -> None:
    books.create(id="a", pages=1)
    books.bulk_create([Book(id="a", pages=2), Book(id="b", pages=2)], ignore_conflicts=True)
    assert dict(books.values_list("id", "pages")) == {"a": 1, "b": 2}
    books.bulk_create(
        [Book(id="a", pages=3), Book(id="c", pages=3)],
        update_conflicts=True,
        update_fields=["pages"],
        unique_fields=["id"],
    )
    assert dict(books.values_list("id", "pages")) == {"a": 3, "b": 2, "c": 3}


def test_deleting_many_rows_needs_few_requests(authors: Any, books: Any, engine: Engine) -> None:
    alice = authors.create(name="alice")
    books.bulk_create([Book(id=str(number), author=alice) for number in range(300)])
    engine.reset()
    assert books.filter(author=alice).delete() == (300, {"shelf.Book": 300})
    assert alice.delete()[0] == 1
    assert engine.counts()["requests"] <= 4
    assert not books.exists()


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
                barrier.wait(30)
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


def test_an_automatic_key_keeps_clear_of_those_that_were_given(authors: Any, block: Any) -> None:
    with block():
        authors.create(id=1, name="alice")
        assert authors.create(name="bob").pk == 2
        authors.create(id=9, name="charlie")
        assert authors.create(name="dora").pk == 10
    assert authors.count() == 4


def test_bulk_writes_of_large_rows_are_divided_by_their_size(d1: Any, tables: Any, engine: Engine) -> None:
    tables(Value)
    cells = Value.objects.using(d1.alias)
    made = [Value(text=f"{number}" + 'é"' * 60_000) for number in range(30)]
    cells.bulk_create([*made, Value(text="x" * 1_950_000), Value(blob=b"x" * 400_000)])
    for cell in made:
        cell.text += "!"
    assert cells.bulk_update(made, ["text"]) == 30
    assert cells.filter(text__endswith="!").count() == 30
    assert {len(text) for text in cells.filter(blob=None).values_list("text", flat=True)} == {
        120_002,
        120_003,
        1_950_000,
    }


def test_bulk_writes_of_expressions_are_divided_too(books: Any) -> None:
    made = [Book(id=f"b{number}", pages=number, title=Lower(Value_("ABC"))) for number in range(700)]
    books.bulk_create(made)
    for book in made[:120]:
        book.pages, book.title = F("pages") + 1000, "t"
    assert books.bulk_update(made[:120], ["pages", "title"]) == 120
    assert books.filter(pages__gte=1000, title="t").count() == 120
    assert books.filter(title="abc").count() == 580


def test_a_foreign_key_deferred_and_never_met_is_an_integrity_error(d1: Any, books: Any, block: Any) -> None:
    with (
        pytest.raises(IntegrityError, match=r"^FOREIGN KEY constraint failed$"),
        block(),
        d1.constraint_checks_disabled(),
    ):
        books.create(id="a")
        books.create(id="b", author_id=5)
    assert not books.exists()
