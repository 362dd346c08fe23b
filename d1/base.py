"""The database wrapper: Django's for SQLite, speaking to D1 over HTTP.

DATABASES["..."] = {
    "ENGINE": "d1",
    "NAME": <database id>,
    "USER": <account id>,
    "PASSWORD": <API token>,
    "OPTIONS": {"read_token": ..., "api_base": ..., ...},  # see README.md
}
"""

# django-stubs know neither the private parts of a wrapper nor that its classes may be replaced.
# mypy: disable-error-code="assignment,attr-defined,dict-item"

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteDatabaseWrapper
from django.db.transaction import TransactionManagementError

from d1 import dbapi, decimals
from d1.api import Endpoint, client_for
from d1.client import DatabaseClient
from d1.creation import DatabaseCreation
from d1.features import DatabaseFeatures
from d1.introspection import DatabaseIntrospection
from d1.operations import DatabaseOperations
from d1.schema import DatabaseSchemaEditor
from d1.statement import render
from d1.streaming_cursor import StreamingCursor

# The options that go to the endpoint as they are; the rest are the wrapper's own.
_ENDPOINT_OPTIONS = (
    "read_token", "api_base", "timeout", "connect_timeout", "pool_size", "attempts", "backoff", "patience",
)  # fmt: skip
_OWN_OPTIONS = ("migrate_refusal", "max_batch_bytes")
MAX_BATCH_BYTES = 50_000_000
_TOKEN = re.compile(r"[!-~]*")
# https://www.sqlite.org/datatype3.html#determination_of_column_affinity
_TEXT_TYPE = re.compile(r"^(?!.*INT).*(?:CHAR|CLOB|TEXT)|BLOB|^$", re.IGNORECASE)


