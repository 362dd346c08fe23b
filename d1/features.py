"""What D1 can do otherwise than SQLite under Django's sqlite3 backend. Each deviation has its reason beside it."""

from __future__ import annotations

from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteDatabaseFeatures


class DatabaseFeatures(SQLiteDatabaseFeatures):
    # D1 has what SQLite 3.46 brought; see DatabaseWrapper.get_database_version().
    minimum_database_version = (3, 46)
    # Surplus parameters travel in one JSON parameter, and long lists through json_each().
    max_query_params = None
    # The only user of this flag is django.test: a test inside of one transaction could not read what it wrote.
    supports_transactions = False
    # A batch commits whole or not at all, DDL included.
    can_rollback_ddl = True
    atomic_transactions = True
    # Foreign keys are always on. D1 resets the whole database object when a deferred one is violated at the end, so
    # the tables of the schema editor have immediate ones.
    can_defer_constraint_checks = False
    supports_forward_references = False
    # The keys of many rows come back only by RETURNING, which would need a request of its own inside of bulk_create()'s
    # block, where writes wait.
    can_return_rows_from_bulk_insert = False
    can_return_columns_from_insert = True
    supports_json_field = True
    can_introspect_json_field = True
    has_json_object_function = True
    # D1 refuses user-defined functions, and REGEXP is one.
    supports_regex_backreferencing = False
    # Any number of connections may share a D1 database, in tests too.
    test_db_allows_multiple_connections = True
    # A copy of a D1 database is made by export and import only.
    can_clone_databases = False
    can_alter_table_drop_column = True
    # EXPLAIN QUERY PLAN alone; EXPLAIN is refused.
    supports_explaining_query_execution = True
