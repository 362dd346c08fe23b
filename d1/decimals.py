"""Decimals that are exact, or refused.

A column that is declared `decimal` holds numbers, and SQLite keeps 15 digits of a fraction. So fields of more digits
get columns of text, written with all of the field's places. Text is equal where the number is; to be put in order it
is compared by a key. What SQLite would compute as floats is refused.
"""

# django-stubs leave out private attributes.
# mypy: disable-error-code="attr-defined,override"

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import FieldError
from django.db import DataError, NotSupportedError
from django.db.models import Case, Count, DecimalField, ExpressionWrapper, Func, TextField, Value, functions, lookups
from django.db.models.expressions import Col, Ref

Sql = tuple[str, Any]
Converter = Callable[[Any, Any, Any], Any]

EXACT_DIGITS = 15
# TEXT gives the affinity, `decimal` tells introspection what it is. https://www.sqlite.org/datatype3.html
WIDE_TYPE = "decimal text"

_PLACES = re.compile(r"decimal[^(]*\((\d+)\s*,\s*(\d+)\)", re.IGNORECASE)

_OPERATORS = {
    lookups.Exact: "=",
    lookups.GreaterThan: ">",
    lookups.GreaterThanOrEqual: ">=",
    lookups.LessThan: "<",
    lookups.LessThanOrEqual: "<=",
}
# What hands on a value as it is, or only counts it.
_HANDED_ON = (Case, ExpressionWrapper, functions.Coalesce, functions.NullIf, functions.Cast, Count)


def column_type(data: Mapping[str, Any]) -> str:
    """The type of a column for a field of so many `max_digits`. A wide one says them, for introspection."""
    if (data["max_digits"] or 0) <= EXACT_DIGITS:
        return "decimal"
    return f"{WIDE_TYPE}({data['max_digits']},{data['decimal_places']})"


def digits(value: Any) -> int:
    """How many significant digits a decimal has."""
    if not isinstance(value, decimal.Decimal) or not value.is_finite():
        return 0
    return len("".join(map(str, value.as_tuple().digits)).strip("0"))


def adapted(value: Any, max_digits: int | None, places: int | None) -> Any:
    """A field's value as D1 is sent it: for a column of text with all of the field's places, and no sign of a zero."""
    if not isinstance(value, decimal.Decimal) or (max_digits or 0) <= EXACT_DIGITS or not value.is_finite():
        return value
    lacking = (places or 0) + int(value.as_tuple().exponent)
    text = f"{value:.{places}f}" if lacking >= 0 else f"{value:f}"
    return text if text.strip("-0.") else text.lstrip("-")


def reach(value: Any) -> int:
    """How many digits a decimal has on one side of its point, the more of the two."""
    if not isinstance(value, decimal.Decimal) or not value.is_finite():
        return 0
    return max(value.adjusted() + 1, -int(value.as_tuple().exponent))


def width(node: Any) -> int:
    """The digits of an expression or value that a float does not hold; 0 for any other."""
    if isinstance(node, decimal.Decimal):
        return digits(node) if digits(node) > EXACT_DIGITS else 0
    if isinstance(node, Value) and node.value is not None:
        return width(node.value)
    field = node if isinstance(node, DecimalField) else output_field(node)
    most = field.max_digits or 0 if isinstance(field, DecimalField) else 0
    return most if most > EXACT_DIGITS else 0


def output_field(node: Any) -> Any:
    try:
        return getattr(node, "output_field", None)
    except (FieldError, NotImplementedError, AttributeError):
        return None


class Key(Func):
    """Text that sorts as the number does: its sign, then digits in places of a fixed width."""

    output_field = TextField()

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> Sql:
        (source,) = self.get_source_expressions()
        sql, params = compiler.compile(source)
        return key(sql, width(source)), params


def key(sql: str, most: int) -> str:
    """The SQL of such a text, for a number of so many digits on each side of its point."""
    zeros = "0" * most
    # Digits of a negative number run the other way; letters, so that none is replaced twice.
    turned = "u"
    for digit, letter in zip("0123456789", "jihgfedcba", strict=True):
        turned = f"replace({turned},'{digit}','{letter}')"
    text = f"iif(typeof(v)='real',format('%%.{most}f',v),v||'')"
    parts = "t,ltrim(substr(t,1,point-1),'-') AS i,substr(t,point+1) AS f"
    padded = f"t,substr('{zeros}'||i,-{most})||substr(f||'{zeros}',1,{most}) AS u"
    return (
        f"(SELECT CASE WHEN t LIKE '-%%' THEN 'n'||{turned} ELSE 'p'||u END"  # noqa: S608 - compiled SQL
        f" FROM (SELECT {padded} FROM (SELECT {parts} FROM (SELECT t,instr(t||'.','.') AS point"
        f" FROM (SELECT {text} AS t FROM (SELECT {sql} AS v))))))"
    )


