"""A statement as D1 takes it: SQL with numbered parameters, made from Django's `%s` form.

D1 binds every JSON number as REAL, so integers travel as literals, which are exact to 64 bits and, like a bound
parameter, have no affinity. Text, floats and large BLOBs are bound. Beyond the hundredth parameter, texts share one
JSON parameter.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from d1.failures import DataError, NotSupportedError, ProgrammingError
from d1.sqltext import for_short_texts

MAX_PARAMS = 100
MAX_BYTES = 100_000
# Above this a BLOB is bound as an array of numbers: longer on the wire, but no part of the statement's 100,000 bytes.
BLOB_LITERAL_BYTES = 1000
# A decimal that is longer for its zeros alone is sent with an exponent.
MAX_ZEROS = 1000

_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<percent>%%)|(?P<param>%s|%\((?P<name>\w+)\)s)|(?P<by>\b(?:ORDER|GROUP|PARTITION)\s+BY\b)|(?P<end>;)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_BLANK = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_TRIGGER = re.compile(r"\s*CREATE\s+(?:TEMP\w*\s+)?TRIGGER\b", re.IGNORECASE)


class Statement(NamedTuple):
    """What one element of a request holds. Parameters are JSON values."""

    sql: str
    params: list[Any]


class Placeholder(NamedTuple):
    """`name` is None for `%s`. `ordinal_matters`: in ORDER BY and GROUP BY a bare integer would mean a column."""

    name: str | None
    ordinal_matters: bool


Part = str | Placeholder


@for_short_texts
def template(sql: str) -> tuple[Part, ...]:
    """Split SQL in Django's form at its placeholders, leaving alone what stands in literals, names and comments."""
    parts: list[Part] = []
    after_by, start = False, 0
    for token in _TOKEN.finditer(sql):
        if token["param"]:
            parts += [sql[start : token.start()], Placeholder(token["name"], after_by)]
        elif token["percent"]:
            parts.append(sql[start : token.start()] + "%")
        elif token["quoted"] and "%%" in token["quoted"]:
            parts.append(sql[start : token.start()] + token["quoted"].replace("%%", "%"))
        else:
            after_by = after_by or bool(token["by"])
            continue
        start = token.end()
    parts.append(sql[start:])
    return tuple(part for part in parts if part != "")


@for_short_texts
def single(sql: str) -> str:
    """The one statement of a string, without what follows it; two are a ProgrammingError, as in sqlite3."""
    if ";" not in sql or _TRIGGER.match(sql):
        return sql.rstrip().removesuffix(";") if not _TRIGGER.match(sql) else sql
    for token in _TOKEN.finditer(sql):
        if token["end"] and _BLANK.match(sql, token.end()).end() == len(sql):  # type: ignore[union-attr]
            return sql[: token.start()]
        if token["end"] and _BLANK.match(sql[: token.start()]).end() != token.start():  # type: ignore[union-attr]
            raise ProgrammingError("You can only execute one statement at a time.")
    return sql


def render(sql: str, params: Sequence[Any] | Mapping[str, Any] | None) -> Statement:
    """The statement for SQL and parameters. Without parameters (None) a percent sign is only a percent sign."""
    sql = single(sql)
    if params is None:
        return _checked(Statement(sql, []))
    parts = template(sql)
    values = _values(parts, params)
    binder = Binder()
    try:
        pieces = [
            part if isinstance(part, str) else binder.add(values[number], part.ordinal_matters)
            for number, part in zip(_numbers(parts), parts, strict=True)
        ]
    except TypeError as error:
        raise ProgrammingError(f"Error binding parameter: {error}") from None
    return _checked(binder.finish(pieces))


def _numbers(parts: Sequence[Part]) -> list[int]:
    """For each part the number of its placeholder, from 0."""
    numbers, number = [], 0
    for part in parts:
        numbers.append(number)
        number += isinstance(part, Placeholder)
    return numbers


