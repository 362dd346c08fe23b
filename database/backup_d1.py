"""D1 in pages by key, every value exact; which way of reading D1 is taken.

D1's answers pass through JavaScript, which rounds integers beyond 2^53, writes 819.0 as 819 and infinity as null, and
replaces what is no UTF-8. So whatever is not certain to come through is asked for as text, led by a letter that says
what it was.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.utils import OperationalError as DjangoOperationalError

from d1.api import Client, Retry, client_for
from d1.errors import RateLimited
from d1.failures import Error, OperationalError
from d1.statement import Statement
from database.archive_format import TABLE, VIRTUAL
from database.archive_values import RawText, Row, encoded
from database.backup_sqlite import BackupError
from database.backup_tables import Contents, Shape, quoted, read_contents

#: How D1 may be read. `auto` is the export where that is exact, else pages.
METHODS = ("auto", "export", "pages")
FIRST_ROWS, MOST_ROWS = 500, 5000
#: So many pieces of 256 KiB a page is to have: a request of D1 has 30 s, and holds up all others.
PIECES = 16
ATTEMPTS = 6
#: Seconds before the second attempt; each next one waits twice as long.
PAUSE = 0.5
_SAFE = 2**53 - 1
_INT64 = 2**63
# The client's own words, after as many attempts as it makes.
_PASSING = re.compile(r"D1 answered|No connection to D1|did not answer|was lost|made no sense")
_REPLACED = "\ufffd"


class PagedSource:
    """A D1 database, table after table, a page at a time. It is of one moment only if nobody wrote meanwhile."""

    engine, method = "d1", "pages"

    def __init__(self, client: Client, pause: Callable[[float], None] = time.sleep) -> None:
        self.client, self.name, self._pause = client, client.endpoint.database, pause
        self.warnings: list[str] = []
        self._start = bookmark(client)

    @property
    def bookmarks(self) -> dict[str, str] | None:
        end = bookmark(self.client)
        return {"start": self._start, "end": end} if self._start and end else None

    @property
    def single_moment(self) -> bool:
        found = self.bookmarks
        return found is not None and found["start"] == found["end"]

    def query(self, sql: str) -> list[list[Any]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.client.read([Statement(sql, [])])[0].rows
            except (OperationalError, DjangoOperationalError) as error:
                self.wait(error, attempt)
        raise AssertionError("the last attempt raises")

    def contents(self) -> Contents:
        return read_contents(self.query)

    def pragmas(self) -> dict[str, Any]:
        """D1 tells none, and keeps its texts in UTF-8."""
        return {"encoding": "UTF-8"}

    def columns(self, shape: Shape) -> list[str]:
        names = list(shape.columns)
        if shape.rowid is None or shape.rowid_column or shape.kind not in (TABLE, VIRTUAL):
            return names
        return [shape.rowid, *names]

    def lines(self, shape: Shape, columns: list[str]) -> Iterator[tuple[bytes, int]]:
        return encoded(self.rows(shape, columns))

    def rows(self, shape: Shape, columns: list[str]) -> Iterator[Row]:
        return iter(()) if shape.contentless else Pages(self, shape, columns).rows()

    def wait(self, error: Exception, attempt: int) -> None:
        """Wait before another attempt; raise the error of the last, and one that does not pass."""
        if attempt >= ATTEMPTS or not (isinstance(error, RateLimited) or _PASSING.search(str(error))):
            raise error
        self._pause(error.retry_after if isinstance(error, RateLimited) else PAUSE * 2 ** (attempt - 1))


class Pages:
    """The rows of one table by its key. What an answer loses on its way is asked for again, after the last row."""

    def __init__(self, source: PagedSource, shape: Shape, columns: list[str]) -> None:
        self.source, self.shape, self.columns = source, shape, columns
        affinities = dict(zip(shape.columns, shape.affinities, strict=True))
        self._affinities = [affinities.get(column, "ROWID") for column in columns]
        # sqlite_sequence is read without the numbers of its rows, in one page.
        has_number = shape.rowid and (shape.rowid_column or shape.rowid in columns)
        self._key = [shape.rowid] if has_number else list(shape.key)
        self._places = [columns.index(shape.rowid_column or name) for name in self._key if name is not None]
        self._last: list[Any] | None = None
        self._limit = FIRST_ROWS
        self._as_bytes = False

    def rows(self) -> Iterator[Row]:
        failures = 0
        while True:
            before = self._last
            try:
                count = yield from self._page()
            except (OperationalError, DjangoOperationalError) as error:
                # A page that cannot be had whole may be had in parts; one that moved on starts its attempts anew.
                failures = failures + 1 if self._last == before else 1
                self._limit = max(1, self._limit // 4)
                self.source.wait(error, failures)
                continue
            failures = 0
            if count is not None and (count < self._asked or not self._key):
                return

    def _page(self) -> Generator[Row, None, int | None]:
        """The rows of a page; gives their number, or None where it has to be read on with texts as bytes."""
        self._asked = self._limit
        stream = self.source.client.stream(self._statement())
        count = pieces = 0
        try:
            for piece in stream:
                if not self._as_bytes and _is_replaced(piece):
                    self._as_bytes = True
                    return None
                pieces += 1
                for row in piece:
                    values = self._decoded(row)
                    self._last = [values[place] for place in self._places]
                    count += 1
                    yield values
        finally:
            stream.close()
        self._as_bytes = False
        self._limit = min(MOST_ROWS, max(FIRST_ROWS // 10, count * PIECES // max(pieces, 1)), self._asked * 4)
        return count

    def _statement(self) -> Statement:
        shown = ", ".join(self._shown(*each) for each in zip(self.columns, self._affinities, strict=True))
        names = ", ".join(self._name(name) for name in self._key if name)
        sql = f"SELECT {shown} FROM {quoted(self.shape.name)}"  # noqa: S608
        params: list[Any] = []
        if self._last is not None and names:
            values = ", ".join(_bound(value, params) for value in self._last)
            sql += f" WHERE ({names}) > ({values})"
        return Statement(f"{sql} ORDER BY {names} LIMIT {self._limit}" if names else sql, params)

    def _name(self, name: str) -> str:
        return name if name == self.shape.rowid and not self.shape.rowid_column else quoted(name)

    def _shown(self, column: str, affinity: str) -> str:
        name = self._name(column)
        text = f"'x'||hex(CAST({name} AS BLOB))" if self._as_bytes else f"'t'||{name}"
        if affinity == "ROWID":
            return f"CASE WHEN {name} BETWEEN -{_SAFE} AND {_SAFE} THEN {name} ELSE 'i'||{name} END"
        if affinity == "TEXT":
            return f"CASE typeof({name}) WHEN 'text' THEN {text} ELSE {name} END" if self._as_bytes else name
        whole = f"{name} BETWEEN -9.2e18 AND 9.2e18 AND {name} = CAST({name} AS INTEGER)"
        return (
            f"CASE typeof({name}) WHEN 'integer' THEN CASE WHEN {name} BETWEEN -{_SAFE} AND {_SAFE} THEN {name} "
            f"ELSE 'i'||{name} END WHEN 'real' THEN CASE WHEN {name} = 9e999 THEN 'finf' WHEN {name} = -9e999 THEN "
            f"'f-inf' WHEN {whole} THEN 'f'||CAST({name} AS INTEGER) ELSE {name} END WHEN 'text' THEN {text} "
            f"ELSE {name} END"
        )

    def _decoded(self, row: list[Any]) -> list[Any]:
        for place, value in enumerate(row):
            kind = type(value)
            if kind is str:
                if self._affinities[place] != "TEXT" or self._as_bytes:
                    row[place] = _untagged(value)
            elif kind is list:
                row[place] = bytes(value)
            elif kind is int and not -_INT64 <= value < _INT64:
                row[place] = float(value)
        return row


def _is_replaced(rows: list[list[Any]]) -> bool:
    """Whether a text may have lost bytes: what is no UTF-8 comes as U+FFFD, which somebody may have written, too."""
    return any(type(value) is str and _REPLACED in value for row in rows for value in row)


def _untagged(text: str) -> Any:
    kind, rest = text[0], text[1:]
    if kind == "t":
        return rest
    if kind == "x":
        data = bytes.fromhex(rest)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return RawText(data)
    return int(rest) if kind == "i" else float(rest)


def _bound(value: Any, params: list[Any]) -> str:
    """SQL for a value of a key."""
    if isinstance(value, bytes):
        literal = f"X'{value.hex()}'"
        return f"CAST({literal} AS TEXT)" if isinstance(value, RawText) else literal
    if isinstance(value, str):
        params.append(value)
        return f"?{len(params)}"
    if value == -_INT64:
        return "(-9223372036854775807-1)"
    return repr(value).replace("inf", "9e999")


def bookmark(client: Client) -> str | None:
    """D1's name of this moment; None where it tells none."""
    try:
        return str(client.get("/time_travel/bookmark")["bookmark"])
    except (Error, DjangoOperationalError, Retry, KeyError):
        return None


@contextmanager
def d1_source(connection: Any, method: str, remark: Callable[[str], None]) -> Iterator[Any]:
    """The D1 database behind a connection of Django's, by one of METHODS. Raises BackupError."""
    from database.backup_export import Refused, export_source

    client = client_for(connection.endpoint)
    try:
        with connection.wrap_database_errors:
            if method != "pages":
                try:
                    with export_source(client, PagedSource(client), remark, exactly=method == "auto") as source:
                        yield source
                    return
                except Refused as refusal:
                    if method == "export":
                        raise BackupError(f"{refusal} Take --method pages.") from None
                    remark(f"{refusal} It is read in pages.")
            yield PagedSource(client)
    except Retry as error:
        raise BackupError(f"{error}. Nothing was kept.") from error
