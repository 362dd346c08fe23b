"""Values of SQLite as JSON, exactly: a row is an array, and a line.

NULL is null; an INTEGER has no point and a REAL has one, however whole it is. What JSON has no word for is an object of
one key: `{"blob": BASE64}`, `{"text": BASE64}` for text that is no valid UTF-8, and `{"real": "inf"}`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from typing import Any

import orjson

#: A value of SQLite: None, int, float, str, bytes or RawText.
Row = Sequence[Any]
#: So many bytes of lines are handed on at once.
CHUNK_BYTES = 512 * 1024
#: So many rows are read and spelled together: few enough that the largest of D1 fit into memory.
ROWS_TOGETHER = 16
_LINE = orjson.OPT_APPEND_NEWLINE


class RawText(bytes):
    """TEXT that is no valid UTF-8, as its bytes. `CAST(? AS TEXT)` of them stores it again."""


def encoded(rows: Iterable[Row]) -> Iterator[tuple[bytes, int]]:
    """Lines of JSON in chunks, each with its number of rows. ROWS_TOGETHER beyond CHUNK_BYTES are in memory at most."""
    parts: list[bytes] = []
    left, size, count = iter(rows), 0, 0
    while some := list(islice(left, ROWS_TOGETHER)):
        parts.append(_lines(some))
        size += len(parts[-1])
        count += len(some)
        if size >= CHUNK_BYTES:
            yield b"".join(parts), count
            parts, size, count = [], 0, 0
    if parts:
        yield b"".join(parts), count


def _lines(rows: list[Row]) -> bytes:
    """Some rows at once, as one array cut into its lines, which is quicker than each by itself."""
    # orjson writes null for an infinity without a word, so the floats are looked at.
    cells = chain.from_iterable(rows)
    if float in set(map(type, cells)) and not all(map(_is_finite, chain.from_iterable(rows))):
        return _line_by_line(rows)
    try:
        data = orjson.dumps(rows, _special)
    except orjson.JSONEncodeError:
        return _line_by_line(rows)
    # A text may hold what stands between two rows.
    if data.count(b"],[") != len(rows) - 1:
        return _line_by_line(rows)
    return data[1:-1].replace(b"],[", b"]\n[") + b"\n"


def _line_by_line(rows: list[Row]) -> bytes:
    return b"".join(orjson.dumps([_encodable(value) for value in row], _special, _LINE) for row in rows)


def _is_finite(value: Any) -> bool:
    return type(value) is not float or isfinite(value)


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
