"""The table schema_version: what is recorded as applied, and whether the files still agree with it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from database.migrations import Migration, MigrationError

Step = tuple[str, list[Any]]

#: As migrations/0001 has it: the runner needs the table before it has run that file.
_COLUMNS = {"version": "INTEGER PRIMARY KEY", "name": "TEXT", "applied_at": "INTEGER", "checksum": "TEXT"}
_CREATE = f"CREATE TABLE IF NOT EXISTS schema_version ({', '.join(f'{n} {kind}' for n, kind in _COLUMNS.items())})"


@dataclass(frozen=True)
class Record:
    """One row. Old runners left `name` or `checksum` NULL."""

    version: int
    name: str | None
    checksum: str | None


@dataclass(frozen=True)
class Log:
    """The rows by version, and the columns that the table has; none where there is no table."""

    columns: frozenset[str]
    records: dict[int, Record]

    @property
    def version(self) -> int:
        return max(self.records, default=0)

    def making(self) -> list[Step]:
        """What brings the table into a shape that the runner can write to."""
        if not self.columns:
            return [(_CREATE, [])]
        missing = [name for name in _COLUMNS if name not in self.columns]
        return [(f"ALTER TABLE schema_version ADD COLUMN {name} {_COLUMNS[name]}", []) for name in missing]


def read_log(connection: BaseDatabaseWrapper) -> Log:
    """What is recorded. Reads only. Raises MigrationError where the table is somebody else's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pragma_table_info('schema_version')")
        columns = frozenset(name.lower() for (name,) in cursor.fetchall())
        if not columns:
            return Log(columns, {})
        if "version" not in columns:
            raise MigrationError("The table schema_version has no column version: rename that table, then go on.")
        wanted = ("version", *(name if name in columns else "NULL" for name in ("name", "checksum")))
        cursor.execute(f"SELECT {', '.join(wanted)} FROM schema_version ORDER BY version")  # noqa: S608
        return Log(columns, {record.version: record for record in map(_record, cursor.fetchall())})


def _record(row: tuple[Any, ...]) -> Record:
    version, name, checksum = row
    try:
        return Record(int(version), name, checksum)
    except (TypeError, ValueError):
        raise MigrationError(f"schema_version records {version!r}, which is no number: correct that row.") from None


def recording(migration: Migration) -> list[Step]:
    """What records a file as applied now, whatever other columns and keys the table has."""
    values = [migration.name, int(time.time()), migration.checksum, migration.version]
    return [
        ("UPDATE schema_version SET name = %s, applied_at = %s, checksum = %s WHERE version = %s", values),
        (
            "INSERT INTO schema_version (name, applied_at, checksum, version) SELECT %s, %s, %s, %s "
            "WHERE NOT EXISTS (SELECT 1 FROM schema_version WHERE version = %s)",
            [*values, migration.version],
        ),
    ]


def fill_checksums(connection: BaseDatabaseWrapper, log: Log, migrations: list[Migration]) -> list[Migration]:
    """Give rows without a checksum the one of their file, the table its missing columns, and return those files."""
    found = without_checksum(log, migrations)
    if found:
        with connection.cursor() as cursor:
            for sql, _ in log.making():
                cursor.execute(sql)
            for each in found:
                sql = "UPDATE schema_version SET checksum = %s WHERE version = %s AND coalesce(checksum, '') = ''"
                cursor.execute(sql, [each.checksum, each.version])
    return found


def without_checksum(log: Log, migrations: list[Migration]) -> list[Migration]:
    return [each for each in migrations if (row := log.records.get(each.version)) and not row.checksum]


def check_log(log: Log, migrations: list[Migration]) -> None:
    """Raise MigrationError unless what is recorded are the first files, unchanged."""
    last = len(migrations)
    if log.version > last:
        raise MigrationError(
            f"The database records version {log.version}, and the last file is {last:04}: "
            "update this checkout, name the right folder with --directory, or, if somebody else's migrations made it, "
            "take it over with --adopt N."
        )
    for migration in migrations[: log.version]:
        if migration.version not in log.records:
            raise MigrationError(
                f"Version {log.version} is recorded as applied and {migration} is not: apply it by "
                f"--rerun {migration.version}, or record it by --adopt {log.version} if the tables have all it makes."
            )
        _check_name(migration, log.records[migration.version])
    changed = [each for each in migrations[: log.version] if _changed(each, log.records[each.version])]
    if changed:
        raise MigrationError(_changed_sentence(changed))


def _check_name(migration: Migration, record: Record) -> None:
    """Without a checksum the name alone tells whether a row means this file."""
    name = re.sub(r"^\d+_|\.sql$", "", record.name or "")
    if not record.checksum and name and name != migration.name:
        raise MigrationError(
            f"Version {record.version} is recorded as {record.name!r} and the file is {migration}: these are other "
            "migrations. Name their folder with --directory, or take the database over with --adopt N."
        )


def _changed(migration: Migration, record: Record) -> bool:
    return bool(record.checksum) and record.checksum != migration.checksum


def _changed_sentence(changed: list[Migration]) -> str:
    names, first = ", ".join(map(str, changed)), changed[0].version
    return (
        f"Changed after it was applied: {names}. Bring back the text that was applied and put the change into a new "
        f"file; or, if the file can be applied twice, run migrate_database --rerun {first}."
    )
