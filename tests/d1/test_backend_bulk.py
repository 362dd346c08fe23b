"""Many rows in few requests."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.db.models import Value as Value_
from django.db.models.functions import Lower

from standins.d1 import Engine
from tests.d1.shelf import Book, Value


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
