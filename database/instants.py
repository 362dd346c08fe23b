"""Instants in SQL: in the right order and in the right bounds, whichever forms meet in a column.

The column is compiled to one expression over which the indexes of `migrations/` stand, so it has to stay literal. It
gives `YYYY-MM-DD HH:MM:SS[.fff]`, and one instant may have several such texts (`...09` and `...09.000`, `14:03` and
`14:03:00`). All texts of an instant sort before all texts of a later one, and the shortest sorts first: therefore each
comparison is an interval, closed below and open above, of shortest texts.

`TruncMonth("created_at")` and its kin need `output_field=DateTimeField()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db.models import Field, IntegerField, Lookup, TextField, Transform
from django.db.models.expressions import Col, Expression, F, Func
from django.db.models.sql.compiler import PositionRef

from database.values import Odd, Stored

#: {c} is a column. The percent signs are doubled, for Django fills in parameters.
EXPRESSION = (
    "CASE WHEN {c} GLOB '*[^0-9]*' THEN replace(replace({c},'T',' '),'Z','')"
    " ELSE strftime('%%Y-%%m-%%d %%H:%%M:%%f', {c}, 'unixepoch') END"
)
# Every instant's text starts with a digit; ':' is the character after '9'.
FIRST, AFTER_LAST = "0", ":"

SQL = tuple[str, list[Any]]


def shortest_text(value: datetime) -> str:
    """The text that sorts before all others of this instant: no zeros at its end."""
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds").rstrip("0").removesuffix(".")
    return text.removesuffix(":00").removesuffix(" 00:00")


def next_text(value: datetime) -> str:
    """The text that sorts after all others of this instant."""
    try:
        return shortest_text(value + timedelta(microseconds=1))
    except OverflowError:
        return AFTER_LAST


class InstantCol(Col):
    """A column of instants: raw where it is selected, the expression everywhere else."""

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        sql, _ = self.raw_sql(compiler, connection)
        return EXPRESSION.format(c=sql), []

    def raw_sql(self, compiler: Any, connection: Any) -> SQL:
        sql, params = super().as_sql(compiler, connection)
        return sql, list(params)

    def select_format(self, compiler: Any, sql: str, params: Any) -> SQL:
        return self.raw_sql(compiler, compiler.connection)


def _order_by_position(self: Any, compiler: Any, connection: Any) -> SQL:
    """The order of `values("created_at").order_by("created_at")`: Django would take the raw column, by its place."""
    if isinstance(self.source, InstantCol) and not compiler.query.combinator:
        return self.source.as_sql(compiler, connection)
    sql, params = self.as_sql(compiler, connection)
    return sql, list(params)


# Django's documented way to change one expression on one kind of database.
PositionRef.as_sqlite = _order_by_position  # type: ignore[attr-defined]


class Instant(Func):
    """The text by which instants sort, for `annotate()`, `order_by()` and keyed pages: `Instant("created_at")`."""

    template = "%(expressions)s"
    arity = 1
    output_field = TextField()


class StoredText(Func):
    """The cell itself, unread: `values_list(StoredText("created_at"))`."""

    template = "%(expressions)s"
    arity = 1
    output_field: Field = Field()

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> SQL:
        return raw_column(self.get_source_expressions()[0], compiler, connection)


def raw_column(expression: Any, compiler: Any, connection: Any) -> SQL:
    if isinstance(expression, InstantCol):
        return expression.raw_sql(compiler, connection)
    sql, params = compiler.compile(expression)
    return sql, list(params)


class IsStored(Lookup):
    """`IsStored(F("name"), cell)` is true where the cell is this very one; NULL is NULL."""

    lookup_name = "stored"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        sql, params = raw_column(self.lhs, compiler, connection)
        return f"{sql} IS %s", [*params, self.rhs]


def is_stored(name: str, cell: Stored) -> Expression:
    return cast(Expression, IsStored(F(name), cell))


class Period(Transform):
    """A day or year of a column. A comparison with it is an interval of the column, so that an index serves."""

    length = 4

    def interval(self, value: Any) -> tuple[str, str]:
        raise NotImplementedError

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> SQL:
        sql, params = compiler.compile(self.lhs)
        return f"substr({sql}, 1, {self.length})", list(params)


class Interval(Lookup):
    """A comparison as an interval of texts: `FIRST <= text < AFTER_LAST` narrowed on one side or both.

    The field (or the period) tells by `interval(value)` the lowest text of a value, and the first text after it.
    """

    prepare_rhs = False
    operator = "="

    def texts(self, value: Any) -> tuple[str, str]:
        source = self.lhs if isinstance(self.lhs, Period) else self.lhs.output_field
        return cast(tuple[str, str], source.interval(value))

    def bounds(self) -> tuple[str, str]:
        raise NotImplementedError

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        if hasattr(self.rhs, "resolve_expression"):
            return self._against_expression(compiler, connection)
        sql, params = compiler.compile(self.lhs.lhs if isinstance(self.lhs, Period) else self.lhs)
        low, high = self.bounds()
        return f"({sql} >= %s AND {sql} < %s)", [*params, low, *params, high]

    def _against_expression(self, compiler: Any, connection: Any) -> SQL:
        left, left_params = compiler.compile(self.lhs)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} {self.operator} ({right})", [*left_params, *right_params]


class Exact(Interval):
    lookup_name = "exact"

    def bounds(self) -> tuple[str, str]:
        return self.texts(self.rhs)

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        if isinstance(self.rhs, Odd):
            return IsStored(self.lhs, self.rhs.stored).as_sql(compiler, connection)
        return super().as_sql(compiler, connection)


class GreaterThan(Interval):
    lookup_name, operator = "gt", ">"

    def bounds(self) -> tuple[str, str]:
        return self.texts(self.rhs)[1], AFTER_LAST


class GreaterThanOrEqual(Interval):
    lookup_name, operator = "gte", ">="

    def bounds(self) -> tuple[str, str]:
        return self.texts(self.rhs)[0], AFTER_LAST


class LessThan(Interval):
    lookup_name, operator = "lt", "<"

    def bounds(self) -> tuple[str, str]:
        return FIRST, self.texts(self.rhs)[0]


class LessThanOrEqual(Interval):
    lookup_name, operator = "lte", "<="

    def bounds(self) -> tuple[str, str]:
        return FIRST, self.texts(self.rhs)[1]


class Range(Interval):
    lookup_name = "range"

    def bounds(self) -> tuple[str, str]:
        first, last = self.rhs
        return self.texts(first)[0], self.texts(last)[1]


class In(Interval):
    """An OR of intervals, halved again and again: D1 takes expressions no deeper than 100."""

    lookup_name = "in"

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        if hasattr(self.rhs, "resolve_expression"):
            return self._against_query(compiler, connection)
        values = [value for value in self.rhs if value is not None]
        parts = [Exact(self.lhs, value).as_sql(compiler, connection) for value in values]
        return _any_of(parts) if parts else ("0 = 1", [])

    def _against_query(self, compiler: Any, connection: Any) -> SQL:
        left, left_params = compiler.compile(self.lhs)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} IN {right}", [*left_params, *right_params]


def _any_of(parts: Sequence[SQL]) -> SQL:
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    (left, left_params), (right, right_params) = _any_of(parts[:half]), _any_of(parts[half:])
    return f"({left} OR {right})", left_params + right_params


class IsNull(Lookup):
    """Of the cell itself: the expression is NULL for cells as well that hold what is no instant."""

    lookup_name = "isnull"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> SQL:
        if not isinstance(self.rhs, bool):
            raise ValueError("The QuerySet value for an isnull lookup must be True or False.")
        sql, params = raw_column(self.lhs, compiler, connection)
        return f"{sql} IS {'' if self.rhs else 'NOT '}NULL", params


COMPARISONS = (Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, Range, In)


class Number(Transform):
    """A number that stands at a fixed place of the text: a month, an hour."""

    start, length = 1, 4
    output_field = IntegerField()

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> SQL:
        sql, params = compiler.compile(self.lhs)
        return f"CAST(substr({sql}, {self.start}, {self.length}) AS INTEGER)", list(params)


def number(name: str, start: int) -> type[Number]:
    return type(name.title(), (Number,), {"lookup_name": name, "start": start, "length": 2})


class YearOf(Period):
    lookup_name = "year"
    output_field = IntegerField()

    def interval(self, value: Any) -> tuple[str, str]:
        year = int(value)
        return f"{year:04}", f"{year + 1:04}" if year < 9999 else AFTER_LAST

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> SQL:
        sql, params = super().as_sql(compiler, connection)
        return f"CAST({sql} AS INTEGER)", params


for comparison in COMPARISONS:
    Period.register_lookup(comparison)
