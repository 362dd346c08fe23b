"""What is sent again and what is not, when the API is slow, full, or answers no more."""

# What is raised comes from the end of the block, so the whole block stands under pytest.raises().
# ruff: noqa: PT012

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, transaction

from d1 import GuardFailed, OutcomeUnknown, RateLimited
from d1.api import Client, Endpoint, client_for
from d1.failures import IntegrityError as Broken
from d1.failures import OperationalError as DriverError
from d1.rate import Budget, background
from d1.statement import Statement
from standins.d1 import Engine

PASSING = [
    "error_before",
    "error_after",
    "cut_before",
    "cut_after",
    "network_lost_before",
    "network_lost_after",
    "storage_reset",
    "overload",
    "transient",
    "exporting",
]
LOST = ["error_after", "cut_after", "network_lost_after"]
MAY_HAVE_RUN = ["error_before", "cut_before", "network_lost_before", "storage_reset"]
NOT_RUN = ["overload", "transient", "exporting"]


@pytest.fixture
def table(rows: Any, engine: Engine) -> Any:
    rows("CREATE TABLE t (a)")
    engine.reset()
    return lambda: [value for (value,) in rows("SELECT a FROM t ORDER BY a")]


@pytest.mark.parametrize("fault", PASSING)
def test_a_read_is_sent_again(rows: Any, table: Any, engine: Engine, fault: str) -> None:
    engine.fault(fault, count=2)
    assert rows("SELECT 5") == [(5,)]
    assert engine.counts()["requests"] == 3


@pytest.mark.parametrize("fault", LOST)
def test_a_write_whose_answer_was_lost_is_not_sent_again(rows: Any, table: Any, engine: Engine, fault: str) -> None:
    engine.fault(fault, count=1)
    with pytest.raises(OutcomeUnknown, match=r"outcome is unknown.*Read the rows"):
        rows("INSERT INTO t VALUES (1)")
    assert engine.counts()["requests"] == 1
    assert table() == [1]


@pytest.mark.parametrize("fault", MAY_HAVE_RUN)
def test_a_write_that_may_have_run_is_not_sent_again(rows: Any, table: Any, engine: Engine, fault: str) -> None:
    engine.fault(fault, count=1)
    with pytest.raises(OutcomeUnknown):
        rows("INSERT INTO t VALUES (1)")
    assert table() == []


@pytest.mark.parametrize("fault", NOT_RUN)
def test_a_write_that_surely_did_not_run_is_sent_again_and_is_one_row(
    rows: Any, table: Any, engine: Engine, fault: str
) -> None:
    engine.fault(fault, count=2)
    rows("INSERT INTO t VALUES (1)")
    assert table() == [1]


def test_a_lost_answer_to_a_batch_passes_through_atomic_as_itself(
    d1: Any, rows: Any, table: Any, engine: Engine
) -> None:
    engine.fault("cut_after", count=1)
    with pytest.raises(OutcomeUnknown) as lost, transaction.atomic(using=d1.alias):
        rows("INSERT INTO t VALUES (1)")
    assert isinstance(lost.value, OperationalError)
    assert table() == [1]


def test_an_error_of_the_statement_is_not_sent_again(rows: Any, table: Any, engine: Engine) -> None:
    rows("CREATE TABLE u (a UNIQUE)")
    engine.reset()
    with pytest.raises(IntegrityError):
        rows("INSERT INTO u VALUES (1), (1)")
    assert engine.counts()["requests"] == 1


def test_reads_give_up_in_the_end(rows: Any, engine: Engine) -> None:
    engine.fault("error_before")
    with pytest.raises(OperationalError, match="500"):
        rows("SELECT 1")
    assert engine.counts()["requests"] == 4


@pytest.mark.parametrize("sql", ["SELECT 1", "CREATE TABLE u (a)"])
def test_a_rate_limit_names_the_time_to_wait(rows: Any, d1: Any, engine: Engine, sql: str) -> None:
    engine.fault("rate_limit", retry_after=240)
    with pytest.raises(RateLimited, match="240 seconds") as limited:
        rows(sql)
    assert limited.value.retry_after == 240
    assert engine.counts()["requests"] == 1


def test_a_short_rate_limit_is_sat_out(rows: Any, engine: Engine) -> None:
    engine.fault("rate_limit", retry_after=1, count=1)
    rows("CREATE TABLE u (a)")
    assert engine.counts()["requests"] == 2


