"""Values as they are in the database, in spite of JSON and JavaScript.

D1's answers pass through JavaScript, which rounds integers beyond 2^53. A result that holds one is read again with the
columns concerned as text; all others cost nothing.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from d1.api import Answer
from d1.sqltext import verb
from d1.statement import Statement

# 2^53 itself may be 2^53 + 1, rounded.
MAX_SAFE = 2**53 - 1
# The smallest integer is written with digits that are beyond 64 bits, and so is parsed as a float.
LEAST = -(2.0**63)


def rounded_columns(rows: list[list[Any]]) -> set[int]:
    """The columns that hold a number which JavaScript may have rounded."""
    return {
        number
        for row in rows
        for number, value in enumerate(row)
        if (type(value) is int and not -MAX_SAFE <= value <= MAX_SAFE) or value == LEAST
    }


def can_be_wrapped(sql: str) -> bool:
    """Whether a statement may stand as a subquery."""
    return verb(sql) in ("SELECT", "VALUES")


def wrap(statement: Statement, width: int, columns: set[int]) -> Statement:
    """The same rows with the columns as text, led by `i` for an integer and `t` for a text."""
    names = ",".join(f"c{number}" for number in range(width))
    shown = ",".join(as_text(f"c{number}") if number in columns else f"c{number}" for number in range(width))
    sql = f"WITH d1_exact({names}) AS ({statement.sql}\n) SELECT {shown} FROM d1_exact"  # noqa: S608 - compiled SQL
    return Statement(sql, statement.params)


def as_text(name: str) -> str:
    """SQL for a value that JavaScript leaves alone: integers and texts as text, led by their kind."""
    return f"CASE typeof({name}) WHEN 'integer' THEN 'i'||{name} WHEN 'text' THEN 't'||{name} ELSE {name} END"


def unwrap(names: list[str], answer: Answer, columns: set[int]) -> Answer:
    """The answer to a wrapped statement, under the names of the columns that it should have."""
    return Answer(names, unwrapped(answer.rows, columns), answer.meta)


def unwrapped(rows: list[list[Any]], columns: set[int]) -> list[list[Any]]:
    """Rows of a wrapped statement as they should be."""
    for row in rows:
        for number in columns:
            row[number] = from_text(row[number])
    return rows


def from_text(value: Any) -> Any:
    """The value that `as_text` was made of."""
    if isinstance(value, str):
        return int(value[1:]) if value[0] == "i" else value[1:]
    return float(value) if type(value) is int else value


def with_blobs(rows: list[list[Any]]) -> list[list[Any]]:
    """The rows with their BLOBs, which travel as arrays of numbers, as bytes."""
    if list in set(map(type, chain.from_iterable(rows))):
        return [[bytes(value) if type(value) is list else value for value in row] for row in rows]
    return rows