def _values(parts: Sequence[Part], params: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    wanted = [part.name for part in parts if isinstance(part, Placeholder)]
    if isinstance(params, Mapping):
        return [params[name] for name in wanted if name is not None]
    if len(wanted) != len(params):
        raise ProgrammingError(
            f"Incorrect number of bindings supplied. The current statement uses {len(wanted)}, "
            f"and there are {len(params)} supplied."
        )
    return params


def _checked(statement: Statement) -> Statement:
    size = len(statement.sql) if statement.sql.isascii() else len(statement.sql.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise NotSupportedError(
            f"The statement has {size:,} bytes, and D1 takes {MAX_BYTES:,} at the most: split the work, or pass the "
            "values as one JSON parameter to json_each()."
        )
    return statement


class Binder:
    """Turns Python's values into SQL text, and gathers what has to be bound."""

    def __init__(self) -> None:
        self.bound: list[Any] = []
        self._known: dict[tuple[type, Any], int] = {}

    def add(self, value: Any, ordinal_matters: bool = False) -> str | int:
        """SQL for a value, or the number (from 0) of the parameter that it becomes."""
        value = adapt(value)
        if value is None:
            return "NULL"
        if isinstance(value, int):
            return _integer(value, ordinal_matters)
        if isinstance(value, bytes):
            return f"X'{value.hex()}'" if len(value) <= BLOB_LITERAL_BYTES else self._bind(value, list(value))
        return self._bind(value, value)

    def _bind(self, value: Any, wire: Any) -> int:
        number = self._known.setdefault((type(value), value), len(self.bound))
        if number == len(self.bound):
            self.bound.append(wire)
        return number

    def finish(self, pieces: list[str | int]) -> Statement:
        """Number the parameters; surplus texts go into one that is JSON."""
        if len(self.bound) <= MAX_PARAMS:
            return Statement("".join(p if isinstance(p, str) else f"?{p + 1}" for p in pieces), self.bound)
        surplus = _surplus(self.bound)
        kept = [value for number, value in enumerate(self.bound) if number not in surplus]
        names = {number: f"?{place}" for place, number in enumerate(_others(self.bound, surplus), 1)}
        names |= {number: f"json_extract(?{len(kept) + 1},'$[{place}]')" for place, number in enumerate(surplus)}
        packed = dumps([self.bound[number] for number in surplus]).decode()
        return Statement("".join(p if isinstance(p, str) else names[p] for p in pieces), [*kept, packed])


def _surplus(bound: list[Any]) -> dict[int, None]:
    """The numbers of the texts that make room: SQLite reads text from JSON exactly, long floats it does not."""
    texts = [number for number, value in enumerate(bound) if isinstance(value, str)]
    needed = len(bound) - MAX_PARAMS + 1
    if len(texts) < needed:
        raise NotSupportedError("A D1 statement binds 100 parameters at the most; split the floats or BLOBs.")
    return dict.fromkeys(texts[-needed:])


def _others(bound: list[Any], surplus: dict[int, None]) -> list[int]:
    return [number for number in range(len(bound)) if number not in surplus]


def _integer(value: int, ordinal_matters: bool) -> str:
    if not -(2**63) <= value < 2**63:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")
    # In parentheses, for "a -%s" with -1 would begin a comment.
    text = str(int(value)) if value >= 0 else f"({int(value)})"
    # SQLite reads the digits before the sign, and these are too large for an integer.
    text = text if value > -(2**63) else "(-9223372036854775807-1)"
    return f"ifnull({text},{text})" if ordinal_matters else text


def _float(value: float) -> float | None:
    if math.isinf(value):
        raise NotSupportedError("D1 gives infinity back as NULL, so it is not written; store a finite number.")
    return None if math.isnan(value) else value


# The same adapters as Django's sqlite3 backend registers with the sqlite3 module.
_ADAPTERS: dict[type, Callable[[Any], Any]] = {
    float: _float,
    # Without an exponent, by which equal numbers would be texts that differ.
    decimal.Decimal: lambda value: f"{value:f}" if abs(value.adjusted()) < MAX_ZEROS else str(value),
    datetime.datetime: lambda value: value.isoformat(" "),
    datetime.date: lambda value: value.isoformat(),
    bytearray: bytes,
    memoryview: bytes,
}


def adapt(value: Any) -> Any:
    """A value as None, int (which a bool is too), float, str or bytes; a TypeError for any other kind."""
    if value is None or type(value) is str or isinstance(value, int):
        return value
    for kind in type(value).__mro__:
        if kind in _ADAPTERS:
            return _ADAPTERS[kind](value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(f"type {type(value).__name__!r} is not supported")


def literal(value: Any) -> str:
    """SQL text that means the value, for logs and for DDL."""
    value = adapt(value)
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return repr(value) if isinstance(value, float) else str(int(value))


def dumps(value: Any) -> bytes:
    """JSON for the wire. A lone surrogate is no Unicode text, and is refused as sqlite3 does."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise DataError(f"This can't be stored: {error}.") from None