def test_a_read_that_hangs_is_given_up_and_sent_again(connect: Any, engine: Engine) -> None:
    d1 = connect(timeout=2)
    engine.fault("hang_before", count=1)
    with d1.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_a_write_that_hangs_has_an_unknown_outcome(connect: Any, engine: Engine) -> None:
    d1 = connect(timeout=2)
    engine.fault("hang_after", count=1)
    with pytest.raises(OutcomeUnknown, match=r"did not answer within 2 seconds"), d1.cursor() as cursor:
        cursor.execute("CREATE TABLE u (a)")
    assert "u" in d1.introspection.table_names()


def test_no_connection_is_no_unknown_outcome(engine: Engine) -> None:
    waits: list[float] = []
    endpoint = Endpoint("a", "d", "t", api_base="http://127.0.0.1:9/client/v4", attempts=3)
    client = Client(endpoint, sleep=waits.append)
    with pytest.raises(DriverError, match="No connection to D1"):
        client.write([Statement("DELETE FROM t", [])])
    assert len(waits) == 2
    assert all(0 <= wait <= 0.8 for wait in waits)


def test_a_wrong_token_is_told_with_what_it_needs(settings_of: Any, connect: Any, engine: Engine, rows: Any) -> None:
    engine.fault("expired_token")
    with pytest.raises(OperationalError, match=r"refused the API token .*D1 Edit"):
        rows("SELECT 1")
    assert engine.counts()["requests"] == 1


