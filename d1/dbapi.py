"""D1 as the DB-API shows a database: a connection, cursors and errors.

Outside of a block a statement is a request. Inside, reads go out at once and writes wait for the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

from d1 import exact, sqltext
from d1.api import Answer, Client
from d1.failures import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from d1.statement import Statement, render
from d1.unit_of_work import UnitOfWork, Write, guard
from d1.witness import count_of, find_failing, matching, note_delete

__all__ = [
    "Binary", "Connection", "Cursor", "DataError", "DatabaseError", "Error", "IntegrityError", "InterfaceError",
    "InternalError", "NotSupportedError", "OperationalError", "ProgrammingError", "Usage", "Warning",
]  # fmt: skip

Binary = bytes
Params = Sequence[Any] | Mapping[str, Any] | None


@dataclass
class Usage:
    """What a connection has used, for a footer or a Server-Timing header. Times are in milliseconds, as D1 says."""

    requests: int = 0
    rows_read: int = 0
    rows_written: int = 0
    sql_ms: float = 0.0

    def add(self, answers: Iterable[Answer]) -> None:
        self.requests += 1
        for answer in answers:
            self.count_rows(answer)

    def count_rows(self, answer: Answer) -> None:
        self.rows_read += answer.meta.get("rows_read") or 0
        self.rows_written += answer.meta.get("rows_written") or 0
        self.sql_ms += answer.meta.get("duration") or 0

    def reset(self) -> None:
        """Begin to count anew, as at the start of a page."""
        self.requests = self.rows_read = self.rows_written = 0
        self.sql_ms = 0.0

    def copy(self) -> Usage:
        """The counts of this moment."""
        return replace(self)


class Connection:
    """A database, and the unit of work of an open block. Not shared by threads; the client underneath is."""

    def __init__(self, client: Client, usage: Usage, *, max_batch_bytes: int) -> None:
        self.client, self.usage, self.max_batch_bytes = client, usage, max_batch_bytes
        self.unit: UnitOfWork | None = None
        self.find_failing_statement = self.is_closed = False
        self._prefetched: dict[tuple[str, tuple[Any, ...] | None], Answer] = {}

    def cursor(self) -> Cursor:
        return Cursor(self)

    def begin(self) -> None:
        self.unit = self.unit or UnitOfWork()

    def end(self) -> None:
        """Leave the block; what waits is sent first."""
        if self.unit is not None:
            self.commit()
            self.unit = None

    def commit(self) -> None:
        """Send the writes that wait as one batch. After an error nothing waits any more."""
        if self.unit is None:
            return
        statements, self.unit = self.unit.statements(), UnitOfWork()
        if statements:
            self._commit(statements)

    def _commit(self, statements: list[Statement]) -> None:
        size = sum(len(sql) + sum(len(p) if isinstance(p, str) else 8 for p in ps) for sql, ps in statements)
        if size > self.max_batch_bytes:
            raise NotSupportedError(
                f"The block waits to write {size:,} bytes, and one batch is to have {self.max_batch_bytes:,} at the "
                "most: divide it into several blocks, or raise OPTIONS['max_batch_bytes']."
            )
        try:
            self.write(statements)
        except (DatabaseError, IntegrityError) as error:
            if self.find_failing_statement:
                raise find_failing(self, statements, error) from error
            raise

    def rollback(self) -> None:
        if self.unit is not None:
            self.unit = UnitOfWork()

    def close(self) -> None:
        self.unit, self.is_closed = None, True

    def guard(self, name: str, condition: str, params: Params = ()) -> None:
        """Let the batch of the open block fail with the name unless the condition is true when its turn comes."""
        if self.unit is None:
            raise ProgrammingError("A guard needs an open block: use it inside transaction.atomic().")
        statement = render(condition, params)
        self.unit.add("", guard(name, statement.sql, statement.params))

    def read(self, statements: Sequence[Statement]) -> list[Answer]:
        """Run statements that change nothing, in one request; integers that the wire rounded are read again."""
        answers = self.client.read(statements)
        self.usage.add(answers)
        return [self._exact(statement, answer) for statement, answer in zip(statements, answers, strict=True)]

    def _exact(self, statement: Statement, answer: Answer) -> Answer:
        columns = exact.rounded_columns(answer.rows) if answer.has_long_numbers else set()
        while columns and exact.can_be_wrapped(statement.sql):
            wrapped = exact.wrap(statement, len(answer.columns), columns)
            (again,) = self.client.read([wrapped])
            self.usage.add([again])
            rounded = exact.rounded_columns(again.rows) - columns
            if not rounded:
                return exact.unwrap(answer.columns, again, columns)
            columns |= rounded
        return answer

    def write(self, statements: Sequence[Statement]) -> list[Answer]:
        """Run statements at once as one batch."""
        try:
            answers = self.client.write(statements)
        except Exception:
            self.usage.requests += 1
            raise
        self.usage.add(answers)
        return answers

    def run_batch(self, statements: Iterable[str]) -> list[Answer]:
        """Run SQL without parameters at once, as one batch."""
        return self.write([render(sql, None) for sql in statements])

    def executescript(self, script: str) -> None:
        """Run all statements of a script at once, as one batch."""
        self.run_batch(sqltext.split(script))

    @contextmanager
    def prefetch(self, reads: Iterable[tuple[str, Params]]) -> Iterator[None]:
        """Run several reads in one request. Within, the first execution of each takes its answer from there, unless
        something was written meanwhile."""
        wanted = [(sql, None if params is None else tuple(params)) for sql, params in reads]
        self._prefetched = dict(zip(wanted, self.read([render(*key) for key in wanted]), strict=True))
        try:
            yield
        finally:
            self._prefetched = {}

    def forget_prefetched(self) -> None:
        self._prefetched = {}

    def prefetched(self, sql: str, params: Params) -> Answer | None:
        if not self._prefetched or isinstance(params, Mapping):
            return None
        try:
            return self._prefetched.pop((sql, None if params is None else tuple(params)), None)
        except TypeError:
            return None


class Cursor:
    """Runs statements of a connection. `%s` and `%(name)s` mark parameters; `%%` is a percent sign."""

    arraysize = 100

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.lastrowid: int | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._rowcount = -1
        self._is_closed = False
        self._waiting: tuple[Write, str, Params] | None = None

    def execute(self, sql: str, params: Params = None) -> Self:
        """Run a statement, or let it wait if it writes and a block is open."""
        self._begin()
        if sqltext.is_read(sql):
            self._show(self.connection.prefetched(sql, params) or self._read(sql, params))
            return self
        self.connection.forget_prefetched()
        if not sql.strip():
            self._rows, self.description = iter(()), None
        elif self.connection.unit is None:
            self._write(sql, params)
        else:
            self._let_wait(self.connection.unit, sql, params)
        return self

    def _begin(self) -> None:
        if self._is_closed or self.connection.is_closed:
            raise ProgrammingError("Cannot operate on a closed cursor or connection.")
        self._waiting, self._rowcount = None, -1

    def _read(self, sql: str, params: Params) -> Answer:
        return self.connection.read([self._readable(sql, params)])[0]

    def _readable(self, sql: str, params: Params) -> Statement:
        statement = render(sql, params)
        unit = self.connection.unit
        if unit and unit.writes and (tables := unit.tables() & sqltext.named(sql)):
            raise NotSupportedError(
                f"This block has writes waiting for {', '.join(sorted(tables))}, which a read would not see: D1 has no "
                "open transactions. Read before the first write, or after the block."
            )
        return statement

    def _show(self, answer: Answer) -> None:
        rows = exact.with_blobs(answer.rows)
        self.description = [(name, None, None, None, None, None, None) for name in answer.columns]
        self._rows = map(tuple, rows)

    def _write(self, sql: str, params: Params) -> None:
        statement = render(sql, params)
        if sqltext.verb(sql) == "DELETE" and (counting := matching(sql, params)):
            # D1 counts the rows that ON DELETE CASCADE deletes too. The batch is one transaction, so this is the count.
            count, answer = self.connection.write([counting, statement])
            self._show_write(answer)
            self._rowcount = count.rows[0][0]
        else:
            self._show_write(*self.connection.write([statement]))

    def _show_write(self, answer: Answer) -> None:
        self._show(answer)
        if not answer.columns:
            self.description = None
        self._rowcount = answer.meta.get("changes", -1)
        self.lastrowid = answer.meta.get("last_row_id")

    def _let_wait(self, unit: UnitOfWork, sql: str, params: Params) -> None:
        if sqltext.returns_rows(sql):
            raise NotSupportedError(
                "RETURNING gives nothing back inside a block, for its writes wait for the end: give the row its key "
                "before you save it, or write it outside of the block."
            )
        write = unit.add(sql, render(sql, params))
        if sqltext.verb(sql) == "DELETE":
            note_delete(unit, write, sql, params)
        self._rows, self.description = iter(()), None
        self._waiting = (write, sql, params)

    @property
    def rowcount(self) -> int:
        """Rows that were changed. For an UPDATE or DELETE that waits: rows that it matches now; the batch will fail
        if they are others by then."""
        if self._waiting is not None:
            write, sql, params = self._waiting
            self._waiting = None
            self._rowcount = count_of(self.connection, write, sql, params)
        return self._rowcount

    def executemany(self, sql: str, param_list: Iterable[Params]) -> Self:
        """Run a writing statement with each set of parameters, all in one batch."""
        if sqltext.is_read(sql):
            raise ProgrammingError("executemany() can only execute DML statements.")
        self._begin()
        self.connection.forget_prefetched()
        statements = [render(sql, params) for params in param_list]
        unit = self.connection.unit
        if unit is not None:
            for statement in statements:
                unit.add(sql, statement)
        elif statements:
            answers = self.connection.write(statements)
            self._rowcount = sum(answer.meta.get("changes", 0) for answer in answers)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        return list(islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        self._rows, self._waiting, self._is_closed = iter(()), None, True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
