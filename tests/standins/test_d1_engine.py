"""What the real engine does, seen through Cloudflare's paths: types, transactions, limits, refusals."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from standins.d1 import Engine, EngineError

from .conftest import Call


def rows(engine: Engine, sql: str, *params: Any) -> list[list[Any]]:
    answer = engine.api("POST", f"/{engine.database}/raw", {"sql": sql, "params": list(params)})
    return answer[0]["results"]["rows"]


def test_a_batch_that_fails_leaves_nothing_not_even_its_table(engine: Engine) -> None:
    with pytest.raises(EngineError, match="bad JSON path: 'guard:seen'"):
        engine.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "SELECT json_extract('{}', 'guard:seen')")
    assert engine.execute("SELECT name FROM sqlite_master WHERE name = 't'") == [[]]


@pytest.mark.parametrize("path", ["/query", "/raw"])
def test_both_paths_commit_whole_or_not_at_all(call: Call, engine: Engine, path: str) -> None:
    engine.execute("CREATE TABLE t (a INTEGER UNIQUE, b BLOB)")
    insert = {"sql": "INSERT INTO t VALUES (?, ?)", "params": [1, [0, 255]]}
    refused = call("POST", path, {"batch": [{"sql": "DROP TABLE t"}, {"sql": "CREATE TABLE u (a)"}, insert]})
    assert (refused.status, refused.message) == (400, "no such table: t: SQLITE_ERROR")
    done = call("POST", path, {"batch": [insert, {"sql": "SELECT a, b, typeof(b) AS kind FROM t"}]}).body["result"]
    assert [result["meta"]["rows_written"] for result in done] == [2, 0]
    values = done[1]["results"] if path == "/query" else [dict(zip("ab", done[1]["results"]["rows"][0], strict=False))]
    assert (values[0]["a"], values[0]["b"]) == (1, [0, 255])
    again = call("POST", path, {"batch": [{"sql": "DELETE FROM t"}, insert, insert]})
    assert "SQLITE_CONSTRAINT_UNIQUE" in again.message
    assert engine.execute("SELECT count(*) FROM t", "SELECT name FROM sqlite_master WHERE name = 'u'") == [[[1]], []]


def test_a_number_of_json_is_bound_as_a_real_and_an_integer_column_repairs_it(engine: Engine) -> None:
    assert rows(engine, "SELECT typeof(?), 'x' || ?, typeof(CAST(? AS INTEGER))", 5, 5, 5) == [
        ["real", "x5.0", "integer"]
    ]
    engine.execute("CREATE TABLE t (i INTEGER, t TEXT)")
    rows(engine, "INSERT INTO t VALUES (?, ?)", 5, 5)
    assert rows(engine, "SELECT typeof(i), t FROM t") == [["integer", "5.0"]]


def test_an_integer_over_2_to_the_53_survives_only_as_text(engine: Engine) -> None:
    large = 2**63 - 1
    engine.execute("CREATE TABLE t (i INTEGER)")
    rows(engine, "INSERT INTO t VALUES (?)", str(large))
    [[number, text]] = rows(engine, "SELECT i, CAST(i AS TEXT) FROM t")
    assert (number, text) == (9223372036854776000, str(large))


def test_booleans_are_numbers_and_blobs_travel_as_arrays(engine: Engine) -> None:
    assert rows(engine, "SELECT ?, ?, typeof(?), ?", True, False, [0, 255], [0, 255]) == [[1, 0, "blob", [0, 255]]]


@pytest.mark.parametrize("text", ["", "naïve ☃ 𝄞", "a\0b", "line\r\nline", "quote ' and \" and \\"])
def test_text_comes_back_as_it_was_sent(engine: Engine, text: str) -> None:
    assert rows(engine, "SELECT ?", text) == [[text]]


def test_columns_of_one_name_stay_apart(engine: Engine) -> None:
    answer = engine.api("POST", f"/{engine.database}/raw", {"sql": "SELECT 1 AS a, 2 AS a WHERE 0"})
    assert answer[0]["results"] == {"columns": ["a", "a"], "rows": []}


def test_one_json_parameter_writes_many_rows(engine: Engine) -> None:
    engine.execute("CREATE TABLE t (a INTEGER, b TEXT)")
    rows(engine, "INSERT INTO t SELECT value ->> 0, value ->> 1 FROM json_each(?)", str([[n, 5] for n in range(4000)]))
    assert rows(engine, "SELECT count(*), sum(a), typeof(a), typeof(b) FROM t") == [[4000, 7998000, "integer", "text"]]
    assert engine.counts()["rows_written"] >= 4000


def test_a_deferred_foreign_key_is_checked_at_the_end_of_the_batch(engine: Engine) -> None:
    engine.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p INTEGER REFERENCES p)")
    engine.execute("PRAGMA defer_foreign_keys = ON", "INSERT INTO c VALUES (1)", "INSERT INTO p VALUES (1)")
    with pytest.raises(EngineError, match=r"FOREIGN KEY constraint failed.*SQLITE_CONSTRAINT_FOREIGNKEY"):
        engine.execute("INSERT INTO c VALUES (2)", "INSERT INTO p VALUES (2)")
    with pytest.raises(EngineError, match=r"400.*FOREIGN KEY constraint failed"):
        engine.execute("PRAGMA defer_foreign_keys = ON", "INSERT INTO c VALUES (2)")
    assert engine.execute("SELECT * FROM c") == [[[1]]]


def test_deferring_does_not_spare_the_children_of_a_rebuilt_parent(engine: Engine) -> None:
    engine.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO c VALUES (1)",
    )
    rebuild = ("CREATE TABLE new (id INTEGER PRIMARY KEY)", "INSERT INTO new SELECT * FROM p", "DROP TABLE p")
    engine.execute("PRAGMA defer_foreign_keys = ON", *rebuild, "ALTER TABLE new RENAME TO p")
    assert engine.execute("SELECT * FROM c") == [[]]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT " + ", ".join("?" * 101), "too many SQL variables"),
        ("SELECT " + ", ".join(["1"] * 101), "too many columns in result set"),
        (f"SELECT '{'a' * 100_000}'", "statement too long"),
        (f"SELECT 'a' LIKE '{'a' * 51}'", "pattern too complex"),
        ("SELECT 1 WHERE " + " OR ".join(["1 = 1"] * 100), "Expression tree is too large"),
        (" UNION ALL ".join(["SELECT 1"] * 6), "too many terms in compound SELECT"),
        ("CREATE TABLE w (" + ", ".join(f"c{n}" for n in range(101)) + ")", "too many columns on w"),
        ("SELECT ? || ?", "Wrong number of parameter bindings"),
        ("BEGIN", "use the batch API"),
        ("COMMIT", "use the batch API"),
        ("SAVEPOINT s", "use the batch API"),
        ("VACUUM", "cannot VACUUM"),
        ("ATTACH 'other' AS other", "not authorized"),
        ("CREATE TEMP TABLE t (a)", "not authorized"),
        ("SELECT power(2, 3)", "not authorized to use function"),
        ("SELECT sqlite_version()", "not authorized to use function"),
        ("SELECT 'a' REGEXP 'a'", "no such function"),
        ("PRAGMA integrity_check", "not authorized"),
        ("PRAGMA user_version", "not authorized"),
        ("SELECT * FROM _cf_METADATA", "is prohibited"),
        ("-- a comment alone", "No SQL statements detected"),
        ("SELEKT 1", 'near "SELEKT": syntax error'),
    ],
)
def test_what_the_hosted_engine_refuses_is_refused(engine: Engine, sql: str, message: str) -> None:
    params = ["a"] * sql.count("?") if sql.count("?") > 2 else []
    with pytest.raises(EngineError, match="400") as refusal:
        rows(engine, sql, *params)
    assert message in str(refusal.value).replace('\\"', '"')


def test_a_string_over_two_million_bytes_is_refused_though_the_local_engine_would_take_it(engine: Engine) -> None:
    assert rows(engine, "SELECT length(?)", "a" * 2_000_000) == [[2_000_000]]
    with pytest.raises(EngineError, match="string or blob too big"):
        rows(engine, "SELECT length(?)", "é" * 1_000_001)


def test_several_statements_in_one_text_are_a_batch(engine: Engine) -> None:
    trigger = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN 1 THEN 'a;b' END; SELECT 1; END"
    engine.execute(f"CREATE TABLE t (a); -- one; two\r\n{trigger};\nINSERT INTO t VALUES ('x') /* ; */;")
    assert engine.execute("SELECT a FROM t; SELECT 2") == [[["a;b"]], [[2]]]
    with pytest.raises(EngineError, match="UNIQUE"):
        engine.execute("INSERT INTO t VALUES ('lost'); CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES (1), (1)")
    assert engine.execute("SELECT count(*) FROM t") == [[[1]]]


def test_databases_are_apart_and_their_places_are_used_again(engine: Engine) -> None:
    other = engine.create_database("other")
    engine.execute("CREATE TABLE t (a)", database=other)
    assert engine.execute("SELECT count(*) FROM sqlite_master WHERE name = 't'") == [[[0]]]
    engine.drop_database(other)
    assert engine.create_database("another") == other
    assert engine.api("GET", f"/{other}")["num_tables"] == 0
    engine.drop_database(other)


def test_emptying_drops_tables_that_point_at_each_other_views_and_full_text(engine: Engine) -> None:
    engine.execute(
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, b REFERENCES b)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a)",
        'CREATE VIEW "v w" AS SELECT * FROM a',
        "CREATE VIRTUAL TABLE f USING fts5(t)",
        "INSERT INTO a VALUES (1, NULL)",
        "INSERT INTO b VALUES (1, 1)",
        "UPDATE a SET b = 1",
    )
    engine.empty_database()
    left = "SELECT name FROM sqlite_master WHERE name IN ('a', 'b', 'v w') OR name LIKE 'f%'"
    assert engine.execute(left) == [[]]


def test_the_state_file_is_a_sqlite_file_that_others_can_read(engine: Engine) -> None:
    engine.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES ('here')")
    with closing(sqlite3.connect(f"file:{engine.state_file()}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [("here",)]
