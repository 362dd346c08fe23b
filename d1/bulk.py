"""Many rows as one JSON parameter, which D1 takes twenty times as fast as rows of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from d1.statement import adapt, dumps

# A string has 2,000,000 bytes at the most; this leaves room for the last row.
MAX_JSON_BYTES = 1_000_000


def insert(compiler: Any) -> list[tuple[str, tuple[Any, ...]]] | None:
    """INSERT statements for the rows of a bulk_create(); None if a value is an expression, or of no JSON kind."""
    query, connection = compiler.query, compiler.connection
    fields = query.fields
    rows = [[_prepared(compiler, field, obj) for field in fields] for obj in query.objs]
    if any(hasattr(value, "as_sql") for value in chain.from_iterable(rows)):
        return None
    columns = [_Column(place, field, [row[place] for row in rows]) for place, field in enumerate(fields)]
    if not all(column.is_json for column in columns):
        return None
    suffix = connection.ops.on_conflict_suffix_sql(
        fields,
        query.on_conflict,
        (field.column for field in query.update_fields),
        (field.column for field in query.unique_fields),
    )
    sql = _statement(compiler, columns, suffix)
    return [(sql, (text,)) for text in packed(zip(*(column.values for column in columns), strict=True))]


def _prepared(compiler: Any, field: Any, obj: Any) -> Any:
    value = compiler.prepare_value(field, compiler.pre_save_val(field, obj))
    return value if hasattr(value, "as_sql") else adapt(value)


def _statement(compiler: Any, columns: list[_Column], suffix: str) -> str:
    name = compiler.connection.ops.quote_name
    insert = compiler.connection.ops.insert_statement(on_conflict=compiler.query.on_conflict)
    names = ", ".join(name(column.field.column) for column in columns)
    table = name(compiler.query.get_meta().db_table)
    # WHERE true, or SQLite reads ON CONFLICT as a join's ON.
    # https://www.sqlite.org/lang_upsert.html#parsing_ambiguity
    chosen = ", ".join(column.sql(compiler) for column in columns)
    return f"{insert} {table} ({names}) SELECT {chosen} FROM json_each(%s) WHERE true {suffix}".rstrip()  # noqa: S608


def packed(rows: Iterator[Any]) -> Iterator[str]:
    """JSON arrays of the rows, each of about MAX_JSON_BYTES at the most."""
    parts: list[bytes] = []
    size = 0
    for row in rows:
        part = dumps(list(row))
        if parts and size + len(part) > MAX_JSON_BYTES:
            yield _array(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield _array(parts)


def _array(parts: list[bytes]) -> str:
    return (b"[" + b",".join(parts) + b"]").decode()


class _Column:
    """One column of the rows: its values as JSON has them, and the SQL that takes them out again."""

    def __init__(self, place: int, field: Any, values: list[Any]) -> None:
        self.place, self.field = place, field
        kinds = {type(value) for value in values} - {type(None)}
        self.is_json = bytes not in kinds or kinds == {bytes}
        self.is_blob = kinds == {bytes}
        self.is_split = False
        if float in kinds:
            self.values = [split(value) if isinstance(value, float) else value for value in values]
            self.is_split = any(type(value) is list for value in self.values)
        elif self.is_blob:
            self.values = [None if value is None else value.hex() for value in values]
        else:
            # SQLite's JSON has booleans of its own; a column of Django's holds 0 and 1.
            self.values = [int(value) if isinstance(value, int) else value for value in values]

    def sql(self, compiler: Any) -> str:
        taken = f"value->>{self.place}"
        if self.is_blob:
            taken = f"unhex({taken})"
        elif self.is_split:
            part = f"value->>'$[{self.place}]"
            joined = f"({part}[0]')*pow(2.0,{part}[1]')"
            taken = f"CASE json_type(value,'$[{self.place}]') WHEN 'array' THEN {joined} ELSE {taken} END"
        placeholder = getattr(self.field, "get_placeholder", None)
        return placeholder(None, compiler, compiler.connection) % taken if placeholder else taken


def split(value: float) -> Any:
    """A float that SQLite reads from JSON exactly: itself if it is short, else a list of mantissa and exponent.

    SQLite computes the last digits of a long decimal only nearly; 15 digits are always exact, and so is a product
    with a power of two.
    """
    text = repr(value)
    digits, _, exponent = text.partition("e")
    if not exponent and len(digits.strip("-0.").replace(".", "")) <= 15 and len(digits) <= 20:
        return value
    if not math.isfinite(value):
        return adapt(value)
    mantissa, power = math.frexp(value)
    return [int(mantissa * 2**53), power - 53]
