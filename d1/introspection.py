"""What tables a database has, read with few requests."""

# django-stubs leave out what is used here.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.db.backends.base.introspection import TableInfo
from django.db.backends.sqlite3.introspection import DatabaseIntrospection as SQLiteDatabaseIntrospection
from django.db.backends.sqlite3.introspection import FieldInfo, FlexibleFieldLookupDict, get_field_size

from d1.decimals import WIDE_TYPE, places_of

_SCHEMA = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s"


class _Types(FlexibleFieldLookupDict):
    base_data_types_reverse = {**FlexibleFieldLookupDict.base_data_types_reverse, WIDE_TYPE: "DecimalField"}


class DatabaseIntrospection(SQLiteDatabaseIntrospection):
    data_types_reverse = _Types()

    def get_table_list(self, cursor: Any) -> list[TableInfo]:
        # D1's own tables may not be read, and wrangler's list of migrations is not the application's.
        cursor.execute(r"""
            SELECT name, type FROM sqlite_master
            WHERE type IN ('table', 'view') AND name NOT LIKE '\_cf\_%' ESCAPE '\'
                AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> 'd1_migrations'
            ORDER BY name""")
        return [TableInfo(name, kind[0]) for name, kind in cursor.fetchall()]

    def get_table_description(self, cursor: Any, table_name: str) -> list[FieldInfo]:
        # Django's asks once for each column whether it has a JSON constraint, by a LIKE that D1 finds too long.
        described = f"PRAGMA table_xinfo({self.connection.ops.quote_name(table_name)})"
        with cursor.connection.prefetch([(described, None), (_SCHEMA, [table_name])]):
            columns = cursor.execute(described).fetchall()
            schema = (cursor.execute(_SCHEMA, [table_name]).fetchone() or ("",))[0].lower()
        if not columns:
            raise DatabaseError(f"Table {table_name} does not exist (empty pragma).")
        collations = self._get_column_collations(cursor, table_name)
        primary = [name for _, name, *_, pk, _ in columns if pk]
        return [
            FieldInfo(
                name,
                data_type,
                get_field_size(data_type),
                None,
                *places_of(data_type),
                # SQLite lets a key of text be NULL; Django refuses a model whose key may be.
                not (notnull or pk),
                default,
                collations.get(name),
                primary == [name],
                f'json_valid("{name.lower()}")' in schema,
            )
            for _, name, data_type, notnull, default, pk, hidden in columns
            # Ordinary, virtual and stored columns; 1 is a hidden one of a virtual table.
            if hidden in (0, 2, 3)
        ]
