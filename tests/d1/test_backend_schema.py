"""Tables of a D1 database: made, remade, described, emptied, and asked about at a prompt."""

# ruff: noqa: PT012

from __future__ import annotations

import io
import sys
import tracemalloc
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import IntegrityError, NotSupportedError, OperationalError, models

from standins.d1 import Engine
from tests.d1.conftest import ALIAS
from tests.d1.shelf import Author, Book, Value


def schema(rows: Any, table: str) -> str:
    ((sql,),) = rows("SELECT sql FROM sqlite_master WHERE name = %s", [table])
    return str(sql)


def test_the_tables_of_an_editor_are_one_batch(d1: Any, engine: Engine) -> None:
    engine.reset()
    with d1.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    assert engine.counts()["batches"] == 1
    assert d1.introspection.table_names() == ["shelf_author", "shelf_book"]


def test_a_failing_editor_leaves_nothing_and_names_the_statement(d1: Any) -> None:
    with pytest.raises(OperationalError) as failed, d1.schema_editor() as editor:
        editor.create_model(Author)
        editor.execute("CREATE TABLE shelf_author (a)")
    assert failed.value.statement == "CREATE TABLE shelf_author (a)"  # type: ignore[attr-defined]
    assert d1.introspection.table_names() == []


def test_remaking_a_parent_table_keeps_its_children(d1: Any, tables: Any, rows: Any) -> None:
    tables(Author, Book)
    alice = Author.objects.using(d1.alias).create(name="alice")
    Book.objects.using(d1.alias).create(id="b", author=alice)
    field = models.IntegerField(default=7)
    field.set_attributes_from_name("height")
    with d1.schema_editor() as editor:
        editor.add_field(Author, field)
    assert rows("SELECT name, height FROM shelf_author") == [("alice", 7)]
    assert rows("SELECT id, author_id FROM shelf_book") == [("b", alice.pk)]
    assert rows("PRAGMA foreign_key_check") == []
    with pytest.raises(IntegrityError):
        rows("DELETE FROM shelf_author")


def test_remaking_a_table_whose_children_cascade_is_refused(d1: Any, tables: Any, rows: Any) -> None:
    tables(Author)
    rows("CREATE TABLE child (id, author_id REFERENCES shelf_author (id) ON DELETE CASCADE)")
    field = models.IntegerField(default=7)
    field.set_attributes_from_name("height")
    with pytest.raises(NotSupportedError, match="would delete rows of child"), d1.schema_editor() as editor:
        editor.add_field(Author, field)


def test_ddl_is_refused_with_the_name_of_the_right_command(connect: Any, engine: Engine) -> None:
    d1 = connect(migrate_refusal="Use manage.py migrate_database.")
    with pytest.raises(CommandError, match=r"Use manage\.py migrate_database"):
        call_command("migrate", database=ALIAS, verbosity=0)
    assert d1.introspection.table_names() == []


def test_inspectdb_gives_models_that_work(d1: Any, tables: Any, capsys: Any) -> None:
    tables(Author, Book, Value)
    d1.connection.executescript("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT);")
    d1.connection.executescript("CREATE VIEW grown AS SELECT * FROM shelf_author WHERE age > 17;")
    call_command("inspectdb", database=ALIAS)
    source = capsys.readouterr().out
    assert "d1_migrations" not in source
    assert "_cf_" not in source
    module = labelled()
    exec(source.replace("models.Model)", "models.Model, metaclass=Labelled)"), module)
    Author.objects.using(ALIAS).create(name="alice", age=20)
    Value.objects.using(ALIAS).create(document={"a": [1]}, big=2**60)
    found = module["ShelfAuthor"].objects.using(ALIAS).get()
    assert (found.pk, found.name) == (1, "alice")
    value = module["ShelfValue"].objects.using(ALIAS).get()
    assert (value.document, value.big) == ({"a": [1]}, 2**60)
    assert module["ShelfBook"]._meta.get_field("author").remote_field.model is module["ShelfAuthor"]


def test_models_of_keys_that_may_be_null_pass_the_checks_of_django(d1: Any, rows: Any, capsys: Any) -> None:
    rows("CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT)")
    call_command("inspectdb", database=ALIAS)
    module = labelled()
    exec(capsys.readouterr().out.replace("models.Model)", "models.Model, metaclass=Labelled)"), module)
    assert module["Note"].check() == []
    assert module["Note"]._meta.get_field("text").null


