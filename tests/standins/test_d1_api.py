"""Cloudflare's envelope, tokens and codes; the counts; and each fault: does it do what its name says?"""

import pytest
import urllib3

from standins.d1 import Engine, EngineError

from .conftest import Call

INSERT = {"sql": "INSERT INTO t VALUES (1)"}
COUNT = {"sql": "SELECT count(*) FROM t"}


@pytest.fixture
def table(engine: Engine) -> Engine:
    engine.execute("CREATE TABLE t (a INTEGER)")
    engine.reset()
    return engine


def test_an_answer_has_the_envelope_and_the_meta_of_cloudflare(call: Call) -> None:
    answer = call("POST", "/query", {"sql": "SELECT 1 AS a"})
    assert (answer.status, answer.body["success"], answer.body["errors"], answer.body["messages"]) == (
        200,
        True,
        [],
        [],
    )
    [result] = answer.body["result"]
    assert (result["success"], result["results"]) == (True, [{"a": 1}])
    meta = {"changes", "last_row_id", "rows_read", "rows_written", "duration", "size_after", "served_by_region"}
    assert meta <= result["meta"].keys()


def test_a_value_that_looks_like_a_meta_passes_unharmed(call: Call) -> None:
    text = '"meta":{"served_by":"x"}'
    assert call("POST", "/raw", {"sql": "SELECT ?", "params": [text]}).rows == [[text]]


def test_bad_sql_is_400_with_code_7500_and_the_text_of_sqlite(call: Call) -> None:
    answer = call("POST", "/raw", {"sql": "SELECT missing"})
    assert (answer.status, answer.body["success"], answer.body["result"]) == (400, False, None)
    assert answer.body["errors"] == [{"code": 7500, "message": "no such column: missing at offset 7: SQLITE_ERROR"}]


def test_a_constraint_says_its_kind(call: Call, engine: Engine) -> None:
    engine.execute("CREATE TABLE u (a UNIQUE)")
    answer = call("POST", "/raw", {"sql": "INSERT INTO u VALUES (1), (1)"})
    kind = "SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"
    assert answer.message == f"UNIQUE constraint failed: u.a: {kind}"


@pytest.mark.parametrize("body", [b"not json", b'{"sql": 5}', b"{}", b'{"sql": "SELECT ?", "params": [{}]}', b"[1]"])
def test_a_malformed_body_is_400(call: Call, body: bytes) -> None:
    assert call("POST", "/raw", body).status == 400


def test_the_token_decides(call: Call, table: Engine) -> None:
    assert call("POST", "/raw", COUNT, token="nobody's").status == 401
    assert call("POST", "/raw", COUNT, token=table.expired_token).body["errors"][0]["code"] == 10000
    assert call("POST", "/raw", COUNT, token=table.read_token).rows == [[0]]


@pytest.mark.parametrize(
    ("sql", "status"),
    [
        ("INSERT INTO t VALUES (1)", 403),
        ("/* SELECT */ DELETE FROM t", 403),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", 403),
        ("SELECT 1; DROP TABLE t", 403),
        ("WITH x AS (SELECT 1) REPLACE INTO t SELECT * FROM x", 403),
        ("CREATE TABLE u (a)", 403),
        ("PRAGMA optimize", 403),
        ("WITH x AS (SELECT 'INSERT' AS a) SELECT * FROM x", 200),
        ("WITH x AS (SELECT replace('INSERT', 'I', 'O') AS a) SELECT * FROM x", 200),
        ("EXPLAIN QUERY PLAN SELECT * FROM t", 200),
        ("VALUES (1)", 200),
        ("PRAGMA table_info(t)", 200),
    ],
)
def test_a_token_to_read_does_not_write(call: Call, table: Engine, sql: str, status: int) -> None:
    assert call("POST", "/raw", {"sql": sql}, token=table.read_token).status == status


def test_an_unknown_database_is_404_with_code_7404_and_another_account_403(call: Call, engine: Engine) -> None:
    base = f"{engine.base}/accounts/{engine.account}/d1/database"
    answer = call("POST", f"{base}/00000000-0000-4000-8000-000000000000/raw", COUNT)
    assert (answer.status, answer.body["errors"][0]["code"]) == (404, 7404)
    assert call("GET", f"{engine.base}/accounts/{'f' * 32}/d1/database/{engine.database}").status == 403
    assert call("POST", "/nonsense").status == 404


def test_the_database_describes_itself(call: Call, table: Engine) -> None:
    answer = call("GET", "", token=table.read_token).body["result"]
    assert (answer["uuid"], answer["name"], answer["num_tables"]) == (table.database, "omnichat", 1)
    assert answer["file_size"] > 0


def test_a_name_is_given_once(engine: Engine) -> None:
    with pytest.raises(EngineError, match="exists already"):
        engine.create_database("omnichat")