class Stored(Func):
    """A value as it stands in a column of text: with all places; a computed one with the 15 digits that a float has."""

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> Sql:
        (source,) = self.get_source_expressions()
        places = self.output_field.decimal_places
        known, field = "v", output_field(source)
        if width(source) and (taken := getattr(field, "decimal_places", None)) not in (None, places):
            if taken > places:
                raise refusal("a copy to fewer places of a longer one")
            known = f"v||'{'' if taken else '.'}{'0' * (places - taken)}'"
        shown = f"format('%%.{places}f',CAST(format('%%.{EXACT_DIGITS - 1}e',v) AS REAL))"
        sql, params = compiler.compile(source)
        form = f"CASE typeof(v) WHEN 'null' THEN NULL WHEN 'text' THEN {known} ELSE {shown} END"
        return f"(SELECT {form} FROM (SELECT {sql} AS v))", params  # noqa: S608 - compiled SQL

    # Django's would make a float of it.
    as_sqlite = as_sql


def places_of(data_type: str) -> tuple[int | None, int | None]:
    """The digits and places that a declared type says; None where it does not."""
    found = _PLACES.search(data_type)
    return (int(found[1]), int(found[2])) if found else (None, None)


def rewritten(name: str, places: int) -> str:
    """The SQL of a column's text with so many places, whatever number of them it had."""
    zeros = "0" * places
    plain = f"iif({name} LIKE '%e%',format('%.{places}f',{name}),{name})"
    point = "instr(v||'.','.')"
    shown = f"substr(v,1,{point}-1)||'.'||substr(substr(v,{point}+1)||'{zeros}',1,{places})"
    return f"(SELECT {shown} FROM (SELECT {plain} AS v))"  # noqa: S608 - quoted names


def is_short(name: str) -> str:
    """The SQL condition that a column's text has no more digits than a float."""
    bare = f"replace(replace({name},'-',''),'.','')"
    return f"length(trim({bare},'0'))<={EXACT_DIGITS}"


def stored(field: Any, value: Any) -> Any:
    """What to set a field to, which is rounded to its places; an expression too, where the column is text."""
    plain = value.value if isinstance(value, Value) else value
    if not width(field) or isinstance(value, Stored):
        return value
    if hasattr(plain, "resolve_expression"):
        return Stored(value, output_field=field)
    if not isinstance(plain, decimal.Decimal):
        return plain
    try:
        return plain.quantize(decimal.Decimal(1).scaleb(-field.decimal_places), context=field.context)
    except decimal.InvalidOperation:
        raise DataError(f"{field.name} takes {field.max_digits} digits, and {plain} has more.") from None


