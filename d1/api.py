"""Cloudflare's REST API for one D1 database: one pool of kept-alive connections, shared by all threads.

What may be sent again, and what may not: a read always; a write only where it surely did not run (no connection, 429,
an overload). A write whose answer was lost has no known outcome, and is never re-sent.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from d1.errors import OutcomeUnknown, RateLimited
from d1.failures import OperationalError, failure, guard_name
from d1.rate import WINDOW, Budget, budget
from d1.statement import Statement, dumps
from d1.stream import Stream

API_BASE = "https://api.cloudflare.com/client/v4"

# Errors that pass, by D1's text. Of the first kind the statement surely did not run.
_NOT_RUN = re.compile(r"D1 DB is overloaded|Cannot resolve D1 DB|Currently processing a long-running export")
_PASSING = re.compile(r"Network connection lost|caused object to be reset|reset because its code was updated")
# A deferred foreign key that is violated at the end: D1 resets itself and rolls back. It is no passing error.
_VIOLATED = "constraints were violated"
# An integer that JavaScript may have rounded has at least 16 digits.
_LONG_NUMBER = re.compile(rb"[\[,]-?\d{16,}[\],]")


@dataclass(frozen=True)
class Endpoint:
    """Where a database is and how patiently it is spoken to. Times are in seconds.

    A request of D1 has 30 s, so `timeout` is a little more. `patience` is the longest wait for a rate limit that is
    sat out instead of being raised.
    """

    account: str
    database: str
    token: str = field(repr=False)
    read_token: str = field(default="", repr=False)
    api_base: str = API_BASE
    timeout: float = 35.0
    connect_timeout: float = 5.0
    pool_size: int = 16
    attempts: int = 4
    backoff: float = 0.2
    patience: float = 3.0

    @property
    def is_local(self) -> bool:
        """Whether this is a stand-in on the same machine."""
        return urlsplit(self.api_base).hostname in ("127.0.0.1", "localhost", "::1")


class Answer(NamedTuple):
    """The answer to one statement. `has_long_numbers`: JavaScript may have rounded an integer among the rows."""

    columns: list[str]
    rows: list[list[Any]]
    meta: dict[str, Any]
    has_long_numbers: bool = False


class Retry(Exception):
    """An attempt failed in a way that may pass. `ran` is False where the statements surely did not run."""

    def __init__(self, error: Exception, *, ran: bool, after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.ran, self.after = error, ran, after


class Client:
    """Sends statements to one database. All methods may be called from any thread."""

    def __init__(
        self, endpoint: Endpoint, limits: Budget = budget, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.endpoint, self._budget, self._sleep = endpoint, limits, sleep
        base = urlsplit(endpoint.api_base)
        self._path = f"{base.path.rstrip('/')}/accounts/{endpoint.account}/d1/database/{endpoint.database}"
        self.open_pool()

    def open_pool(self) -> None:
        """Begin with no connections, as a process has to after a fork: two must not share one."""
        base = urlsplit(self.endpoint.api_base)
        self._pool = urllib3.connection_from_url(
            f"{base.scheme}://{base.netloc}",
            maxsize=self.endpoint.pool_size,
            timeout=urllib3.Timeout(connect=self.endpoint.connect_timeout, read=self.endpoint.timeout),
            retries=False,
        )

    def read(self, statements: Sequence[Statement]) -> list[Answer]:
        """The answers to statements that change nothing, in one request."""
        return self._answers(statements, write=False)

    def write(self, statements: Sequence[Statement]) -> list[Answer]:
        """Run statements as one batch, which is one transaction. OutcomeUnknown if the answer was lost."""
        return self._answers(statements, write=True)

    def stream(self, statement: Statement) -> Stream:
        """The rows of one reading statement as they arrive."""
        return Stream(self.send(_body([statement]), write=False, stream=True))

    def _answers(self, statements: Sequence[Statement], *, write: bool) -> list[Answer]:
        response = self.send(_body(statements), write=write)
        try:
            envelope = orjson.loads(response.data)
            if envelope["success"] is False and envelope["errors"]:
                raise failure(_message(response.data))
            results = envelope["result"]
            has_long_numbers = bool(_LONG_NUMBER.search(response.data))
            return [
                Answer(one["results"]["columns"], one["results"]["rows"], one["meta"], has_long_numbers)
                for one in results
            ]
        except (ValueError, KeyError, TypeError):
            reason = "its answer made no sense"
            raise (OutcomeUnknown(reason) if write else OperationalError(f"D1: {reason}")) from None

    def send(
        self, body: bytes | None, *, write: bool, path: str = "/raw", stream: bool = False
    ) -> urllib3.BaseHTTPResponse:
        """The successful response, after as many attempts as are allowed and sensible. Without a body it is a GET."""
        for attempt in range(1, self.endpoint.attempts + 1):
            try:
                return self._attempt(body, path, write=write, stream=stream)
            except Retry as retry:
                if write and retry.ran:
                    raise OutcomeUnknown(str(retry.error)) from retry.error
                if attempt == self.endpoint.attempts or retry.after > self.endpoint.patience:
                    raise retry.error from None
                self._sleep(retry.after or self._pause(attempt))
        raise AssertionError("a client makes at least one attempt")

    def _pause(self, attempt: int) -> float:
        """Exponential backoff with full jitter, so that many clients do not come back at the same moment."""
        return random.uniform(0, self.endpoint.backoff * 2**attempt)  # noqa: S311 - no secret

    def _attempt(self, body: bytes | None, path: str, *, write: bool, stream: bool) -> urllib3.BaseHTTPResponse:
        self._budget.spend()
        token = self.endpoint.token if write else self.endpoint.read_token or self.endpoint.token
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        try:
            method = "GET" if body is None else "POST"
            response = self._pool.request(
                method, self._path + path, body=body, headers=headers, preload_content=not stream
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise Retry(OperationalError(f"No connection to D1: {_words(error)}"), ran=False) from error
        except ReadTimeoutError as error:
            lost = OperationalError(f"D1 did not answer within {self.endpoint.timeout:g} seconds")
            raise Retry(lost, ran=True) from error
        except (HTTPError, OSError) as error:
            raise Retry(OperationalError(f"The connection to D1 was lost: {_words(error)}"), ran=True) from error
        after = response.headers.get("retry-after", "") if response.status == 429 else ""
        self._budget.tell(response.headers.get("x-ratelimit-remaining"), float(after) if after.isdigit() else None)
        if response.status not in (200, 202):
            raise _refusal(response)
        return response

    def get(self, path: str = "") -> dict[str, Any]:
        """The `result` of a GET below the database's own path, such as the database itself."""
        return _result(self.send(None, write=False, path=path), OperationalError("D1: its answer made no sense"))

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """The `result` of a POST below the database's own path. OutcomeUnknown if its answer is lost."""
        return _result(self.send(dumps(body or {}), write=True, path=path), OutcomeUnknown("its answer made no sense"))


