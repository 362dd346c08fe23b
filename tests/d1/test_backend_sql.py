"""Statements as they reach D1, and rows as they come back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DataError, IntegrityError, NotSupportedError, OperationalError, ProgrammingError

from d1 import sqltext
from d1.statement import render


def test_rows_come_in_the_order_of_the_statement(rows: Any) -> None:
    assert rows("SELECT value FROM json_each('[3,1,2]')") == [(3,), (1,), (2,)]
    assert rows("SELECT value FROM json_each('[3,1,2]') ORDER BY value DESC") == [(3,), (2,), (1,)]


def test_columns_of_one_name_are_both_there(d1: Any) -> None:
    with d1.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, 2 AS a")
        assert [column[0] for column in cursor.description] == ["a", "a"]
        assert cursor.fetchall() == [(1, 2)]


def test_an_empty_result_has_its_columns(d1: Any) -> None:
    with d1.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, 'x' AS b WHERE 0")
        assert [column[0] for column in cursor.description] == ["a", "b"]
        assert cursor.fetchone() is None


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_fetching_by_pieces_loses_no_row(d1: Any, size: int) -> None:
    with d1.cursor() as cursor:
        cursor.execute("SELECT value FROM json_each('[1,2,3,4,5,6,7]')")
        found = []
        while piece := cursor.fetchmany(size):
            found += [value for (value,) in piece]
    assert found == [1, 2, 3, 4, 5, 6, 7]


def test_a_placeholder_in_a_literal_a_name_or_a_comment_is_none(rows: Any) -> None:
    assert rows("""SELECT '%s', "a%%s", %s /* %s */ FROM (SELECT 1 AS "a%%s") -- %s""", [5]) == [("%s", 1, 5)]
    assert rows("SELECT '100%%', '%%', 'it''s %s', %s", ["x"]) == [("100%", "%", "it's %s", "x")]


def test_without_parameters_a_percent_sign_is_a_percent_sign(rows: Any) -> None:
    assert rows("SELECT '%%s', '%s', 5 % 3") == [("%%s", "%s", 2)]


def test_parameters_may_have_names(rows: Any) -> None:
    assert rows("SELECT %(b)s, %(a)s, %(b)s", {"a": 1, "b": "two"}) == [("two", 1, "two")]


def test_a_wrong_number_of_parameters_is_told_before_anything_is_sent(d1: Any, rows: Any) -> None:
    with pytest.raises(ProgrammingError, match="uses 2, and there are 1"):
        rows("SELECT %s, %s", [1])
    assert d1.usage.requests == 0


def test_a_parameter_of_a_strange_kind_is_refused(rows: Any) -> None:
    with pytest.raises(ProgrammingError, match="'set' is not supported"):
        rows("SELECT %s", [{1}])


def arrays(count: int) -> str:
    """SQL for a JSON array of arrays of 50 parameters each; a function takes 100 arguments at the most."""
    return "SELECT json_array(" + ",".join([f"json_array({','.join(['%s'] * 50)})"] * (count // 50)) + ")"


def test_two_hundred_and_fifty_parameters_arrive_in_order(rows: Any) -> None:
    texts = [f"text {number} ' \" \\ é" for number in range(250)]
    ((found,),) = rows(arrays(250), texts)
    assert [value for part in json.loads(found) for value in part] == texts


def test_surplus_texts_make_room_for_floats(rows: Any) -> None:
    params: list[Any] = []
    for number in range(60):
        params += [f"t{number}", number + 0.5, number]
    ((found,),) = rows(arrays(150), params[:150])
    assert [value for part in json.loads(found) for value in part] == params[:150]
    with pytest.raises(NotSupportedError, match="100 parameters"):
        rows(arrays(150), [number + 0.5 for number in range(150)])


def test_an_integer_parameter_stays_an_integer(rows: Any) -> None:
    assert rows("SELECT typeof(%s), 'x' || %s, %s / %s, json_array(%s)", [5, 5, 7, 2, 5]) == [
        ("integer", "x5", 3, "[5]")
    ]
    assert rows("SELECT 1 -%s, 3-%s", [-1, -(2**63) + 5]) == [(2, 2**63 - 2)]


def test_an_integer_in_order_by_is_no_column(rows: Any) -> None:
    assert rows("SELECT value FROM json_each('[2,1]') ORDER BY %s", [1]) == [(2,), (1,)]
    assert rows("SELECT count(*) FROM json_each('[2,1]') GROUP BY %s", [2]) == [(2,)]


def test_an_integer_beyond_64_bits_is_an_overflow_as_in_sqlite3(rows: Any) -> None:
    with pytest.raises(OverflowError):
        rows("SELECT %s", [2**63])


def test_two_statements_in_one_string_are_refused(rows: Any) -> None:
    with pytest.raises(ProgrammingError, match="one statement at a time"):
        rows("SELECT 1; SELECT 2")
    assert rows("SELECT ';' ; -- the end") == [(";",)]


def test_a_trigger_is_one_statement(d1: Any, rows: Any) -> None:
    with d1.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a, b)")
        cursor.execute(
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = CASE WHEN a > 1 THEN 'x' ELSE 'y' END; END;"
        )
        cursor.execute("INSERT INTO t (a) VALUES (2)")
    assert rows("SELECT a, b FROM t") == [(2, "x")]


def test_a_script_is_split_as_sqlite_does_and_is_one_transaction(d1: Any, rows: Any) -> None:
    script = """-- a comment; with a semicolon
    CREATE TABLE t (a, b);\r
    CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = CASE WHEN a THEN 'x' END; SELECT ';'; END;
    INSERT INTO t (a) VALUES (1); -- the end
    """
    assert len(sqltext.split(script)) == 3
    d1.ensure_connection()
    d1.connection.executescript(script)
    assert rows("SELECT a, b FROM t") == [(1, "x")]
    with pytest.raises(Exception, match="no such table"):
        d1.connection.executescript("INSERT INTO t (a) VALUES (2); INSERT INTO nowhere VALUES (1);")
    assert rows("SELECT count(*) FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "kind", "text"),
    [
        ("SELECT * FROM nowhere", OperationalError, "no such table: nowhere$"),
        ("SELEC 1", OperationalError, 'near "SELEC": syntax error$'),
        ("INSERT INTO t VALUES (1), (1)", IntegrityError, "UNIQUE constraint failed: t.a$"),
        ("INSERT INTO t VALUES (NULL)", IntegrityError, "NOT NULL constraint failed: t.a$"),
        ("SELECT regexp('a', 'b')", NotSupportedError, "no such function: regexp: .*in Python"),
        ("SELECT power(2, 3)", NotSupportedError, "not authorized to use function: power: .*in Python"),
        ("BEGIN", NotSupportedError, "atomic"),
        ("SELECT 'x' LIKE '" + "a" * 60 + "'", NotSupportedError, "50 bytes"),
        ("SELECT " + "1" + "+1" * 150, NotSupportedError, "100 deep"),
        ("SELECT 1" + " UNION SELECT 2" * 5, NotSupportedError, "5 terms"),
        ("SELECT " + ",".join(["1"] * 101), NotSupportedError, "100 columns"),
        ("SELECT '" + "a" * 100_000 + "'", NotSupportedError, "100,009 bytes"),
        ("SELECT '\ud800'", DataError, "surrogates"),
    ],
)
def test_an_error_is_of_the_kind_that_sqlite3_raises_or_tells_the_way_out(
    rows: Any, sql: str, kind: type[Exception], text: str
) -> None:
    rows("CREATE TABLE t (a INTEGER NOT NULL UNIQUE)")
    with pytest.raises(kind, match=text):
        rows(sql)


def test_infinity_is_refused_because_it_would_come_back_as_null(rows: Any) -> None:
    with pytest.raises(NotSupportedError, match="infinity"):
        rows("SELECT %s", [float("inf")])
    assert rows("SELECT %s", [float("nan")]) == [(None,)]


def test_executemany_is_one_batch(d1: Any, rows: Any, engine: Any) -> None:
    rows("CREATE TABLE t (a UNIQUE)")
    engine.reset()
    with d1.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s)", [[number] for number in range(20)])
        assert cursor.rowcount == 20
        with pytest.raises(IntegrityError):
            cursor.executemany("INSERT INTO t VALUES (%s)", [[100], [5]])
    assert engine.counts()["requests"] == 2
    assert rows("SELECT count(*) FROM t") == [(20,)]


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("  select 1", True),
        ("/* INSERT */ SELECT 'DELETE'", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", False),
        ('WITH "delete" AS (SELECT 1) SELECT * FROM "delete"', True),
        ("VALUES (1)", True),
        ("EXPLAIN QUERY PLAN DELETE FROM t", True),
        ("PRAGMA table_info(t)", True),
        ("PRAGMA foreign_keys", True),
        ("PRAGMA foreign_keys = OFF", False),
        ("PRAGMA foreign_keys(0);", False),
        ("PRAGMA", False),
        ("PRAGMA defer_foreign_keys = ON", False),
        ("REPLACE INTO t VALUES (1)", False),
        ("CREATE TABLE t (a)", False),
    ],
)
def test_it_knows_what_reads_and_what_writes(sql: str, reads: bool) -> None:
    assert sqltext.is_read(sql) is reads


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('INSERT OR IGNORE INTO "T" (a) SELECT a FROM u', {"t"}),
        ("UPDATE OR REPLACE main.t SET a = 1", {"t"}),
        ("DELETE FROM `t` WHERE a IN (SELECT a FROM u)", {"t"}),
        ("CREATE TABLE IF NOT EXISTS t (a REFERENCES u (b))", {"t"}),
        ('CREATE UNIQUE INDEX i ON "t" ("a")', {"t"}),
        ('ALTER TABLE "t" RENAME TO "v"', {"t", "v"}),
        ("DROP TABLE t", {"t"}),
        ("WITH a AS (SELECT 1) DELETE FROM t", {"t"}),
    ],
)
def test_it_knows_which_table_a_statement_writes(sql: str, tables: set[str]) -> None:
    assert sqltext.written_tables(sql) == tables


def test_it_knows_which_names_may_be_tables() -> None:
    sql = 'SELECT "a"."b" AS "c" FROM main."D" JOIN e AS f ON (f.g = \'h\')'
    assert {"a", "d", "e"} <= sqltext.named(sql)
    assert not {"b", "c", "g", "h"} & sqltext.named(sql)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM 'x_a'", {"x_a"}),
        ("SELECT * FROM main.'x_a' a, 'x_b' b JOIN 'x_c' ON 1, 'x_d'", {"x_a", "x_b", "x_c", "x_d"}),
        ("SELECT 1 WHERE 1 IN 'x_a'", {"x_a"}),
        ("SELECT * FROM ('x_a')", {"x_a"}),
        ("SELECT 'x_a', 'x_b' FROM t WHERE a IN ('x_c', 'x_d') AND b = 'x_e' AND c IS DISTINCT FROM 'x_f'", set()),
        ("SELECT * FROM f('x_a')", set()),
        ("INSERT INTO 'x_a' SELECT 'x_b', 'x_c' FROM 'x''d'", {"x_a", "x'd"}),
    ],
)
def test_it_knows_a_table_in_single_quotes(sql: str, tables: set[str]) -> None:
    assert {name for name in sqltext.named(sql) if name.startswith("x")} == tables


def test_it_knows_which_table_in_single_quotes_is_written() -> None:
    assert sqltext.written_tables("UPDATE 'x_a' SET b = 'c'") == {"x_a"}
    assert sqltext.written_tables("DELETE FROM 'x_a'") == {"x_a"}
    assert sqltext.written_tables("DROP TABLE IF EXISTS 'x_a'") == {"x_a"}


def test_it_knows_which_columns_an_update_sets() -> None:
    sql = 'UPDATE "t" SET "a" = "t"."b" + %s, c = (SELECT d FROM u WHERE e) WHERE "f" = 1'
    assert sqltext.set_names(sql) == {"a", "c", "select", "d", "from", "u", "where", "e"}


def test_a_statement_of_text_parameters_alone_repeats_none() -> None:
    assert render("SELECT %s, %s, %s", ["a", "b", "a"]) == ("SELECT ?1, ?2, ?1", ["a", "b"])
