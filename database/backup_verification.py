"""Whether a backup can be restored: by restoring it aside, and looking at what came of it."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from database.archive import Archive, Source, read_archive
from database.archive_errors import ArchiveError, CutShort, Damaged
from database.archive_format import CONSOLE, ENCRYPTED_SUFFIX, TABLE, Member
from database.archive_values import encoded
from database.backup import Watch, backup_done, record_of
from database.backup_checks import run_backup_checks
from database.backup_files import Backups
from database.backup_sqlite import BackupError, SQLiteSource
from database.backup_tables import Shape
from database.restore_archive import fill_from_archive
from database.restore_build import RestoreError, check, open_build
from database.router import OMNICHAT
from database.soundness import damage

_READ_BYTES = 1024 * 1024


@dataclass
class Verified:
    """What was found, in parts of a sentence. `tables` are rows by table.

    `problems` are those of the backup: it does not come back as what was read. `content` is wrong in what comes back,
    as it was in the database.
    """

    tables: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    schema_version: int | None = None
    #: The kind of damage where the file itself is at fault, such as "CutShort".
    kind: str | None = None

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


def verify_backup(backups: Backups, name: str, watch: Watch = lambda rows: None) -> Verified:
    """Verify one that is kept, and note in its record when that was, and what was found.

    Raises BackupError where there is no such backup.
    """
    if not backups.has(name):
        raise BackupError(f"{backups.place.text} has no backup {name}: see manage.py list_backups.")
    record = backups.record(name)
    found, source = Verified(), backups.source(name)
    try:
        size, sha256 = _measured(source)
        _compare(record, size, sha256)
        manifest = _examine(found, source, watch)
        measured = {"backup": name, "bytes": size, "sha256": sha256}
        record = record or measured | record_of(manifest, encrypted=name.endswith(ENCRYPTED_SUFFIX))
    except (ArchiveError, RestoreError) as error:
        found.problems.insert(0, str(error).rstrip("."))
        found.kind = type(error).__name__
    _note(backups, record, found)
    return found


def verify_file(path: Path, watch: Watch = lambda rows: None) -> Verified:
    """The same of a file anywhere; nothing is noted. Raises BackupError where it cannot be opened."""
    found = Verified()
    try:
        _examine(found, path, watch)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ArchiveError, RestoreError) as error:
        found.problems.insert(0, str(error).rstrip("."))
        found.kind = type(error).__name__
    return found


def _measured(source: Callable[[], IO[bytes]]) -> tuple[int, str]:
    hasher, size = hashlib.sha256(), 0
    with source() as file:
        while data := file.read(_READ_BYTES):
            hasher.update(data)
            size += len(data)
    return size, hasher.hexdigest()


def _compare(record: dict[str, Any] | None, size: int, sha256: str) -> None:
    """With its record, before any of it is believed."""
    if record is None or (record["bytes"], record["sha256"]) == (size, sha256):
        return
    if size < record["bytes"]:
        raise CutShort(f"The backup is cut short: {size:,} of {record['bytes']:,} bytes are there. Take another one.")
    if size > record["bytes"]:
        raise Damaged(f"The backup has {size:,} bytes, and was written with {record['bytes']:,}: take another one.")
    raise Damaged("The backup is damaged: its SHA-256 is not that of what was written. Take another one.")


def _examine(found: Verified, source: Source, watch: Watch) -> dict[str, Any]:
    with read_archive(source) as archive, _scratch() as (database, connection):
        found.schema_version = archive.manifest.get("schema_version")
        contents = fill_from_archive(database, archive, (), watch)
        _read_rest(archive)
        found.tables = dict(contents.tables)
        # What is wrong with the keys was so in the database, or is of tables that are not in the backup.
        found.content = check(database, contents)
        found.problems += [*_differences(database, archive), *_integrity(database)]
        if not archive.manifest["partial"]:
            found.content += run_backup_checks(connection)
        return archive.manifest


def _read_rest(archive: Archive) -> None:
    for member in archive.members:
        if member.kind == CONSOLE:
            for _ in archive.batches(member):
                pass
    archive.finish()


@contextmanager
def _scratch() -> Iterator[tuple[sqlite3.Connection, DatabaseWrapper]]:
    """An empty database, open twice: as it is, and for checks by Django. Its file has no name once it is open."""
    with tempfile.TemporaryDirectory(prefix="omniops-") as folder:
        path = Path(folder) / "scratch.sqlite3"
        with closing(open_build(path)) as database:
            connection = _django_connection(path)
            try:
                path.unlink()
                yield database, connection
            finally:
                connection.close()


def _django_connection(path: Path) -> DatabaseWrapper:
    usual = connections.settings[OMNICHAT]
    options = {**usual, "ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {}}
    # Under the name that the checks of rooms above use.
    connection = DatabaseWrapper(options, alias=OMNICHAT)
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sqlite_master")
    return connection


def _differences(database: sqlite3.Connection, archive: Archive) -> Iterator[str]:
    """Each table read again, as a backup reads it: the same SHA-256 means the same rows, to the bit."""
    source = SQLiteSource(database, "scratch")
    shapes = {shape.name: shape for shape in source.contents().shapes}
    for member in archive.tables():
        if member.kind != TABLE:
            continue
        shape = shapes.get(member.name)
        if shape is None or _hash(source, shape, member) != member.sha256:
            yield f"{member.name} does not come back as it was backed up"


def _hash(source: SQLiteSource, shape: Shape, member: Member) -> str:
    hasher = hashlib.sha256()
    for chunk, _ in encoded(source.rows(shape, member.columns or [])):
        hasher.update(chunk)
    return hasher.hexdigest()


def _integrity(database: sqlite3.Connection) -> Iterator[str]:
    for text in damage(database.execute, "integrity_check", 5):
        yield f"the restored database is damaged: {text}"


def _note(backups: Backups, record: dict[str, Any] | None, found: Verified) -> None:
    """Unrecorded files that are damaged stay unrecorded."""
    if record is None:
        return
    moment = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    record = {**record, "checked_at": moment, "problems": [*found.problems, *found.content]}
    record["verified_at"] = None if found.problems else moment
    with suppress(BackupError):
        backups.write_record(record)
    backup_done.send_robust(sender=None, action="verify", record=record)
