"""Batches on their way to a D1 database that is being restored: each once, whatever becomes of its answer."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError
from django.utils import timezone

from d1.errors import OutcomeUnknown
from database.restore_build import RestoreError, Watch, columns_of, quoted
from database.restore_marker import MAKE, MARKER, STAGE, is_marked, unfinished
from database.restore_rows import loads
from database.transactions import StatementFailed, Step, run_as_one
from database.values import instant_text

#: Statements of a megabyte in one request. A request has 30 s on D1, and 4 MB of rows took a third of one.
LOADS_A_REQUEST = 4
ATTEMPTS = 6
PAUSE = 2.0
DEFER: Step = ("PRAGMA defer_foreign_keys = ON", [])


@dataclass
class Delivery:
    """Sends numbered batches to a database that `_restore` marks: a lost answer is looked up, and none comes twice."""

    connection: BaseDatabaseWrapper
    run: str = field(default_factory=lambda: uuid4().hex)
    pause: Callable[[float], None] = time.sleep
    batch: int = 0

    def begin(self, backup: str, bookmark: str | None, *, is_half: bool = True) -> None:
        """Mark the database. A restore that died before this one hands on its bookmark, and ends if it still lives."""
        before = unfinished(self.connection)
        first = before.bookmark if before else bookmark
        values = [self.run, backup, first, instant_text(timezone.now()), int(is_half)]
        insert = f"INSERT INTO {MARKER} VALUES (%s, %s, %s, %s, %s, 0)"  # noqa: S608
        steps = [(MAKE, []), (f"DELETE FROM {MARKER}", []), (insert, values)]  # noqa: S608
        # Doing it twice is the same as once.
        self._attempt(lambda: run_as_one(self.connection, [], "1", steps), lambda: False)

    def send(self, steps: Sequence[Step]) -> None:
        """Run `steps` as one transaction, once."""
        count = f"UPDATE {MARKER} SET batch = {self.batch + 1}"  # noqa: S608
        condition = f"EXISTS (SELECT 1 FROM {MARKER} WHERE run = '{self.run}' AND batch = {self.batch})"  # noqa: S608
        self._attempt(lambda: run_as_one(self.connection, [], condition, [(count, []), *steps]), self._arrived)
        self.batch += 1

    def end(self, steps: Sequence[Step] = ()) -> None:
        """Take the mark away, in one transaction with the last steps."""
        condition = f"EXISTS (SELECT 1 FROM {MARKER} WHERE run = '{self.run}')"  # noqa: S608
        last = [*steps, drop(MARKER)]
        self._attempt(lambda: run_as_one(self.connection, [], condition, last), lambda: not is_marked(self.connection))

    def _attempt(self, run: Callable[[], bool], arrived: Callable[[], bool]) -> None:
        """Run something that must happen once, until it has."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if run():
                    return
                raise _overtaken()
            except OutcomeUnknown:
                if self._looked_up(arrived):
                    return
                if attempt == ATTEMPTS:
                    raise
            except StatementFailed as error:
                raise RestoreError(f"D1 refuses what the backup has: {error.words}") from error
            except OperationalError as error:
                self._wait(error, attempt)

    def _looked_up(self, arrived: Callable[[], bool]) -> bool:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return arrived()
            except OperationalError as error:
                self._wait(error, attempt)
        return False

    def _wait(self, error: OperationalError, attempt: int) -> None:
        """Before another attempt at what has surely not run; or raise."""
        if MARKER in str(error):
            raise _overtaken() from error
        if attempt == ATTEMPTS or str(error).startswith("Cloudflare"):
            raise error
        self.pause(getattr(error, "retry_after", PAUSE))

    def _arrived(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT batch FROM {MARKER} WHERE run = %s", [self.run])  # noqa: S608
            row = cursor.fetchone()
        if row is None:
            raise _overtaken()
        return int(row[0]) > self.batch


def _overtaken() -> RestoreError:
    return RestoreError("Another restore of this database has begun since: this one ends.")


def drop(table: str) -> Step:
    return f"DROP TABLE IF EXISTS {quoted(table)}", []


def requests(
    build: sqlite3.Connection, table: str, into: str, columns: Sequence[str]
) -> Iterator[tuple[list[Step], int]]:
    """The rows of a table as requests: the statements of each, and how many rows they write."""
    names = ", ".join(map(quoted, columns))
    aliases = _aliases(columns) if into != table else columns
    steps: list[Step] = []
    count = 0
    for step, rows in loads(into, aliases, build.execute(f"SELECT {names} FROM {quoted(table)}")):  # noqa: S608
        steps.append(step)
        count += rows
        if len(steps) == LOADS_A_REQUEST:
            yield steps, count
            steps, count = [], 0
    if steps:
        yield steps, count


def stage_rows(delivery: Delivery, build: sqlite3.Connection, table: str, number: int, watch: Watch) -> str:
    """Bring the rows of a table into one without keys or types, whose columns are c0, c1, ...; gives its name."""
    staged, columns = f"{STAGE}{number}", columns_of(build, table)
    delivery.send([drop(staged), (f"CREATE TABLE {staged} ({', '.join(_aliases(columns))})", [])])
    for steps, count in requests(build, table, staged, columns):
        delivery.send(steps)
        watch(count)
    return staged


def stage(delivery: Delivery, build: sqlite3.Connection, tables: Sequence[str], watch: Watch) -> list[Step]:
    """Stage the rows of empty tables; gives the steps that put them where they belong."""
    steps: list[Step] = []
    for number, table in enumerate(tables):
        staged, columns = stage_rows(delivery, build, table, number, watch), columns_of(build, table)
        names, taken = ", ".join(map(quoted, columns)), ", ".join(_aliases(columns))
        steps.append((f"INSERT INTO {quoted(table)} ({names}) SELECT {taken} FROM {staged} ORDER BY rowid", []))  # noqa: S608
        steps.append(drop(staged))
    return steps


def _aliases(columns: Sequence[str]) -> list[str]:
    return [f"c{place}" for place in range(len(columns))]