def labelled() -> dict[str, Any]:
    """A metaclass that puts the models of a text into an app that is not installed."""

    class Labelled(models.base.ModelBase):
        def __new__(cls, name: str, bases: Any, attributes: Any, **options: Any) -> Any:
            attributes["Meta"].app_label = "inspected"
            return super().__new__(cls, name, bases, {**attributes, "__module__": __name__}, **options)

    return {"Labelled": Labelled}


def test_describing_a_table_costs_one_request(d1: Any, tables: Any, engine: Engine) -> None:
    tables(Value)
    with d1.cursor() as cursor:
        found = {column.name: column for column in d1.introspection.get_table_description(cursor, "shelf_value")}
    # The third is Django's own look for collations.
    assert engine.counts()["requests"] <= 2
    assert found["document"].has_json_constraint
    assert not found["text"].has_json_constraint
    assert found["id"].pk
    assert not found["id"].null_ok
    assert found["big"].type_code == "bigint"


def test_constraints_and_indexes_are_described(d1: Any, tables: Any) -> None:
    tables(Author, Book)
    with d1.cursor() as cursor:
        book = d1.introspection.get_constraints(cursor, "shelf_book")
        author = d1.introspection.get_constraints(cursor, "shelf_author")
    assert book["fk_0"]["foreign_key"] == ("shelf_author", "id")
    assert book["__primary__"]["columns"] == ["id"]
    assert any(found["index"] and found["columns"] == ["author_id"] for found in book.values())
    assert any(found["unique"] and found["columns"] == ["name"] for found in author.values())


def test_a_foreign_key_that_points_nowhere_is_found(d1: Any, rows: Any) -> None:
    rows("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    rows("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))")
    d1.check_constraints()
    rows("INSERT INTO p VALUES (1)")
    rows("INSERT INTO c VALUES (1, 1)")
    d1.check_constraints(["c"])


def test_flush_empties_tables_in_any_order_in_one_batch(d1: Any, tables: Any, engine: Engine, rows: Any) -> None:
    tables(Author, Book)
    alice = Author.objects.using(d1.alias).create(name="alice")
    Book.objects.using(d1.alias).create(id="b", author=alice)
    engine.reset()
    d1.ops.execute_sql_flush(d1.ops.sql_flush(no_style(), ["shelf_author", "shelf_book"], reset_sequences=True))
    assert engine.counts()["requests"] == 1
    assert rows("SELECT count(*) FROM shelf_book") == [(0,)]
    assert Author.objects.using(d1.alias).create(name="bob").pk == 1


def no_style() -> Any:
    from django.core.management.color import no_style

    return no_style()


def test_flush_finds_the_tables_that_refer_to_one(d1: Any, tables: Any) -> None:
    tables(Author, Book)
    sql = d1.ops.sql_flush(no_style(), ["shelf_author"], allow_cascade=True)
    assert sorted(sql) == ['DELETE FROM "shelf_author";', 'DELETE FROM "shelf_book";']


