"""Compilers: expressions as D1 can run them, rows of bulk writes as JSON, and what a block learns from its reads."""

# django-stubs take every connection for the base class, and a compiler's methods for fixed.
# mypy: disable-error-code="override,attr-defined,misc,arg-type"

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError
from django.db.models import AutoField
from django.db.models.expressions import Col
from django.db.models.sql import compiler as django
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI

from d1 import bulk, decimals, dialect

MAX_TERMS = 5


class SQLCompiler(django.SQLCompiler):
    def compile(self, node: Any) -> tuple[str, Any]:
        put = dialect.translation(type(node))
        translated = put(node, self, self.connection) if put else None
        return translated or super().compile(node)

    def get_combinator_sql(self, combinator: str, all: bool) -> Any:
        queries = self.query.combined_queries
        if len(queries) <= MAX_TERMS:
            return super().get_combinator_sql(combinator, all)
        operator = self.connection.ops.set_operators[combinator] + (" ALL" if all and combinator == "union" else "")
        parts = self._parts(combinator, all, queries)
        sql = f" {operator} ".join(part for part, _ in parts[:MAX_TERMS])
        for start in range(MAX_TERMS, len(parts), MAX_TERMS - 1):
            more = [part for part, _ in parts[start : start + MAX_TERMS - 1]]
            sql = f" {operator} ".join([f"SELECT * FROM ({sql})", *more])  # noqa: S608 - compiled SQL
        return [sql], [param for _, params in parts for param in params]

    def _parts(self, combinator: str, all: bool, queries: Any) -> list[tuple[str, Any]]:
        """Each of many combined queries by itself; D1 takes five in one compound, and nested ones besides."""
        parts: list[tuple[str, Any]] = []
        low, high = self.query.low_mark, self.query.high_mark
        # The slice is of the whole, and Django would give a part that stands alone an empty companion for it.
        self.query.clear_limits()
        for query in queries:
            self.query.combined_queries = (query,)
            try:
                (sql,), params = super().get_combinator_sql(combinator, all)
                parts.append((sql, params))
            except EmptyResultSet:
                if combinator == "intersection" or (combinator == "difference" and not parts):
                    raise
            finally:
                self.query.combined_queries = queries
        self.query.set_limits(low, high)
        if not parts:
            raise EmptyResultSet
        return parts

    def execute_sql(
        self, result_type: Any = MULTI, chunked_fetch: bool = False, chunk_size: int = GET_ITERATOR_CHUNK_SIZE
    ) -> Any:
        results = super().execute_sql(result_type, chunked_fetch, chunk_size)
        if result_type == MULTI and not chunked_fetch and self.connection.unit_of_work is not None:
            return list(self._remembered(results))
        return results

    def _remembered(self, results: Any) -> Iterator[Any]:
        """The same rows; the block takes note of whose keys it has seen, so that it need not count them later."""
        keys = [
            (place, column.target.model._meta.db_table, column.target.column)
            for place, (column, *_) in enumerate(self.select or [])
            # The rows of combined queries may be of other tables than the first one's columns say.
            if isinstance(column, Col) and column.target.primary_key and not self.query.combinator
        ]
        seen = self.connection.unit_of_work.seen
        for rows in results:
            for place, table, column in keys:
                seen.setdefault((table, column), set()).update(row[place] for row in rows)
            yield rows


class SQLInsertCompiler(django.SQLInsertCompiler, SQLCompiler):
    def prepare_value(self, field: Any, value: Any) -> Any:
        value = decimals.stored(field, value)
        decimals.check(self.connection, self.query.get_meta().db_table, field, value)
        return super().prepare_value(field, value)

    def as_sql(self) -> Any:
        if self.query.fields and len(self.query.objs) > 1 and not self.returning_fields:
            rows = bulk.insert(self)
            if rows is not None:
                return rows
        return super().as_sql()

    def execute_sql(self, returning_fields: Any = None) -> Any:
        unit = self.connection.unit_of_work
        if unit is None:
            return super().execute_sql(returning_fields)
        if returning_fields:
            return [self._insert_with_key(unit, returning_fields)]
        self._insert(unit)
        return []

    def _insert(self, unit: Any) -> None:
        first = len(unit.writes)
        super().execute_sql(None)
        self._remember(unit, unit.writes[first:])

    def _insert_with_key(self, unit: Any, returning_fields: Any) -> tuple[Any, ...]:
        """In a block nothing is returned, so an automatic key is chosen beforehand. If another writer takes the same,
        the batch fails as a whole by the key's uniqueness."""
        (obj,), meta = self.query.objs, self.query.get_meta()
        if any(field is not meta.auto_field and field not in self.query.fields for field in returning_fields):
            names = ", ".join(field.name for field in returning_fields if field is not meta.auto_field)
            raise NotSupportedError(
                f"Inside a block the database gives nothing back, but {names} of {meta.label} is made by it: save it "
                "outside of the block, or give it a value."
            )
        key = meta.auto_field
        if key is not None and key not in self.query.fields:
            setattr(obj, key.attname, self._next_key(unit, meta, key))
            self.query.fields = [key, *self.query.fields]
        self._insert(unit)
        return tuple(field.get_db_prep_save(getattr(obj, field.attname), self.connection) for field in returning_fields)

    def _next_key(self, unit: Any, meta: Any, key: AutoField) -> int:
        table = meta.db_table
        if table not in unit.next_ids:
            unit.next_ids[table] = self.connection.ops.last_key(table, key.column)
        last = max(unit.next_ids[table], unit.highest.get(table, 0))
        unit.next_ids[table] = last + 1 + unit.unnumbered.pop(table, 0)
        return int(unit.next_ids[table])

    def _remember(self, unit: Any, writes: Any) -> None:
        """Rows of this block with a known key need no counting later; those without take the next ones at the end."""
        meta, key = self.query.get_meta(), self.query.get_meta().pk
        if key not in self.query.fields:
            unit.unnumbered[meta.db_table] = unit.unnumbered.get(meta.db_table, 0) + len(self.query.objs)
        elif self.query.on_conflict is None:
            values = [self.prepare_value(key, getattr(obj, key.attname)) for obj in self.query.objs]
            known = {value for value in values if isinstance(value, (str, int))}
            unit.seen.setdefault((meta.db_table, key.column), set()).update(known)
            numbers = [value for value in known if isinstance(value, int)]
            unit.highest[meta.db_table] = max(numbers, default=unit.highest.get(meta.db_table, 0))
            for write in writes:
                write.only_adds = (meta.db_table, key.column) if len(known) == len(values) else None


class SQLDeleteCompiler(django.SQLDeleteCompiler, SQLCompiler):
    pass


class SQLUpdateCompiler(django.SQLUpdateCompiler, SQLCompiler):
    def as_sql(self) -> Any:
        table = self.query.get_meta().db_table
        for field, _, value in self.query.values:
            for each in decimals.values_of(value):
                decimals.check(self.connection, table, field, each)
        if rows := bulk.update(self):
            return rows
        self.query.values = [(field, model, decimals.stored(field, value)) for field, model, value in self.query.values]
        return super().as_sql()


class SQLAggregateCompiler(django.SQLAggregateCompiler, SQLCompiler):
    pass
