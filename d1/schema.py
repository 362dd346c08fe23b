"""Makes and changes tables. A schema editor's statements are one batch, which D1 commits whole or not at all."""

# django-stubs take every connection for SQLite's, and leave out private methods.
# mypy: disable-error-code="attr-defined,misc"

from __future__ import annotations

from typing import Any, Self

from django.core.management.base import CommandError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor as SQLiteDatabaseSchemaEditor
from django.db.models import DecimalField
from django.db.utils import NotSupportedError

from d1 import decimals
from d1.statement import literal

_CASCADES = """
    SELECT m.name, f.on_delete FROM sqlite_master m, pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' AND m.name NOT LIKE '\\_cf\\_%%' ESCAPE '\\'
        AND lower(f."table") = lower(%s) AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')"""


class DatabaseSchemaEditor(SQLiteDatabaseSchemaEditor):
    # Immediate, not deferred to the end of the batch: when a deferred one is violated there, D1 resets the database
    # object and answers with an internal error instead of an IntegrityError.
    sql_create_inline_fk = "REFERENCES %(to_table)s (%(to_column)s)"
    sql_create_column_inline_fk = sql_create_inline_fk

    def __enter__(self) -> Self:
        # SQLite's asks for foreign keys to be off, which D1 refuses. A remade table defers them instead.
        return BaseDatabaseSchemaEditor.__enter__(self)

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        # The batch checks foreign keys itself. Nothing of it is there to be checked before.
        found, self.connection.find_failing_statement = self.connection.find_failing_statement, True
        try:
            BaseDatabaseSchemaEditor.__exit__(self, exc_type, exc_value, traceback)
        finally:
            self.connection.find_failing_statement = found

    def execute(self, sql: Any, params: Any = ()) -> None:
        refusal = self.connection.settings_dict["OPTIONS"].get("migrate_refusal")
        if refusal and not self.collect_sql:
            # The one error that a management command shows as a sentence, without a traceback.
            raise CommandError(refusal)
        super().execute(sql, params)

    def quote_value(self, value: Any) -> str:
        try:
            return literal(value)
        except TypeError:
            raise ValueError(f"Cannot quote parameter value {value!r} of type {type(value)}") from None

    def _remake_table(
        self, model: Any, create_field: Any = None, delete_field: Any = None, alter_fields: Any = None
    ) -> None:
        self._refuse_to_lose_children(model._meta.db_table)
        if self.connection.unit_of_work is not None:
            self.execute("PRAGMA defer_foreign_keys = ON")
        decimals_changed = [pair for pair in alter_fields or () if any(map(decimals.width, pair))]
        for old, new in decimals_changed:
            self._refuse_to_round(model, old, new)
        super()._remake_table(model, create_field, delete_field, alter_fields)
        for old, new in decimals_changed:
            if decimals.width(new) and old.db_type(self.connection) != new.db_type(self.connection):
                table, column = self.quote_name(model._meta.db_table), self.quote_name(new.column)
                text = decimals.rewritten(column, new.decimal_places)
                self.execute(f"UPDATE {table} SET {column} = {text}", None)  # noqa: S608 - quoted names

    def _refuse_to_round(self, model: Any, old: Any, new: Any) -> None:
        """Fewer places would cut digits off, and a column of numbers would round those that it can't hold."""
        table, column = model._meta.db_table, self.quote_name(old.column)
        if decimals.width(new):
            if getattr(old, "decimal_places", 0) > new.decimal_places:
                raise decimals.refusal("fewer places for a field of longer ones")
        elif isinstance(new, DecimalField) and self.connection.unit_of_work is not None and not self.collect_sql:
            short = decimals.is_short(column)
            condition = f"NOT EXISTS (SELECT 1 FROM {self.quote_name(table)} WHERE NOT {short})"  # noqa: S608
            self.connection.guard(f"{table}.{old.column} has no decimal of more than 15 digits", condition)

    def _refuse_to_lose_children(self, table: str) -> None:
        """Foreign keys are always on, so dropping the old table would carry out its children's ON DELETE."""
        if self.collect_sql:
            return
        with self.connection.cursor() as cursor:
            children = sorted({name for name, _ in cursor.execute(_CASCADES, [table]).fetchall()})
        if children:
            raise NotSupportedError(
                f"{table} can't be remade on D1: dropping the old table would delete rows of {', '.join(children)}, "
                "by their ON DELETE. Copy those rows aside, or change the table by ALTER TABLE."
            )

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        if old_db_table != f"new__{new_db_table}":
            super().alter_db_table(model, old_db_table, new_db_table)
            return
        # The end of _remake_table(). Dropping the old parent counted each child row as a violation; only inserting
        # the parent's rows under its own name counts them off again, a rename does not.
        # table_sql() adds the table's indexes to the deferred statements, where they are already.
        deferred = list(self.deferred_sql)
        sql, params = self.table_sql(model)
        self.deferred_sql = deferred
        old, new = self.quote_name(old_db_table), self.quote_name(new_db_table)
        self.execute(sql.replace(old, new), params or None)
        columns = ", ".join(
            self.quote_name(field.column) for field in model._meta.local_concrete_fields if not field.generated
        )
        self.execute(f"INSERT INTO {new} ({columns}) SELECT {columns} FROM {old}", None)  # noqa: S608 - quoted names
        self.execute(self.sql_delete_table % {"table": old}, None)
        for statement in self.deferred_sql:
            if hasattr(statement, "rename_table_references"):
                statement.rename_table_references(old_db_table, new_db_table)