def test_sqlflush_prints_one_batch(d1: Any, tables: Any, capsys: Any) -> None:
    tables(ContentType)
    call_command("sqlflush", database=ALIAS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["PRAGMA defer_foreign_keys = ON;", 'DELETE FROM "django_content_type";']
    assert "COMMIT;" not in lines


def test_dbshell_answers_what_reads_and_nothing_else(d1: Any, capsys: Any, monkeypatch: Any, engine: Engine) -> None:
    engine.reset()
    monkeypatch.setattr(
        sys,
        "stdin",
        io.StringIO("SELECT 1 AS a, NULL AS b, 'x' AS a\n\nDROP TABLE t\nSELECT nonsense\nexit\nSELECT 2\n"),
    )
    with pytest.raises(SystemExit) as end:
        call_command("dbshell", database=ALIAS)
    said = capsys.readouterr()
    assert said.out.splitlines() == ["a|b|a", "1||x"]
    assert said.err.splitlines() == [
        "This prompt only reads. To change data, use the application or a migration.",
        "no such column: nonsense",
    ]
    assert end.value.code == 1
    assert engine.counts()["requests"] == 2


def test_dbshell_takes_statements_as_arguments(d1: Any, capsys: Any) -> None:
    d1.client.runshell(["SELECT 'é' AS e"])
    assert capsys.readouterr().out == "e\né\n"
    with pytest.raises(SystemExit):
        d1.client.runshell(["SELECT", "SELECT 1 AS one"])
    said = capsys.readouterr()
    assert (said.out, said.err) == ("one\n1\n", "incomplete input: each line is one statement\n")


def test_a_test_database_is_emptied_at_the_start(d1: Any, tables: Any, rows: Any) -> None:
    tables(Author, Book)
    rows("CREATE VIEW v AS SELECT * FROM shelf_author")
    Book.objects.using(d1.alias).create(id="b", author=Author.objects.using(d1.alias).create(name="alice"))
    name = d1.creation._create_test_db(0, autoclobber=True)
    assert name == d1.settings_dict["NAME"]
    assert d1.introspection.table_names(include_views=True) == []


def test_a_test_database_elsewhere_is_refused(connect: Any) -> None:
    d1 = connect(api_base="https://api.cloudflare.com/client/v4")
    with pytest.raises(ImproperlyConfigured, match="not on this machine"):
        d1.creation._create_test_db(0, autoclobber=True)
    with pytest.raises(ImproperlyConfigured, match="not on this machine"):
        d1.creation.create_test_db(verbosity=0, autoclobber=True)


LONG = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, '],[\"' || i, NULL FROM n"
)


def test_an_iterator_gives_all_rows_in_pieces_and_in_order(d1: Any, engine: Engine) -> None:
    engine.reset()
    d1.usage.reset()
    with d1.chunked_cursor() as cursor:
        cursor.execute(LONG.format(60_000))
        assert [column[0] for column in cursor.description] == ["i", "'],[\"' || i", "NULL"]
        assert cursor.fetchmany(2) == [(1, '],["1', None), (2, '],["2', None)]
        rest = list(cursor)
    assert [number for number, _, _ in rest] == list(range(3, 60_001))
    assert all(text == f'],["{number}' for number, text, _ in rest)
    assert (engine.counts()["requests"], d1.usage.requests) == (1, 1)
    assert d1.usage.rows_read > 0
    before = d1.connection.client._pool.num_connections
    for _ in range(3):
        with d1.chunked_cursor() as cursor:
            assert list(cursor.execute("SELECT 1")) == [(1,)]
    assert d1.connection.client._pool.num_connections == before


def test_an_iterator_that_is_left_early_leaves_its_connection_usable(d1: Any, tables: Any) -> None:
    with d1.chunked_cursor() as cursor:
        cursor.execute(LONG.format(60_000))
        assert cursor.fetchone()[0] == 1
    with d1.cursor() as cursor:
        assert cursor.execute("SELECT 5").fetchone() == (5,)


def test_an_iterator_is_exact_about_large_integers_or_says_that_it_can_not_be(d1: Any, rows: Any) -> None:
    with d1.chunked_cursor() as cursor:
        cursor.execute("SELECT value, value FROM json_each('[1, 9007199254740993, \"i\"]')")
        assert list(cursor) == [(1, 1), (2**53 + 1, 2**53 + 1), ("i", "i")]
        cursor.execute(LONG.format(60_000).replace("SELECT i, '", "SELECT i, iif(i = 59000, 9007199254740993, 0), '"))
        with pytest.raises(NotSupportedError, match="read without iterator"):
            list(cursor)


def test_an_iterator_over_models_keeps_memory_bounded(d1: Any, tables: Any) -> None:
    tables(Author, Book)
    books = Book.objects.using(d1.alias).order_by("id")
    books.bulk_create([Book(id=f"{number:06}", title="t" * 100) for number in range(12_000)])
    # Twelve thousand rows take hardly more than four: a piece of the answer, and Django's own 2,000 objects.
    assert peak(books, 12_000) < 1.5 * peak(books, 4_000)


def peak(books: Any, count: int) -> int:
    """The most memory, in bytes, that reading so many rows takes."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in books[:count].iterator()) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
