"""Long results a piece at a time, so that memory does not grow with them.

D1 answers a statement with one JSON text. It is read as it arrives, and cut between rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from d1.failures import OperationalError

PIECE_BYTES = 256 * 1024
_ROWS = re.compile(rb'"rows"\s*:\s*\[')
# How many ends of rows are tried before more is read: those inside of a text or between two BLOBs are none.
_TRIES = 50


class Stream:
    """The rows of one answer. `columns` is known from the start, `meta` at the end."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._pieces = self._read()
        self._buffer = b""
        self.columns: list[str] = []
        self.meta: dict[str, Any] = {}
        self._head = self._read_head()

    def _read(self) -> Iterator[bytes]:
        is_whole = False
        try:
            yield from self._response.stream(PIECE_BYTES)
            is_whole = True
        except (HTTPError, OSError) as error:
            raise OperationalError(f"The connection to D1 was lost amid a result: {error}") from error
        finally:
            # A response that was not read to its end cannot be followed by another on its connection.
            if not is_whole:
                self._response.close()
            self._response.release_conn()

    def _read_head(self) -> bytes:
        """What comes before the first row."""
        for piece in self._pieces:
            self._buffer += piece
            if found := _ROWS.search(self._buffer):
                head, self._buffer = self._buffer[: found.end()], self._buffer[found.end() :]
                self.columns = orjson.loads(head + b"]}}]}")["result"][0]["results"]["columns"]
                return head
        raise OperationalError("D1: its answer made no sense")

    def __iter__(self) -> Iterator[list[list[Any]]]:
        """Lists of rows, each of about PIECE_BYTES of JSON."""
        for piece in self._pieces:
            self._buffer += piece
            if rows := self._cut():
                yield rows
        try:
            (result,) = orjson.loads(self._head + self._buffer)["result"]
        except (ValueError, KeyError) as error:
            raise OperationalError("The connection to D1 was lost amid a result.") from error
        self.meta = result["meta"]
        yield result["results"]["rows"]

    def _cut(self) -> list[list[Any]]:
        """The whole rows of the buffer, which are taken out of it."""
        end = len(self._buffer)
        for _ in range(_TRIES):
            end = self._buffer.rfind(b"],[", 0, end)
            if end < 0:
                return []
            try:
                rows = orjson.loads(b"[" + self._buffer[: end + 1] + b"]")
            except ValueError:
                continue
            self._buffer = self._buffer[end + 2 :]
            return rows  # type: ignore[no-any-return]
        return []

    def close(self) -> None:
        """Give up the rest."""
        self._pieces.close()  # type: ignore[attr-defined]
