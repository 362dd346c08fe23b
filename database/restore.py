"""Restores a backup: fills a database aside, checks it, and only then touches what is live."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from database.precautions import bookmark
from database.restore_build import Contents, RestoreError, Watch, building, check, is_internal, open_build
from database.restore_d1 import D1Restore, refuse_what_d1_cannot_hold
from database.restore_d1_some import SomeTables
from database.restore_delivery import Delivery
from database.restore_marker import MARKER, STAGE, undo, unfinished
from database.restore_sources import Source
from database.restore_sqlite import is_filled, keep_copy, page_size, replace_tables, swap
from database.transactions import is_d1


def _silent(text: str) -> None:
    """Where nobody watches or needs to be asked."""


@dataclass
class Restored:
    """What was restored: the rows of each table; where the old SQLite file is; D1's name of the moment before.

    `console` has the rows of the console's own models, where these were restored, too.
    """

    tables: dict[str, int] = field(default_factory=dict)
    kept: Path | None = None
    bookmark: str | None = None
    remarks: list[str] = field(default_factory=list)
    console: dict[str, int] = field(default_factory=dict)


@dataclass
class Restore:
    """`source` into the database of `connection`. `tables` names some to replace; none named is the whole database.

    `confirm` is asked before anything is replaced and raises to stop; `remark` takes a line for whoever watches.
    """

    source: Source
    connection: BaseDatabaseWrapper
    tables: Collection[str] = ()
    confirm: Callable[[str], None] = _silent
    remark: Callable[[str], None] = _silent
    watch: Watch = lambda rows: None

    def run(self) -> Restored:
        """Raises RestoreError, ArchiveError or a database's error; each says whether something was touched."""
        with closing(self.source):
            return self._to_d1() if is_d1(self.connection) else self._to_its_file()

    def _to_its_file(self) -> Restored:
        name = self.connection.settings_dict["NAME"]
        if self.connection.vendor != "sqlite" or not name or str(name).startswith(("file:", ":memory:")):
            raise RestoreError("A restore goes into a SQLite file or into D1. Nothing was touched.")
        return self._to_file(Path(name).absolute())

    def _to_file(self, target: Path) -> Restored:
        if not target.parent.is_dir():
            raise RestoreError(f"The folder {target.parent} is not there: make it first.")
        filled = is_filled(target)
        self._settle_tables(filled)
        self._ask(f"{target}", filled)
        with building(target, page_size(target)) as (path, database):
            contents = self._fill(database)
            if filled and self.tables:
                check(database, contents)
                database.close()
                kept = keep_copy(target)
                violated = replace_tables(path, target, sorted(contents.tables))
                return self._result(contents, violated, kept=kept)
            violated = check(database, contents)
            database.close()
            # It would be one of the programs that have the file open.
            self.connection.close()
            return self._result(contents, violated, kept=swap(path, target))

    def _to_d1(self) -> Restored:
        live = self._live_tables()
        half = unfinished(self.connection)
        self._settle_tables(bool(live))
        if half and self.tables:
            raise RestoreError(f"No table can be restored by itself: {half}.")
        self._ask(f"the D1 database {self.connection.settings_dict['NAME']}", bool(live) or half is not None)
        database = open_build()
        try:
            contents = self._fill(database)
            some = bool(live and self.tables)
            violated = check(database, contents)
            refuse_what_d1_cannot_hold(database, [] if some else violated)
            moment = self._bookmark(half.bookmark if half else None)
            delivery = Delivery(self.connection)
            if some:
                delivery.begin(self.source.name, moment, is_half=False)
                SomeTables(delivery, database, sorted(contents.tables), self.watch).run()
            else:
                contents.tables = self._replace_all(delivery, database, moment)
        finally:
            database.close()
        return self._result(contents, [], bookmark=moment)

    def _replace_all(self, delivery: Delivery, database: sqlite3.Connection, moment: str | None) -> dict[str, int]:
        delivery.begin(self.source.name, moment)
        try:
            return D1Restore(delivery, database, self.watch).run()
        except BaseException:
            back = f" Or go back to what was there: {undo(moment)}" if moment else ""
            self.remark(f"The database is half restored now, and says so. Restore again to finish.{back}")
            raise

    def _bookmark(self, first: str | None) -> str | None:
        moment = first or bookmark(self.connection)
        if moment:
            self.remark(f"D1's bookmark of the moment before is {moment}. To undo this restore: {undo(moment)}")
        else:
            self.remark("D1 gave no bookmark: this restore cannot be undone by time travel.")
        return moment

    def _live_tables(self) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = [name for (name,) in cursor.fetchall()]
        return [name for name in names if not is_internal(name) and name != MARKER and not name.startswith(STAGE)]

    def _settle_tables(self, filled: bool) -> None:
        """A backup that has no schema replaces the tables that it has, and leaves the others."""
        if filled and not self.source.has_schema and not self.tables:
            self.tables = self.source.tables()

    def _ask(self, what: str, filled: bool) -> None:
        if filled and self.tables:
            self.confirm(f"Replace the tables {', '.join(sorted(self.tables))} of {what} by those of {self.source}?")
        elif filled:
            self.confirm(f"Replace everything in {what} by {self.source}?")

    def _fill(self, database: sqlite3.Connection) -> Contents:
        return self.source.fill(database, self.connection, set(self.tables), self.watch)

    def _result(self, contents: Contents, violated: list[str], **told: Any) -> Restored:
        remarks = [*contents.remarks, *(f"As in the backup, {each}." for each in violated)]
        return Restored(contents.tables, remarks=remarks, **told)