def _result(response: urllib3.BaseHTTPResponse, nonsense: Exception) -> dict[str, Any]:
    try:
        return dict(orjson.loads(response.data)["result"])
    except (ValueError, KeyError, TypeError):
        raise nonsense from None


def _body(statements: Sequence[Statement]) -> bytes:
    """Always a batch: the API cuts the other form at semicolons, also those within a trigger."""
    return dumps({"batch": [{"sql": sql, "params": params} for sql, params in statements]})


def _refusal(response: urllib3.BaseHTTPResponse) -> Exception:
    """What an answer other than 200 means: an error to raise, or a Retry."""
    text = _message(response.data)
    status = response.status
    if status == 400 and guard_name(text) is not None:
        return failure(text)
    if status == 429 or _NOT_RUN.search(text):
        return _busy(response, text)
    if status in (401, 403):
        return OperationalError(
            f"Cloudflare refused the API token ({text}): it needs D1 Read to read, D1 Edit to write."
        )
    if status == 404:
        return OperationalError(f"Cloudflare knows no such D1 database ({text}): check the account and database ids.")
    if _VIOLATED in text or (status == 400 and not _PASSING.search(text)):
        return failure(text)
    return Retry(OperationalError(f"D1 answered {status}: {text}"), ran=True)


def _words(error: Exception) -> str:
    """What an error of the HTTP library says, without its objects."""
    text = str(error.args[0] if error.args and isinstance(error.args[0], str) else error)
    return text.rpartition(">: ")[2].rpartition("): ")[2].rstrip(".") or type(error).__name__


def _busy(response: urllib3.BaseHTTPResponse, text: str) -> Retry:
    """A rate limit names the time to wait; an overload passes by itself."""
    after = response.headers.get("retry-after", "")
    if after.isdigit() or not _NOT_RUN.search(text):
        seconds = float(after) if after.isdigit() else WINDOW
        return Retry(RateLimited(seconds), ran=False, after=seconds)
    return Retry(OperationalError(f"D1 answered {response.status}: {text}"), ran=False)


def _message(data: bytes) -> str:
    """The error texts of Cloudflare's envelope, or the beginning of whatever came instead of it."""
    try:
        return "; ".join(str(error["message"]) for error in orjson.loads(data)["errors"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")


_clients: dict[Endpoint, Client] = {}
_lock = threading.Lock()


def client_for(endpoint: Endpoint) -> Client:
    """The process's one client of an endpoint, whatever the thread."""
    with _lock:
        if endpoint not in _clients:
            _clients[endpoint] = Client(endpoint)
        return _clients[endpoint]


def _after_fork() -> None:
    for client in _clients.values():
        client.open_pool()


os.register_at_fork(after_in_child=_after_fork)
