"""The cursor of `QuerySet.iterator()`: rows go to their reader while the rest is still on its way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Self

from d1 import exact, sqltext
from d1.api import Answer
from d1.dbapi import Cursor, Params
from d1.failures import NotSupportedError
from d1.statement import Statement
from d1.stream import Stream


class StreamingCursor(Cursor):
    """Reads one result in pieces. What does not read is run as by any cursor."""

    _stream: Stream | None = None

    def execute(self, sql: str, params: Params = None) -> Self:
        if not sqltext.is_read(sql):
            return super().execute(sql, params)
        self._begin()
        self._open(self._readable(sql, params))
        return self

    def _open(self, statement: Statement) -> None:
        """Begin to read. Columns whose first piece has rounded integers are asked for as text."""
        columns: set[int] = set()
        stream, pieces = self._pieces(statement)
        names, first = stream.columns, next(pieces)
        while (rounded := exact.rounded_columns(first) - columns) and exact.can_be_wrapped(statement.sql):
            stream.close()
            columns |= rounded
            stream, pieces = self._pieces(exact.wrap(statement, len(names), columns))
            first = next(pieces)
        self._stream = stream
        self.description = [(name, None, None, None, None, None, None) for name in names]
        self._rows = chain.from_iterable(self._checked(chain([first], pieces), columns))

    def _pieces(self, statement: Statement) -> tuple[Stream, Iterator[list[list[Any]]]]:
        self.connection.usage.requests += 1
        stream = self.connection.client.stream(statement)
        return stream, self._counted(stream)

    def _counted(self, stream: Stream) -> Iterator[list[list[Any]]]:
        yield from stream
        self.connection.usage.count_rows(Answer([], [], stream.meta))

    def _checked(self, pieces: Iterator[list[list[Any]]], columns: set[int]) -> Iterator[Iterator[tuple[Any, ...]]]:
        for rows in pieces:
            if exact.rounded_columns(rows) - columns:
                raise NotSupportedError(
                    "A row further on in this result holds an integer beyond 2^53, which D1 rounds: read without "
                    "iterator(), or cast the column to text."
                )
            yield map(tuple, exact.with_blobs(exact.unwrapped(rows, columns)))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()