def compared(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """A comparison of which a side has more digits than a float."""
    sides = node.rhs if isinstance(node.rhs, (list, tuple, set, frozenset)) else [node.rhs]
    most = max([width(node.lhs), *map(width, sides)])
    if not most:
        return None
    most = max(most, *map(reach, sides)) if sides else most
    if isinstance(node, (lookups.Exact, lookups.In)) and isinstance(node.lhs, Col) and node.rhs_is_direct_value():
        return _equal(node, compiler, connection, sides) if any(map(width, sides)) else None
    return _by_key(node, compiler, connection, most)


def _equal(node: Any, compiler: Any, connection: Any, values: Any) -> Sql:
    """Text is equal as it is. A float that is near to a value with more digits is not."""
    sql, params = node.as_sql(compiler, connection)
    lhs, lhs_params = node.process_lhs(compiler, connection)
    found = f"({sql} AND typeof({lhs})<>'real'"
    short = [value for value in values if value is not None and not width(value)]
    if not short:
        return f"{found})", (*params, *lhs_params)
    more, more_params = compiler.compile(lookups.In(node.lhs, short))
    return f"({sql} AND (typeof({lhs})<>'real' OR {more}))", (*params, *lhs_params, *more_params)


def _by_key(node: Any, compiler: Any, connection: Any, most: int) -> Sql:
    if isinstance(node, lookups.In):
        raise refusal("IN with expressions of a longer one")
    lhs, lhs_params = node.process_lhs(compiler, connection)
    rhs, rhs_params = node.process_rhs(compiler, connection)
    left = key(lhs, most)
    if isinstance(node, lookups.Range):
        low, high = rhs
        return f"{left} BETWEEN {key(low, most)} AND {key(high, most)}", (*lhs_params, *rhs_params)
    operator = next(sign for kind, sign in _OPERATORS.items() if isinstance(node, kind))
    return f"{left} {operator} {key(rhs, most)}", (*lhs_params, *rhs_params)


def ordered(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """ORDER BY of text that is a number."""
    source = node.expression.source if isinstance(node.expression, Ref) else node.expression
    if not width(source):
        return None
    if compiler.query.combinator:
        raise refusal("the order of combined queries of a longer one")
    by_key = node.copy()
    by_key.set_source_expressions([Key(source)])
    sql, params = compiler.compile(by_key)
    return sql, params


def computed(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """An expression over decimals with more digits than a float: as it is where it hands on a value, else refused."""
    if isinstance(node, (Key, Stored)) or not any(map(width, _sources(node))):
        return None
    if isinstance(node, _HANDED_ON) and not isinstance(node, Count):
        sql, params = node.as_sql(compiler, connection)
        return sql, params
    field = output_field(node)
    if isinstance(node, Count) or (field is not None and field.get_internal_type() in ("CharField", "TextField")):
        return None
    raise refusal(f"{getattr(node, 'function', None) or 'arithmetic'} of a longer one")


def _sources(node: Any) -> list[Any]:
    found = [source for source in node.get_source_expressions() if source is not None]
    if isinstance(node, Case):
        return [getattr(source, "result", source) for source in found]
    return found


def plain_value(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """A decimal that Django would cast to a float."""
    if not width(node):
        return None
    sql, params = node.as_sql(compiler, connection)
    return sql, params


def refusal(what: str) -> NotSupportedError:
    return NotSupportedError(
        f"D1 computes decimals as floats, which hold {EXACT_DIGITS} digits, so {what} is refused: compute it "
        f"in Python, or give the field max_digits={EXACT_DIGITS}."
    )


def converter(expression: Any) -> Converter:
    """What makes a Decimal of a value that was read: of text exactly, of a float with the digits that it holds.

    NotSupportedError for a computed float that has fewer digits than its field's places ask for.
    """
    places = getattr(expression.output_field, "decimal_places", None)
    is_column = isinstance(expression, Col)
    unit = decimal.Decimal(1).scaleb(-places) if is_column and places is not None else None
    from_float = decimal.Context(prec=EXACT_DIGITS).create_decimal_from_float
    most = None if is_column or places is None else 10 ** (EXACT_DIGITS - places) if places < EXACT_DIGITS else 1

    def convert(value: Any, expression: Any, connection: Any) -> Any:
        if value is None:
            return None
        if most and not isinstance(value, str) and abs(value) >= most:
            raise refusal(f"a result of {value:g} with {places} places")
        number = from_float(value) if isinstance(value, float) else decimal.Decimal(value)
        return number if unit is None else number.quantize(unit, context=expression.output_field.context)

    return convert


def values_of(value: Any) -> list[Any]:
    """The plain values that an UPDATE sets a field to: those of a bulk update's CASE, or the one."""
    results = [when.result for when in value.cases] if isinstance(value, Case) else [value]
    return [result.value if isinstance(result, Value) else result for result in results]


def check(connection: Any, table: str, field: Any, value: Any) -> None:
    """Refuse a value that its column would not keep: NotSupportedError with the way out."""
    if not isinstance(value, decimal.Decimal) or not isinstance(field, DecimalField) or not width(value):
        return
    if connection.is_numeric(table, field.column):
        raise NotSupportedError(
            f"{table}.{field.column} keeps {EXACT_DIGITS} digits of a decimal, for SQLite holds it as a float, and "
            f"this value has {digits(value)}: give the column the type "
            f"{WIDE_TYPE + f'({field.max_digits},{field.decimal_places})'!r} by a migration."
        )
