"""Values of SQLite as JSON, exactly: a row is an array, and a line.

NULL is null; an INTEGER has no point and a REAL has one, however whole it is. What JSON has no word for is an object of
one key: `{"blob": BASE64}`, `{"text": BASE64}` for text that is no valid UTF-8, and `{"real": "inf"}`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import isfinite
from typing import Any

import orjson

#: A value of SQLite: None, int, float, str, bytes or RawText.
Row = Sequence[Any]
#: So many bytes of lines are handed on at once.
CHUNK_BYTES = 512 * 1024
_LINE = orjson.OPT_APPEND_NEWLINE


class RawText(bytes):
    """TEXT that is no valid UTF-8, as its bytes. `CAST(? AS TEXT)` of them stores it again."""


def encoded(rows: Iterable[Row]) -> Iterator[tuple[bytes, int]]:
    """Lines of JSON in chunks, each with its number of rows. One row beyond CHUNK_BYTES is in memory at most."""
    lines: list[bytes] = []
    taken: list[Row] = []
    size = 0
    for row in rows:
        line = _line(row)
        lines.append(line)
        taken.append(row)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield _checked(lines, taken), len(lines)
            lines, taken, size = [], [], 0
    if lines:
        yield _checked(lines, taken), len(lines)


def _line(row: Row) -> bytes:
    try:
        return orjson.dumps(row, _special, _LINE)
    except orjson.JSONEncodeError:
        return orjson.dumps([_encodable(value) for value in row], _special, _LINE)


def _checked(lines: list[bytes], rows: list[Row]) -> bytes:
    """The lines as one text. orjson writes null for an infinity without a word, so the floats are looked at."""
    if float in set(map(type, chain.from_iterable(rows))):
        for number, row in enumerate(rows):
            if any(type(value) is float and not isfinite(value) for value in row):
                lines[number] = orjson.dumps([_encodable(value) for value in row], _special, _LINE)
    return b"".join(lines)


def _encodable(value: Any) -> Any:
    if type(value) is float and not isfinite(value):
        return {"real": repr(value)}
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return RawText(value.encode(errors="surrogatepass"))
    return value


def _special(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"text" if isinstance(value, RawText) else "blob": b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is no value of SQLite")


def decoded(line: bytes) -> list[Any]:
    """The row of a line. ValueError where it is none."""
    row = orjson.loads(line)
    if type(row) is not list:
        raise ValueError("a line is no array")
    # A brace is in every special value and in few others.
    if b"{" in line:
        return [_value(one) if type(one) is dict else one for one in row]
    return row


def _value(special: dict[str, str]) -> Any:
    ((kind, text),) = special.items()
    if kind == "real":
        return float(text)
    data = b64decode(text, validate=True)
    return {"blob": bytes, "text": RawText}[kind](data)
