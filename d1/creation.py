"""Test databases: the given database itself, emptied, and only if it is a stand-in on this machine."""

# django-stubs take every connection for the base class.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.creation import BaseDatabaseCreation


class DatabaseCreation(BaseDatabaseCreation):
    @staticmethod
    def is_in_memory_db(database_name: str) -> bool:
        return False

    def _get_test_db_name(self) -> str:
        """D1 databases are named by ids that Cloudflare gives, so a test database has to be there already."""
        settings = self.connection.settings_dict
        return str(settings["TEST"].get("NAME") or settings["NAME"])

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        name = self._get_test_db_name()
        if not self.connection.endpoint.is_local:
            raise ImproperlyConfigured(
                f"Tests would empty the D1 database {name}, and it is not on this machine: set OPTIONS['api_base'] to "
                "a stand-in on 127.0.0.1."
            )
        if not keepdb:
            self.connection.close()
            original, self.connection.settings_dict["NAME"] = self.connection.settings_dict["NAME"], name
            self.empty()
            self.connection.close()
            self.connection.settings_dict["NAME"] = original
        return name

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        """The database was there before the tests; its tables go with the next run's beginning."""

    def empty(self) -> None:
        """Drop all tables and views, in one batch."""
        with self.connection.cursor() as cursor:
            tables = self.connection.introspection.get_table_list(cursor)
            statements = ["PRAGMA defer_foreign_keys = ON"]
            for kind, word in (("v", "VIEW"), ("t", "TABLE")):
                names = [self.connection.ops.quote_name(table.name) for table in tables if table.type == kind]
                statements += [f"DROP {word} {name}" for name in names]
            if tables:
                cursor.connection.run_batch(statements)

    def test_db_signature(self) -> tuple[Any, ...]:
        return (*super().test_db_signature()[:2], self.connection.settings_dict["ENGINE"], self._get_test_db_name())
