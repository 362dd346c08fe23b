"""Statements that happen whole or not at all, on SQLite and on D1, and only while a condition holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from d1.base import DatabaseWrapper as D1Wrapper
from d1.errors import GuardFailed, OutcomeUnknown
from d1.exact import with_blobs
from d1.sqltext import is_read
from d1.statement import Statement, render

Step = tuple[str, list[Any]]

_GUARD = "condition of the transaction"


class StatementFailed(Exception):
    """A statement failed, and nothing of its transaction stays.

    `number` counts the steps from 1; None where all passed and the commit failed, as over a deferred key.
    """

    def __init__(self, number: int | None, words: str) -> None:
        super().__init__(words)
        self.number, self.words = number, words


class _ConditionFailed(Exception):
    """Rolls back a block whose condition does not hold."""


def is_d1(connection: BaseDatabaseWrapper) -> bool:
    return isinstance(connection, D1Wrapper)


def run_as_one(connection: BaseDatabaseWrapper, first: Sequence[Step], condition: str, steps: Sequence[Step]) -> bool:
    """Run `first`, test the SQL `condition`, run `steps`, all in one transaction; on D1 in one batch.

    False if the condition did not hold: then nothing was done. Raises StatementFailed for one of `steps`, and
    `OutcomeUnknown` where D1's answer was lost.
    """
    if isinstance(connection, D1Wrapper):
        return _send_one_batch(connection, first, condition, steps)
    return _run_one_transaction(connection, first, condition, steps)


def _run_one_transaction(
    connection: BaseDatabaseWrapper, first: Sequence[Step], condition: str, steps: Sequence[Step]
) -> bool:
    passed = False
    try:
        # It begins with BEGIN IMMEDIATE: a second runner waits there, and then finds that the condition fails.
        with transaction.atomic(using=connection.alias):
            _run_steps(connection, first, condition, steps)
            passed = True
    except _ConditionFailed:
        return False
    except Error as error:
        if passed:
            raise StatementFailed(None, str(error)) from error
        raise
    return True


def _run_steps(connection: BaseDatabaseWrapper, first: Sequence[Step], condition: str, steps: Sequence[Step]) -> None:
    with connection.cursor() as cursor:
        for sql, params in first:
            cursor.execute(sql, params or None)
        cursor.execute(f"SELECT {condition}")
        if not cursor.fetchone()[0]:
            raise _ConditionFailed
        for number, (sql, params) in enumerate(steps, start=1):
            try:
                cursor.execute(sql, params or None)
            except Error as error:
                raise StatementFailed(number, str(error)) from error


def _send_one_batch(connection: D1Wrapper, first: Sequence[Step], condition: str, steps: Sequence[Step]) -> bool:
    connection.find_failing_statement = True
    try:
        with transaction.atomic(using=connection.alias):
            connection.ensure_connection()
            _let_wait(connection, first)
            connection.guard(_GUARD, condition)
            _let_wait(connection, steps)
    except GuardFailed as error:
        if error.name == _GUARD:
            return False
        raise
    except OutcomeUnknown:
        raise
    except Error as error:
        number = getattr(error, "statement_number", None)
        if number is not None and number <= len(first) + 1:
            raise
        raise StatementFailed(number and number - len(first) - 1, str(error)) from error
    finally:
        connection.find_failing_statement = False
    return True


def _let_wait(connection: D1Wrapper, steps: Sequence[Step]) -> None:
    # Past the cursor, which would send a SELECT or a PRAGMA at once, ahead of the statements that it follows.
    for sql, params in steps:
        connection.unit_of_work.add(sql, render(sql, params) if params else Statement(sql, []))


def run_batch(connection: BaseDatabaseWrapper, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
    """Run `steps` in one transaction and give the rows of each; on D1 one batch, so one request.

    It is a transaction of its own, never part of another: when this returns it is committed. Raises the database's
    errors, and `OutcomeUnknown` where D1's answer to a write was lost: what only reads is sent again.
    """
    if isinstance(connection, D1Wrapper):
        return _answers_of_one_batch(connection, steps)
    connection.ensure_connection()
    whole = transaction.atomic(using=connection.alias, durable=True)
    with _mode(connection, steps), whole, connection.cursor() as cursor:
        return [_rows(cursor, sql, params) for sql, params in steps]


@contextmanager
def _mode(connection: Any, steps: Sequence[Step]) -> Iterator[None]:
    """Steps that only read see one moment without SQLite's lock for writers, at which they would sleep."""
    usual = connection.transaction_mode
    if all(is_read(sql) for sql, _ in steps):
        connection.transaction_mode = "DEFERRED"
    try:
        yield
    finally:
        connection.transaction_mode = usual


def _rows(cursor: Any, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    cursor.execute(sql, params or None)
    return list(cursor.fetchall()) if cursor.description else []


def _answers_of_one_batch(connection: D1Wrapper, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
    if connection.in_atomic_block:
        raise RuntimeError("A batch that gives rows back can't wait for the end of a block: run it outside.")
    connection.ensure_connection()
    assert connection.connection is not None
    reads = all(is_read(sql) for sql, _ in steps)
    ask = connection.connection.read if reads else connection.connection.write
    with connection.wrap_database_errors:
        answers = ask([render(sql, params or None) for sql, params in steps])
    return [[tuple(row) for row in with_blobs(answer.rows)] for answer in answers]