def test_it_counts_requests_statements_and_rows(call: Call, table: Engine) -> None:
    call("POST", "/raw", {"batch": [{"sql": "INSERT INTO t VALUES (1), (2)"}, {"sql": "SELECT * FROM t"}]})
    call("POST", "/raw", {"sql": "nonsense"})
    call("GET", "")
    counts = table.counts()
    assert counts["paths"] == {"/raw": 2, "/ID": 1}
    expected = {
        "requests": 3,
        "statements": 3,
        "batches": 1,
        "writes": 2,
        "errors": 1,
        "rows_read": 2,
        "rows_written": 2,
    }
    assert {name: counts[name] for name in expected} == expected
    assert [entry["sql"] for entry in table.log()][-1] == ["nonsense"]
    table.reset()
    assert (table.counts()["requests"], table.log()) == (0, [])


@pytest.mark.parametrize(
    ("fault", "status", "message", "committed"),
    [
        ("error_before", 500, "An internal error occurred", 0),
        ("error_after", 500, "An internal error occurred", 1),
        ("network_lost_before", 500, "Network connection lost", 0),
        ("network_lost_after", 500, "Network connection lost", 1),
        ("rate_limit", 429, "throttling", 0),
        ("overload", 429, "D1 DB is overloaded", 0),
        ("storage_reset", 500, "caused object to be reset", 0),
        ("transient", 500, "Cannot resolve D1 DB due to transient issue", 0),
        ("exporting", 500, "Currently processing a long-running export", 0),
        ("expired_token", 401, "Authentication error", 0),
        ("latency; ms=1", 200, None, 1),
    ],
)
def test_a_fault_answers_as_named_and_commits_as_named(
    call: Call, table: Engine, fault: str, status: int, message: str | None, committed: int
) -> None:
    answer = call("POST", "/raw", INSERT, fault=fault)
    assert answer.status == status
    assert message is None or message in answer.message
    assert call("POST", "/raw", COUNT).rows == [[committed]]


@pytest.mark.parametrize(("fault", "committed"), [("cut_before", 0), ("cut_after", 1), ("cut_midway", 1)])
def test_a_cut_connection_gives_no_answer_and_commits_as_named(
    call: Call, table: Engine, fault: str, committed: int
) -> None:
    with pytest.raises(urllib3.exceptions.ProtocolError):
        call("POST", "/raw", INSERT, fault=fault)
    assert call("POST", "/raw", COUNT).rows == [[committed]]


@pytest.mark.parametrize(("fault", "committed"), [("hang_before", 0), ("hang_after", 1)])
def test_a_hanging_request_times_out_and_commits_as_named(
    call: Call, table: Engine, fault: str, committed: int
) -> None:
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        call("POST", "/raw", INSERT, fault=fault, timeout=2)
    assert call("POST", "/raw", COUNT).rows == [[committed]]


def test_a_lost_answer_is_lost_for_a_refusal_too(call: Call, table: Engine) -> None:
    assert call("POST", "/raw", {"sql": "nonsense"}, fault="error_after").status == 500


def test_a_rule_strikes_as_often_as_told_and_only_what_it_matches(call: Call, table: Engine) -> None:
    table.fault("rate_limit", count=1, skip=1, match="INSERT", retry_after=7)
    answers = [call("POST", "/raw", body) for body in (COUNT, INSERT, INSERT, INSERT)]
    assert [answer.status for answer in answers] == [200, 200, 429, 200]
    assert answers[2].headers["retry-after"] == "7"
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert table.counts()["faults"] == 1


def test_a_rule_with_probability_strikes_some(call: Call, table: Engine) -> None:
    table.fault("overload", probability=0.5)
    assert {call("POST", "/raw", COUNT).status for _ in range(60)} == {200, 429}
    table.clear_faults()
    assert call("POST", "/raw", COUNT).status == 200


def test_an_unknown_fault_is_refused_with_the_names_there_are(call: Call, engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"No fault nonsense\. There are: latency, rate_limit"):
        engine.fault("nonsense")
    assert call("POST", "/raw", COUNT, fault="nonsense").status == 400


def test_the_rate_limit_is_seen_coming_and_then_bans(call: Call, table: Engine) -> None:
    table.limit_rate(1200, used=1198, ban=60)
    bodies = (COUNT, {"sql": "nonsense"})
    remaining = [call("POST", "/raw", body).headers["x-ratelimit-remaining"] for body in bodies]
    answer = call("POST", "/raw", COUNT, token=table.read_token)
    assert (remaining, answer.status, answer.headers["retry-after"]) == (["1", "0"], 429, "60")
    table.reset()
    assert "x-ratelimit-remaining" not in call("POST", "/raw", COUNT).headers
