"""Rows of a build on their way to D1: thousands of them as one JSON parameter, every value exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from d1.bulk import MAX_JSON_BYTES, MAX_ROW_BYTES, split
from d1.statement import dumps
from database.restore_build import quoted
from database.transactions import Step

INFINITY = float("inf")


class Load(NamedTuple):
    """One INSERT with its parameter, and how many rows it writes."""

    step: Step
    rows: int


def loads(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Load]:
    """The statements that insert `rows`, each at most about a megabyte, in order.

    A row that is too large for a JSON parameter goes by itself, its values bound one by one.
    """
    parts: list[bytes] = []
    size, strange = 0, set[int]()
    for row in rows:
        cells, odd = _encoded(row)
        part = dumps(cells)
        if parts and size + len(part) > MAX_JSON_BYTES:
            yield _load(table, columns, parts, strange)
            parts, size, strange = [], 0, set()
        if len(part) > MAX_ROW_BYTES:
            yield Load((_into(table, columns) + f" VALUES ({', '.join(['%s'] * len(columns))})", list(row)), 1)
            continue
        parts.append(part)
        strange |= odd
        size += len(part) + 1
    if parts:
        yield _load(table, columns, parts, strange)


def _encoded(row: Sequence[Any]) -> tuple[list[Any], set[int]]:
    """A row as JSON has it, and the columns whose value JSON has no form for.

    A BLOB is an object with its bytes in hex; a float that SQLite would read from its digits only nearly is a list of
    a whole number and a power of two.
    """
    cells, odd = list(row), set[int]()
    for place, value in enumerate(row):
        kind = type(value)
        if kind is bytes:
            cells[place] = {"b": value.hex()}
            odd.add(place)
        elif kind is float:
            cells[place] = [1 if value > 0 else -1, 5000] if value in (INFINITY, -INFINITY) else split(value)
            if type(cells[place]) is list:
                odd.add(place)
    return cells, odd


def _load(table: str, columns: Sequence[str], parts: list[bytes], strange: set[int]) -> Load:
    cells = ", ".join(_cell(place, place in strange) for place in range(len(columns)))
    sql = f"{_into(table, columns)} SELECT {cells} FROM json_each(%s)"  # noqa: S608
    return Load((sql, [(b"[" + b",".join(parts) + b"]").decode()]), len(parts))


def _into(table: str, columns: Sequence[str]) -> str:
    # A percent sign in a name would be taken for a parameter's.
    names = ", ".join(map(quoted, columns))
    return f"INSERT INTO {quoted(table)} ({names})".replace("%", "%%")


def _cell(place: int, strange: bool) -> str:
    plain = f"value->>{place}"
    if not strange:
        return plain
    path = f"'$[{place}]"
    return (
        f"CASE json_type(value, {path}') WHEN 'object' THEN unhex(value->>{path}.b') "
        f"WHEN 'array' THEN (value->>{path}[0]')*pow(2.0, value->>{path}[1]') ELSE {plain} END"
    )