def test_an_unknown_database_is_told(connect: Any, engine: Engine) -> None:
    d1 = connect()
    d1.settings_dict["NAME"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(OperationalError, match="no such D1 database"), d1.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_reads_go_with_the_reading_token_and_writes_with_the_other(connect: Any, engine: Engine) -> None:
    d1 = connect(read_token=engine.expired_token)
    with d1.cursor() as cursor:
        cursor.execute("CREATE TABLE u (a)")
        with pytest.raises(OperationalError, match="refused"):
            cursor.execute("SELECT 1")
    with connect(read_token="").cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_settings_that_are_missing_or_unknown_are_named(connect: Any) -> None:
    d1 = connect(time_out=5)
    with pytest.raises(ImproperlyConfigured, match="unknown keys: time_out"):
        d1.ensure_connection()
    d1 = connect()
    d1.settings_dict["PASSWORD"] = ""
    with pytest.raises(ImproperlyConfigured, match="API token"):
        d1.ensure_connection()


@pytest.mark.parametrize("token", ["secret\nsecret", "secret\u20ac"])
@pytest.mark.parametrize("option", ["read_token", None])
def test_a_token_is_in_no_error_and_no_repr(connect: Any, engine: Engine, token: str, option: str | None) -> None:
    d1 = connect(**({option: token} if option else {}))
    assert engine.token not in repr(d1.endpoint)
    assert engine.read_token not in repr(d1.endpoint)
    if not option:
        d1.settings_dict["PASSWORD"] = token
    with pytest.raises(OperationalError, match="characters that none has") as refused:
        d1.ensure_connection()
    assert "secret" not in str(refused.value)


def test_connections_are_kept_alive_and_shared_by_threads(connect: Any, settings_of: Any, engine: Engine) -> None:
    endpoint = connect(pool_size=3).endpoint
    client = Client(endpoint)
    found: list[Any] = []

    def read(number: int) -> None:
        found.append(client.read([Statement("SELECT ?1", [str(number)])])[0].rows[0][0])

    for start in range(0, 24, 3):
        threads = [threading.Thread(target=read, args=(start + number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(int, found)) == list(range(24))
    assert client._pool.num_connections <= 3
    assert client._pool.num_requests == 24


def test_a_connection_that_was_closed_while_idle_costs_no_error(rows: Any, engine: Engine) -> None:
    rows("SELECT 1")
    engine.fault("cut_before", count=1)
    assert rows("SELECT 2") == [(2,)]


def test_a_column_that_is_called_like_an_overload_is_none(rows: Any, engine: Engine) -> None:
    with pytest.raises(OperationalError, match="no such column: overloaded"):
        rows("SELECT overloaded")
    assert engine.counts()["requests"] == 1


def test_a_fork_gets_connections_of_its_own(rows: Any, d1: Any) -> None:
    rows("SELECT 1")
    pool = d1.connection.client._pool
    child = os.fork()
    if child == 0:
        os._exit(0 if d1.connection.client._pool is not pool and rows("SELECT 7") == [(7,)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert d1.connection.client._pool is pool
    assert rows("SELECT 8") == [(8,)]


def test_a_result_cut_midway_is_an_error_and_no_short_list(d1: Any, engine: Engine) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i, 'text' FROM n"
    engine.fault("cut_midway")
    with pytest.raises(OperationalError, match=r"amid|lost"), d1.chunked_cursor() as cursor:
        cursor.execute(sql)
        list(cursor)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    return Budget(limit=100, window=300, clock=clock, sleep=clock.sleep)


def test_a_page_never_waits_for_the_rate_limit(budget: Budget) -> None:
    assert [budget.spend() for _ in range(150)] == [0.0] * 150


def test_background_work_is_slowed_when_half_of_the_limit_is_used(budget: Budget) -> None:
    with background():
        waits = [budget.spend() for _ in range(70)]
    assert waits[:50] == [0.0] * 50
    assert waits[55] > 0
    assert waits[65] > waits[55]


def test_background_work_leaves_a_fifth_of_the_limit_to_pages(budget: Budget, clock: Clock) -> None:
    for _ in range(85):
        budget.spend()
    with background():
        assert budget.spend() > 250
    assert clock.now >= 1300


def test_what_cloudflare_says_is_left_counts_more_than_what_was_counted_here(budget: Budget) -> None:
    budget.tell("10")
    budget.spend()
    assert budget.left() in (9, 10)
    with background():
        assert budget.spend() > 0


def test_a_refusal_holds_for_as_long_as_it_says(budget: Budget, clock: Clock) -> None:
    budget.tell("0", retry_after=40)
    with background():
        assert budget.spend() == pytest.approx(40)
        assert budget.spend() == 0


def test_background_work_is_told_how_long_it_will_wait(budget: Budget, clock: Clock) -> None:
    heard: list[float] = []
    budget.tell("0", retry_after=40)
    with background(heard.append):
        budget.spend()
        assert heard == [40]
        heard.clear()
        assert sum(budget.spend() for _ in range(79)) == pytest.approx(sum(heard))
        heard.clear()
        waited = budget.spend()
    assert waited > 0
    assert heard == [pytest.approx(waited, abs=5)]


def test_a_page_is_told_of_no_wait(budget: Budget) -> None:
    budget.tell("0", retry_after=40)
    assert budget.spend() == 0


def test_the_requests_of_background_work_are_told_apart_by_the_with_block(budget: Budget) -> None:
    for _ in range(60):
        budget.spend()
    with background():
        assert budget.spend() > 0
    assert budget.spend() == 0


class Answering:
    """A pool that answers everything with one status, body and headers."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self.answer = SimpleNamespace(status=status, data=body, headers=headers)
        self.requests = 0

    def request(self, *_: Any, **__: Any) -> Any:
        self.requests += 1
        return self.answer


@pytest.mark.parametrize(
    ("status", "body", "kind", "requests"),
    [
        (200, b"<html>a proxy's own page</html>", OutcomeUnknown, 1),
        (200, b'{"success": true, "result": null, "errors": []}', OutcomeUnknown, 1),
        (200, b'{"success": false, "result": null, "errors": [{"message": "no such table: t"}]}', DriverError, 1),
        (502, b"<html>Bad gateway</html>", OutcomeUnknown, 1),
        (429, b'{"errors": [{"message": "Please wait"}]}', RateLimited, 1),
        (429, b'{"errors": [{"message": "D1 DB is overloaded. Requests queued for too long."}]}', DriverError, 4),
        (400, b'{"errors": [{"message": "bad JSON path: \'guard:Network connection lost\'"}]}', GuardFailed, 1),
        (400, b'{"errors": [{"message": "constraints were violated: FOREIGN KEY constraint failed"}]}', Broken, 1),
    ],
)
def test_every_answer_to_a_write_is_told_as_what_it_is(
    status: int, body: bytes, kind: type[Exception], requests: int
) -> None:
    client = Client(Endpoint("a", "d", "t"), sleep=lambda seconds: None)
    client._pool = pool = Answering(status, body)  # type: ignore[assignment]
    with pytest.raises(kind):
        client.write([Statement("DELETE FROM t", [])])
    assert pool.requests == requests


def test_what_the_api_tells_beside_sql_is_asked_for_again(d1: Any, engine: Engine) -> None:
    engine.fault("error_before", match="time_travel", count=2)
    assert client_for(d1.endpoint).get("/time_travel/bookmark")["bookmark"]


def test_what_the_api_does_beside_sql_is_done_once(d1: Any, engine: Engine) -> None:
    engine.fault("cut_before", match="/export")
    with pytest.raises(OutcomeUnknown):
        client_for(d1.endpoint).post("/export", {"output_format": "polling"})
    assert engine.counts()["requests"] == 1


def test_the_words_of_a_lost_connection_are_for_people(connect: Any) -> None:
    with pytest.raises(OperationalError, match=r"^No connection to D1: Failed to establish a new connection"):
        connect(api_base="http://127.0.0.1:9", attempts=1).cursor().execute("SELECT 1")
