"""Runs tests of Django's suite over a database whose blocks cannot read their own writes, and notes each outcome.

Django isolates a TestCase by a block around it, which no test could work in here. So each test commits, and afterwards
the tables that it wrote to are emptied: one batch, in place of `flush` over every table.
"""

from __future__ import annotations

import json
import os
import re
import unittest
from pathlib import Path
from typing import Any

from django.core.management.color import no_style
from django.db import connections
from django.db.backends.utils import CursorWrapper
from django.test import TestCase, TransactionTestCase
from django.test.runner import DiscoverRunner

WRITTEN = re.compile(r'^\s*(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\s+"?([\w$]+)"?', re.IGNORECASE)
# Made by post_migrate, once for all tests, and never written to by those that run here.
KEPT = {"django_content_type", "auth_permission", "django_site", "django_migrations"}

_written: dict[str, set[str]] = {}


def noting(method: Any) -> Any:
    """A method of Django's cursor that also notes the table that is written to.

    Not an execute wrapper of the connection: a test of the suite counts those.
    """

    def noted(self: CursorWrapper, sql: str, *args: Any) -> Any:
        found = WRITTEN.match(str(sql))
        if found and found[1] not in KEPT:
            _written.setdefault(self.db.alias, set()).add(found[1])
        return method(self, sql, *args)

    return noted


def empty_written_tables(self: TransactionTestCase) -> None:
    for alias in self._databases_names(include_mirrors=False):
        tables = _written.pop(alias, set())
        connection = connections[alias]
        if connection.in_atomic_block:
            connection.close()
        if tables:
            _empty(connection, tables)


def _empty(connection: Any, tables: set[str]) -> None:
    there = tables & set(connection.introspection.table_names())
    if there:
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), there, reset_sequences=True))


class Noting(unittest.TextTestResult):
    """Each test's outcome under its id; a failure by NotSupportedError is a limit that was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, list[str]] = {}

    def note(self, test: unittest.TestCase, outcome: str, detail: str = "") -> None:
        self.outcomes[test.id()] = [outcome, detail]

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.outcomes.setdefault(test.id(), ["passed", ""])

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.note(test, "failed", str(err[1])[:400])

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.note(test, "unsupported" if err[0].__name__ == "NotSupportedError" else "failed", repr(err[1])[:400])

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.note(test, "expected failure", repr(err[1])[:400])

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self.note(test, "unexpected success")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            outcome = "unsupported" if err[0].__name__ == "NotSupportedError" else "failed"
            self.note(test, outcome, f"{subtest}: {err[1]!r}"[:400])


class SuiteRunner(DiscoverRunner):
    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        TestCase._databases_support_transactions = classmethod(lambda cls: False)  # type: ignore[method-assign]
        CursorWrapper._execute = noting(CursorWrapper._execute)  # type: ignore[method-assign]
        CursorWrapper._executemany = noting(CursorWrapper._executemany)  # type: ignore[method-assign]
        TransactionTestCase._fixture_teardown = empty_written_tables  # type: ignore[method-assign]

    def setup_databases(self, **kwargs: Any) -> Any:
        found = super().setup_databases(**kwargs)
        _written.clear()
        return found

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return Noting

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        Path(os.environ["SUITE_RESULTS"]).write_text(json.dumps(result.outcomes))
        return super().suite_result(suite, result, **kwargs)