class DatabaseWrapper(SQLiteDatabaseWrapper):
    # "sqlite" stays the vendor: the dialect is SQLite's, and expressions of Django and of others say as_sqlite().
    vendor = "sqlite"
    display_name = "Cloudflare D1"
    Database = dbapi
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations

    connection: dbapi.Connection | None
    data_types = {**SQLiteDatabaseWrapper.data_types, "DecimalField": decimals.column_type}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Both outlive the connection, which Django closes at the end of every request.
        self.usage = dbapi.Usage()
        self.find_failing_statement = False
        self._text_columns: set[tuple[str, str]] = set()

    @property
    def endpoint(self) -> Endpoint:
        """Where this database is, from the settings."""
        options = {
            name: value
            for name, value in self.settings_dict["OPTIONS"].items()
            if name in _ENDPOINT_OPTIONS and value not in (None, "")
        }
        settings = self.settings_dict
        return Endpoint(settings["USER"], settings["NAME"], settings["PASSWORD"], **options)

    def get_connection_params(self) -> dict[str, Any]:
        for key, what in (("NAME", "database id"), ("USER", "account id"), ("PASSWORD", "API token")):
            if not self.settings_dict[key]:
                raise ImproperlyConfigured(f"DATABASES[{self.alias!r}][{key!r}] has to be D1's {what}.")
        options = self.settings_dict["OPTIONS"]
        if unknown := sorted(options.keys() - {*_ENDPOINT_OPTIONS, *_OWN_OPTIONS}):
            raise ImproperlyConfigured(f"DATABASES[{self.alias!r}]['OPTIONS'] has unknown keys: {', '.join(unknown)}.")
        for token in (self.settings_dict["PASSWORD"], options.get("read_token") or ""):
            # The HTTP library would show all of it in its error. A wrong password is an error of the database.
            if not _TOKEN.fullmatch(token):
                raise dbapi.OperationalError(f"An API token of DATABASES[{self.alias!r}] has characters that none has.")
        return {"endpoint": self.endpoint, "max_batch_bytes": options.get("max_batch_bytes", MAX_BATCH_BYTES)}

    def get_new_connection(self, conn_params: dict[str, Any]) -> dbapi.Connection:
        client = client_for(conn_params["endpoint"])
        return dbapi.Connection(client, self.usage, max_batch_bytes=conn_params["max_batch_bytes"])

    def get_database_version(self) -> tuple[int, ...]:
        # D1 refuses sqlite_version(), and is brought up to date by Cloudflare. It has what 3.46 brought.
        return (3, 46)

    def create_cursor(self, name: str | None = None) -> dbapi.Cursor:
        assert self.connection is not None
        return self.connection.cursor()

    def chunked_cursor(self) -> Any:
        """The cursor of QuerySet.iterator(), which holds one piece of the result at a time."""
        self.ensure_connection()
        assert self.connection is not None
        return self._prepare_cursor(StreamingCursor(self.connection))

    def close(self) -> None:
        self.validate_thread_sharing()
        BaseDatabaseWrapper.close(self)

    # Transactions: a unit of work that waits, instead of BEGIN.

    def _set_autocommit(self, autocommit: bool) -> None:
        assert self.connection is not None
        with self.wrap_database_errors:
            if autocommit:
                self.connection.end()
            else:
                self.connection.begin()

    def _start_transaction_under_autocommit(self) -> None:
        # sqlite3's way around a bug of its own; here atomic() begins as any other change of autocommit does.
        self._set_autocommit(False)

    def _commit(self) -> None:
        if self.connection is not None:
            # Not logged among the queries: D1 has no COMMIT, and each write that it sends is in the log.
            self.connection.find_failing_statement = self.find_failing_statement
            with self.wrap_database_errors:
                self.connection.commit()

    def _rollback(self) -> None:
        if self.connection is not None:
            self.connection.rollback()

    def _savepoint_allowed(self) -> bool:
        return self.in_atomic_block

    def _savepoint(self, sid: str) -> None:
        self._unit.mark(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        with self.wrap_database_errors:
            self._unit.roll_back_to(sid)

    def _savepoint_commit(self, sid: str) -> None:
        with self.wrap_database_errors:
            self._unit.release(sid)

    @property
    def _unit(self) -> Any:
        if self.connection is None or self.connection.unit is None:
            raise TransactionManagementError("No block is open: use transaction.atomic().")
        return self.connection.unit

    @property
    def unit_of_work(self) -> Any:
        """The open block's writes, or None outside of a block."""
        return None if self.connection is None else self.connection.unit

    @contextmanager
    def prefetch(self, reads: Any) -> Iterator[None]:
        """Run several reads, as pairs of SQL and parameters, in one request. Within, each takes its answer from there.

        `queryset.query.sql_with_params()` is such a pair.
        """
        self.ensure_connection()
        assert self.connection is not None
        with self.wrap_database_errors, self.connection.prefetch(reads):
            yield

    def guard(self, name: str, sql_condition: str, params: Any = ()) -> None:
        """Let the open block's batch fail with `GuardFailed(name)` unless the condition is true at its commit."""
        self.ensure_connection()
        assert self.connection is not None
        with self.wrap_database_errors:
            self.connection.guard(name, sql_condition, params)

    def is_numeric(self, table: str, column: str) -> bool:
        """Whether a column holds numbers rather than text, so that it keeps 15 digits of a decimal.

        Asked once for each column of text. A table that is not there yet is made by the open block.
        """
        if (table, column) not in self._text_columns:
            self.ensure_connection()
            assert self.connection is not None
            sql = "SELECT type FROM pragma_table_xinfo(%s) WHERE lower(name) = lower(%s)"
            with self.wrap_database_errors:
                (answer,) = self.connection.read([render(sql, [table, column])])
            if answer.rows and not _TEXT_TYPE.search(answer.rows[0][0]):
                return True
            if answer.rows:
                self._text_columns.add((table, column))
        return False

    # Foreign keys are always on. In a block they can be deferred to its end, which is all that fixtures need.

    def disable_constraint_checking(self) -> bool:
        if self.unit_of_work is None:
            return False
        with self.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")
        return True

    def enable_constraint_checking(self) -> None:
        """Nothing to do: what is deferred ends with the batch."""

    def check_constraints(self, table_names: Any = None) -> None:
        # What waits in a block is not there yet to be read; the batch itself checks it.
        if self.unit_of_work is None or not self.unit_of_work.writes:
            super().check_constraints(table_names)

    def is_usable(self) -> bool:
        return self.connection is not None and not self.connection.is_closed

    def is_in_memory_db(self) -> bool:
        return False
