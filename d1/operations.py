"""How Django's expressions, fields and fixtures are put to D1."""

# django-stubs still have the signatures of Django 4.1 here.
# mypy: disable-error-code="override,attr-defined"

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, NotSupportedError
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteDatabaseOperations
from django.db.models.constants import OnConflict

from d1 import bulk, decimals, durations, temporal
from d1.exact import as_text, from_text
from d1.failures import OperationalError
from d1.statement import literal, render, template

Sql = tuple[str, Sequence[Any]]


class DatabaseOperations(SQLiteDatabaseOperations):
    compiler_module = "d1.compiler"
    # EXPLAIN itself, which shows byte code, is of no use over the API.
    explain_prefix = "EXPLAIN QUERY PLAN"

    def bulk_batch_size(self, fields: Any, objs: Any) -> int:
        return bulk.batch_size(fields, objs)

    # D1 runs no functions from Python, so dates are computed in its own SQL.

    def date_extract_sql(self, lookup_type: str, sql: str, params: Any) -> Sql:
        return temporal.extract(lookup_type, sql, params)

    def date_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None = None) -> Sql:
        return temporal.trunc_date(lookup_type, *self._local(sql, params, tzname))

    def time_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None = None) -> Sql:
        return temporal.trunc_time(lookup_type, *self._local(sql, params, tzname))

    def datetime_cast_date_sql(self, sql: str, params: Any, tzname: str | None) -> Sql:
        return temporal.cast_date(*self._local(sql, params, tzname))

    def datetime_cast_time_sql(self, sql: str, params: Any, tzname: str | None) -> Sql:
        return temporal.cast_time(sql, params, *self._local(sql, params, tzname))

    def datetime_extract_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None) -> Sql:
        return temporal.extract(lookup_type, *self._local(sql, params, tzname))

    def datetime_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None) -> Sql:
        return temporal.trunc_datetime(lookup_type, *self._local(sql, params, tzname))

    def time_extract_sql(self, lookup_type: str, sql: str, params: Any) -> Sql:
        return temporal.extract(lookup_type, sql, params)

    def _local(self, sql: str, params: Any, tzname: str | None) -> Sql:
        name, stored = self._convert_tznames_to_sql(tzname)
        return temporal.local(sql, params, name, stored)

    def subtract_temporals(self, internal_type: str, lhs: Sql, rhs: Sql) -> Sql:
        return durations.difference(lhs, rhs)

    def combine_duration_expression(self, connector: str, sub_expressions: list[str]) -> str:
        if connector not in ("+", "-", "*", "/"):
            raise DatabaseError(f"Invalid connector for timedelta: {connector}.")
        if len(sub_expressions) > 2:
            raise ValueError("Too many params for timedelta operations.")
        return durations.combine(connector, *sub_expressions)

    def combine_expression(self, connector: str, sub_expressions: list[str]) -> str:
        # pow() is allowed, power() is not, and SQLite has no operator for exclusive or.
        if connector == "^":
            return f"pow({','.join(sub_expressions)})"
        if connector == "#":
            left, right = sub_expressions
            return f"(SELECT (l|r)-(l&r) FROM (SELECT {left} AS l, {right} AS r))"  # noqa: S608 - compiled SQL
        return super().combine_expression(connector, sub_expressions)

    def get_db_converters(self, expression: Any) -> list[Any]:
        converters = super().get_db_converters(expression)
        if expression.output_field.get_internal_type() == "FloatField":
            converters.append(self.convert_floatfield_value)
        return converters

    def convert_floatfield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """JSON knows no difference between 819.0 and 819."""
        return float(value) if isinstance(value, int) else value

    def get_decimalfield_converter(self, expression: Any) -> Any:
        return decimals.converter(expression)

    def adapt_decimalfield_value(self, value: Any, max_digits: Any = None, decimal_places: Any = None) -> Any:
        return decimals.adapted(value, max_digits, decimal_places)

    def return_insert_columns(self, fields: Any) -> Sql:
        # As text, for a key above 2^53 would come back rounded.
        columns = [self.quote_name(field.column) for field in fields]
        return ("RETURNING " + ", ".join(map(as_text, columns)), ()) if columns else ("", ())

    def fetch_returned_insert_columns(self, cursor: Any, returning_params: Any) -> Any:
        row = cursor.fetchone()
        return tuple(from_text(value) for value in row) if row else row

    def last_key(self, table: str, column: str) -> int:
        """The highest key that a table with an automatic key has given so far, not counting what waits."""
        highest = f"SELECT coalesce(max({self.quote_name(column)}), 0) FROM {self.quote_name(table)}"  # noqa: S608
        given = f"SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = %s), 0), ({highest}))"  # noqa: S608
        connection = self.connection.connection
        try:
            (answer,) = connection.read([render(given, [table])])
        except OperationalError as error:
            if "sqlite_sequence" not in str(error):
                raise
            # There is none in a database without any AUTOINCREMENT.
            (answer,) = connection.read([render(highest, ())])
        return int(answer.rows[0][0])

    def insert_statement(self, on_conflict: Any = None) -> str:
        return "INSERT OR IGNORE INTO" if on_conflict == OnConflict.IGNORE else "INSERT INTO"

    def force_group_by(self) -> list[str]:
        return []

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """The statement with its parameters written into it. D1 is not asked, for that would be a request."""
        if not params:
            return sql
        values = iter(params) if not isinstance(params, dict) else None
        return "".join(
            part if isinstance(part, str) else _shown(next(values) if values else params[part.name])
            for part in template(sql)
        )

    # `flush` and `sqlflush`

    def execute_sql_flush(self, sql_list: list[str]) -> None:
        # Foreign keys are always on: deferred, the order of the tables does not matter.
        super().execute_sql_flush([self.start_transaction_sql(), *sql_list])

    def _references_graph(self, table_name: str) -> list[str]:
        """The tables that refer to this one, however indirectly, and itself. SQLite's asks with REGEXP."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%references%'")
            schemas = cursor.fetchall()
        found = [table_name]
        for parent in found:
            refers = re.compile(rf"\breferences\s+[\"'`\[]?{re.escape(parent)}[\"'`\]]?\s*\(", re.IGNORECASE)
            found += [name for name, sql in schemas if name not in found and refers.search(sql)]
        return found

    def start_transaction_sql(self) -> str:
        # There is no BEGIN. This begins a batch whose tables may be emptied in any order.
        return "PRAGMA defer_foreign_keys = ON;"

    def end_transaction_sql(self, success: bool = True) -> str:
        return "-- Send all of this as one batch: D1 has no COMMIT."

    def regex_lookup(self, lookup_type: str) -> str:
        raise NotSupportedError(
            f"D1 has no REGEXP, so {lookup_type} can't be asked of it: use contains, startswith or endswith, or choose "
            "among the rows in Python."
        )


def _shown(value: Any) -> str:
    try:
        return literal(value)
    except TypeError:
        return str(value)
