"""Many rows as one JSON parameter, which D1 takes twenty times as fast as rows of parameters."""

# django-stubs take a WHEN's condition for a tuple, and leave out private attributes.
# mypy: disable-error-code="attr-defined,misc"

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.core.exceptions import FullResultSet
from django.db.models import Case, Value
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In

from d1.decimals import stored
from d1.statement import adapt, dumps

# A parameter has 2,000,000 bytes at the most. Rows are packed to the first; one that alone is larger than the second
# goes without JSON.
MAX_JSON_BYTES = 1_000_000
MAX_ROW_BYTES = 1_900_000
# Rows in one parameter, or keys in one list.
BATCH_ROWS = 5000


def batch_size(fields: Any, objs: Any) -> int:
    """How many objects go in one statement; for QuerySet's bulk methods and the deletion of related rows."""
    names = {getattr(field, "attname", field) for field in fields}
    values = [[value for name, value in getattr(obj, "__dict__", {}).items() if name in names] for obj in objs]
    rows = min(len(values), BATCH_ROWS) or 1
    # So does bulk_update() say that it names each key twice.
    is_update = list(fields[:2]) == ["pk", "pk"]
    if any(hasattr(value, "resolve_expression") for value in chain.from_iterable(values)):
        # No JSON: a CASE that is compared from its beginning, or a parameter for each value.
        return min(rows, 50 if is_update else max(1, 1000 // len(names)))
    return _fitting(rows, [sum(map(_size, row)) for row in values]) if is_update else rows


def _fitting(rows: int, sizes: list[int]) -> int:
    """So many rows that each batch of them fits one parameter: an UPDATE can't be divided later, as an INSERT can."""
    while rows > 1 and any(sum(sizes[start : start + rows]) > MAX_JSON_BYTES for start in range(0, len(sizes), rows)):
        rows //= 2
    return rows


def _size(value: Any) -> int:
    """About how many bytes of JSON a value will have, rather too many."""
    if isinstance(value, str):
        return 20 + (len(value) if value.isascii() else len(value.encode(errors="replace"))) * 3 // 2
    return 20 + len(value) * 2 if isinstance(value, bytes) else 40 + len(str(value)) * 3 // 2


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
    texts = list(packed(zip(*(column.values for column in columns), strict=True)))
    if any(len(text) > MAX_ROW_BYTES // 4 and len(text.encode()) > MAX_ROW_BYTES for text in texts):
        return _singly(compiler, rows, suffix)
    sql = _statement(compiler, columns, suffix)
    return [(sql, (text,)) for text in texts]


def _singly(compiler: Any, rows: list[list[Any]], suffix: str) -> list[tuple[str, tuple[Any, ...]]]:
    """A statement a row, for rows too large to be JSON."""
    places = [_placeholder(compiler, field, "%s") for field in compiler.query.fields]
    sql = f"{_into(compiler)} VALUES ({', '.join(places)}) {suffix}".rstrip()
    return [(sql, tuple(row)) for row in rows]


def _placeholder(compiler: Any, field: Any, taken: str) -> str:
    placeholder = getattr(field, "get_placeholder", None)
    return str(placeholder(None, compiler, compiler.connection) % taken) if placeholder else taken


def _into(compiler: Any) -> str:
    name = compiler.connection.ops.quote_name
    insert = compiler.connection.ops.insert_statement(on_conflict=compiler.query.on_conflict)
    names = ", ".join(name(field.column) for field in compiler.query.fields)
    return f"{insert} {name(compiler.query.get_meta().db_table)} ({names})"


def _prepared(compiler: Any, field: Any, obj: Any) -> Any:
    value = compiler.prepare_value(field, compiler.pre_save_val(field, obj))
    return value if hasattr(value, "as_sql") else adapt(value)


def _statement(compiler: Any, columns: list[_Column], suffix: str) -> str:
    # WHERE true, or SQLite reads ON CONFLICT as a join's ON.
    # https://www.sqlite.org/lang_upsert.html#parsing_ambiguity
    chosen = ", ".join(column.sql(compiler) for column in columns)
    return f"{_into(compiler)} SELECT {chosen} FROM json_each(%s) WHERE true {suffix}".rstrip()  # noqa: S608


def update(compiler: Any) -> tuple[str, tuple[Any, ...]] | None:
    """The UPDATE of a bulk_update() from one JSON parameter; None for any other.

    Django writes one long CASE, which is compared from its beginning for each row.
    """
    query, connection = compiler.query, compiler.connection
    cases = [(field, _keyed(value, field)) for field, _, value in query.values]
    if not cases or query.related_updates or any(keyed is None for _, keyed in cases):
        return None
    meta = query.get_meta()
    keys = list(cases[0][1] or ())
    if any(list(keyed or ()) != keys for _, keyed in cases) or query.get_initial_alias() != meta.db_table:
        return None
    taken = [(meta.pk, keys), *((field, list((keyed or {}).values())) for field, keyed in cases)]
    prepared = [[adapt(f.get_db_prep_save(stored(f, value), connection)) for value in values] for f, values in taken]
    columns = [_Column(place, taken[place][0], values) for place, values in enumerate(prepared)]
    if query.count_active_tables() != 1 or not all(column.is_json for column in columns):
        return None
    texts = list(packed(zip(*(column.values for column in columns), strict=True), MAX_ROW_BYTES))
    return _joined(compiler, columns, keys, texts[0]) if len(texts) == 1 else None


def _joined(compiler: Any, columns: list[_Column], keys: list[Any], text: str) -> tuple[str, tuple[Any, ...]]:
    name = compiler.connection.ops.quote_name
    table = name(compiler.query.get_meta().db_table)
    chosen = ", ".join(f"{column.sql(compiler)} AS c{column.place}" for column in columns)
    changed = ", ".join(f"{name(column.field.column)} = d1_rows.c{column.place}" for column in columns[1:])
    rest, params = _other_conditions(compiler, keys)
    sql = (
        f"UPDATE {table} SET {changed} FROM (SELECT {chosen} FROM json_each(%s)) AS d1_rows"  # noqa: S608
        f" WHERE {table}.{name(columns[0].field.column)} = d1_rows.c0{rest}"
    )
    return sql, (text, *params)


def _other_conditions(compiler: Any, keys: list[Any]) -> tuple[str, tuple[Any, ...]]:
    """The conditions of the queryset, without the list of the very keys that the rows bring."""
    where = compiler.query.where.clone()
    where.children = [child for child in where.children if not _is_list_of(child, keys)]
    if not where.children:
        return "", ()
    try:
        sql, params = compiler.compile(where)
    except FullResultSet:
        return "", ()
    return f" AND ({sql})", tuple(params)


def _is_list_of(child: Any, keys: list[Any]) -> bool:
    if not isinstance(child, In) or not isinstance(child.lhs, Col) or not child.lhs.target.primary_key:
        return False
    return child.rhs_is_direct_value() and set(child.rhs) == set(keys)


def _keyed(value: Any, field: Any) -> dict[Any, Any] | None:
    """Key and plain value of each WHEN of bulk_update()'s CASE, the first for a key; None for any other value."""
    if type(value) is not Case or not value.cases:
        return None
    keyed: dict[Any, Any] = {}
    for when in value.cases:
        conditions = getattr(when.condition, "children", ())
        if len(conditions) != 1 or when.condition.negated or type(when.result) is not Value:
            return None
        if not _is_key(conditions[0]) or when.result._output_field_or_none != field:
            return None
        keyed.setdefault(conditions[0].rhs, when.result.value)
    return keyed


def _is_key(condition: Any) -> bool:
    """Whether a condition is that the primary key equals a value."""
    if not isinstance(condition, Exact) or not condition.rhs_is_direct_value():
        return False
    return isinstance(condition.lhs, Col) and condition.lhs.target.primary_key


def packed(rows: Iterator[Any], most: int = MAX_JSON_BYTES) -> Iterator[str]:
    """JSON arrays of the rows, each of so many bytes at the most, or of one row."""
    parts: list[bytes] = []
    size = 0
    for row in rows:
        part = dumps(list(row))
        if parts and size + len(part) > most:
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
        return _placeholder(compiler, self.field, taken)


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
    numerator, denominator = value.as_integer_ratio()
    if denominator > 1:
        return [numerator, 1 - denominator.bit_length()]
    # An integer: without its trailing zeros it has 53 bits at the most.
    zeros = (numerator & -numerator).bit_length() - 1
    return [numerator >> zeros, zeros]
