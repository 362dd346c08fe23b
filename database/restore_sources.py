"""What can be restored: a backup of our own, by its path or its name in the storage, or a dump of others."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from database.archive import Archive, read_archive
from database.archive_format import SEQUENCE
from database.backup_files import Backups, backups_at
from database.foreign_dumps import (
    fill_from_json,
    fill_from_sql,
    has_schema,
    is_foreign,
    tables_in_json,
)
from database.migrations import read_migrations
from database.restore_archive import fill_from_archive
from database.restore_build import Contents, RestoreError, Watch
from database.words import counted

#: The newest backup in the storage.
LATEST = "latest"


class Source(Protocol):
    """`name` is what a person would say again to restore it again. As text it is part of a sentence."""

    @property
    def name(self) -> str: ...

    @property
    def has_schema(self) -> bool: ...

    def tables(self) -> list[str]: ...

    def close(self) -> None: ...

    def fill(
        self, database: sqlite3.Connection, target: BaseDatabaseWrapper, tables: Collection[str], watch: Watch
    ) -> Contents: ...


@dataclass
class Backup:
    """One of our own, whose manifest has been read."""

    name: str
    archive: Archive

    def __str__(self) -> str:
        made = self.archive.manifest.get("created_at", "")
        return f"the backup {self.name}{f' of {made}' if made else ''} ({counted(self.rows, 'row')})"

    @property
    def has_schema(self) -> bool:
        """One of some tables replaces these and no others."""
        return not self.archive.manifest.get("partial")

    @property
    def rows(self) -> int:
        return sum(member.rows for member in self.archive.tables())

    def tables(self) -> list[str]:
        return [member.name for member in self.archive.tables() if member.kind != SEQUENCE]

    def close(self) -> None:
        self.archive.close()

    def fill(
        self, database: sqlite3.Connection, target: BaseDatabaseWrapper, tables: Collection[str], watch: Watch
    ) -> Contents:
        return fill_from_archive(database, self.archive, tables, watch)


@dataclass
class Dump:
    """What others made: SQL, or JSON of tables."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def has_schema(self) -> bool:
        return has_schema(self.path)

    def __str__(self) -> str:
        return f"the dump {self.path}"

    def tables(self) -> list[str]:
        return [] if self.has_schema else tables_in_json(self.path)

    def close(self) -> None:
        """Its files are open only while they are read."""

    def fill(
        self, database: sqlite3.Connection, target: BaseDatabaseWrapper, tables: Collection[str], watch: Watch
    ) -> Contents:
        if self.has_schema:
            return fill_from_sql(database, self.path, tables, watch)
        return fill_from_json(database, self.path, schema_for(target), tables, watch)


def schema_for(target: BaseDatabaseWrapper) -> list[str]:
    """The statements that make the tables of a target, or what the migrations make where it has none."""
    with target.cursor() as cursor:
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
            "AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_restore*' "
            "ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid"
        )
        live = [sql for (sql,) in cursor.fetchall()]
    if live:
        return live
    return [sql for each in read_migrations(Path(settings.SQL_MIGRATIONS_DIR)) for sql in each.statements]


def open_source(text: str) -> Source:
    """The source that a person names: a path, a name in the storage, or `latest`. Raises RestoreError, ArchiveError."""
    path = Path(text)
    if path.exists():
        return Dump(path) if is_foreign(path) else Backup(text, read_archive(path))
    backups = backups_at(settings.BACKUP_STORAGE)
    name = _latest(backups) if text == LATEST else text
    if not backups.has(name):
        where = backups.place.text
        raise RestoreError(f"There is no backup {text}, as a file or in {where}: list_backups shows those in {where}.")
    return Backup(name, read_archive(backups.source(name)))


def _latest(backups: Backups) -> str:
    """The newest that is whole; neither one of some tables nor one without personal data stands for the database."""
    for record in reversed(backups.records()):
        if not record.get("partial") and not record.get("anonymized"):
            return str(record["backup"])
    raise RestoreError(f"There is no backup of a whole database in {backups.place.text}: make one by backup_database.")
