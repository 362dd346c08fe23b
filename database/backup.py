"""Makes a backup: reads every table at one moment, and keeps the file when it is whole."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Protocol

from django.conf import settings
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from database.anonymize import Anonymizer, is_known, is_known_table
from database.archive_crypto import encrypt
from database.archive_format import CONSOLE, SCHEMA, SEQUENCE, Member, file_name, member_of
from database.archive_values import Row
from database.archive_writer import ArchiveWriter
from database.backup_console import console_fields, console_models, console_moment, console_rows
from database.backup_d1 import d1_source
from database.backup_files import Backups, NameTaken
from database.backup_sqlite import BackupError, sqlite_source
from database.backup_tables import Contents, Shape
from database.transactions import is_d1
from database.words import counted

#: Sent when a backup was made, verified or removed: `action` ("make", "verify", "remove") and `record`, a map.
backup_done = Signal()
Watch = Callable[[int], None]
Remark = Callable[[str], None]


class Source(Protocol):
    """A database to read. `single_moment` and `bookmarks` are known when all is read."""

    engine: str
    method: str
    name: str
    single_moment: bool
    bookmarks: dict[str, str] | None
    warnings: list[str]

    def query(self, sql: str) -> Any: ...

    def contents(self) -> Contents: ...

    def pragmas(self) -> dict[str, Any]: ...

    def columns(self, shape: Shape) -> list[str]: ...

    def rows(self, shape: Shape, columns: list[str]) -> Iterator[Row]: ...

    def lines(self, shape: Shape, columns: list[str]) -> Iterator[tuple[bytes, int]]: ...


@dataclass(frozen=True)
class Wish:
    """What to make. `tables` names some; empty is all. `method` is of D1 alone: auto, export or pages."""

    tables: Collection[str] = ()
    anonymize: bool = False
    console: bool = True
    method: str = "auto"


@dataclass
class Backup:
    """A backup that is being made."""

    wish: Wish
    source: Source
    writer: ArchiveWriter
    moment: datetime
    warnings: list[str] = field(default_factory=list)

    def gather(self) -> dict[str, Any]:
        """Read all, and give the manifest."""
        contents = self._chosen(self.source.contents())
        self.writer.add_text(Member(SCHEMA), _schema_sql(contents))
        members = [self._read(shape) for shape in contents.shapes]
        if self.wish.console and not self.wish.anonymize and not self.wish.tables:
            self._read_console()
        return self._manifest(contents, {member.name: member.rows for member in members if member.kind != SEQUENCE})

    def _chosen(self, contents: Contents) -> Contents:
        tables = {shape.name for shape in contents.shapes if shape.kind != SEQUENCE}
        if not tables:
            raise BackupError("The database has no tables, so there is nothing to back up: is it the right one?")
        if unknown := sorted(set(self.wish.tables) - tables):
            raise BackupError(f"There is no table {', '.join(unknown)}; there are {', '.join(sorted(tables))}.")
        wanted = set(self.wish.tables) or tables
        if self.wish.anonymize:
            wanted = self._known_of(contents, wanted)
        left_out = tables - wanted
        shapes = [shape for shape in contents.shapes if shape.name in wanted or shape.kind == SEQUENCE]
        return Contents(shapes, [each for each in contents.objects if not _touches(each, left_out)])

    def _known_of(self, contents: Contents, wanted: set[str]) -> set[str]:
        known = {name for name in wanted if is_known_table(name)}
        if unknown := sorted(wanted - known):
            self.warnings.append(f"Left out, as what is personal in them is not known: {', '.join(unknown)}.")
        made_up = [
            f"{shape.name}.{column}"
            for shape in contents.shapes
            if shape.name in known
            for column in shape.columns
            if not is_known(shape.name, column)
        ]
        if made_up:
            self.warnings.append(f"Text in columns that are not known was made up: {', '.join(made_up)}.")
        return known

    def _read(self, shape: Shape) -> Member:
        columns = self.source.columns(shape)
        taken = [each.member for each in self.writer.members]
        member = Member(member_of(shape.name, taken), shape.name, shape.kind, columns)
        if shape.contentless:
            self.warnings.append(f"{shape.name} keeps no text of its own: index it anew after a restore.")
        if shape.kind != SEQUENCE and not self.wish.anonymize:
            return self.writer.add_lines(member, self.source.lines(shape, columns))
        rows = self.source.rows(shape, columns)
        if shape.kind == SEQUENCE:
            wanted = {each.name for each in self.writer.members}
            rows = (row for row in rows if row[0] in wanted)
        if self.wish.anonymize:
            rows = Anonymizer(settings.SECRET_KEY).rows(shape.name, columns, rows)
        return self.writer.add_rows(member, rows)

    def _read_console(self) -> None:
        """Where the console's database cannot be read, OmniChat's is backed up all the same, and that is told."""
        try:
            self._read_models()
        except Error as error:
            self.warnings.append(f"The console's own tables are not in it, as they cannot be read: {error}.")

    def _read_models(self) -> None:
        with console_moment():
            there, missing = console_models()
            if missing:
                names = ", ".join(missing)
                self.warnings.append(f"The console's database has no table for {names}: run manage.py setup_database.")
            for model in there:
                label, columns = model._meta.label, [each.attname for each in console_fields(model)]
                member = Member(f"console/{label}.jsonl", label, CONSOLE, columns)
                self.writer.add_rows(member, console_rows(model))

    def _manifest(self, contents: Contents, rows: dict[str, int]) -> dict[str, Any]:
        source = self.source
        large = [
            f"{name} has {counted(count, 'row')} of more than 2,000,000 bytes, which D1 does not take back."
            for name, count in self.writer.oversized.items()
        ]
        return {
            "created_at": _text(self.moment),
            "source": {"engine": source.engine, "method": source.method, "name": _name(source.name)},
            "schema_version": _schema_version(source, rows),
            "single_moment": source.single_moment,
            "bookmarks": source.bookmarks,
            "anonymized": self.wish.anonymize,
            "partial": bool(self.wish.tables),
            "pragmas": source.pragmas(),
            "tables": rows,
            "warnings": [*source.warnings, *self.warnings, *large],
            "members": [member.as_dict() for member in self.writer.members],
            "objects": contents.objects,
        }


def make_backup(
    connection: BaseDatabaseWrapper,
    backups: Backups,
    wish: Wish = Wish(),
    *,
    watch: Watch = lambda rows: None,
    remark: Remark = lambda text: None,
) -> dict[str, Any]:
    """Back a database up, and give the record that `list_backups` shows. Raises BackupError; then nothing was kept."""
    name, moment = _free_name(backups, encrypted=bool(settings.BACKUP_AGE_RECIPIENT))
    with _spool(backups) as spool:
        writer = ArchiveWriter(spool, watch)
        with _opened(connection, wish, remark) as source:
            manifest = Backup(wish, source, writer, moment).gather()
        for warning in manifest["warnings"]:
            remark(warning)
        record = _keep(backups, writer, manifest, name)
    backup_done.send_robust(sender=None, action="make", record=record)
    return record


def _keep(backups: Backups, writer: ArchiveWriter, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    recipient = settings.BACKUP_AGE_RECIPIENT

    def deliver(file: IO[bytes]) -> None:
        chunks = _Chunks(writer.chunks(manifest))
        if recipient:
            encrypt(chunks, file, recipient)
        else:
            for chunk in chunks.left():
                file.write(chunk)

    while True:
        try:
            return backups.add(name, deliver, record_of(manifest, encrypted=bool(recipient)))
        except NameTaken:
            # Another run began in the same second and was quicker.
            name, moment = _free_name(backups, encrypted=bool(recipient))
            manifest["created_at"] = _text(moment)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def remove_backups(backups: Backups, names: Iterable[str]) -> Iterator[str]:
    """Remove backups one by one, and give the name of each that is gone. Raises BackupError."""
    for name in names:
        record = backups.record(name)
        backups.remove(name)
        backup_done.send_robust(sender=None, action="remove", record=record)
        yield name


def record_of(manifest: dict[str, Any], *, encrypted: bool) -> dict[str, Any]:
    """What a list shows of a backup, without its rows: it stays readable when the backup is encrypted."""
    kept = ("created_at", "source", "schema_version", "single_moment", "anonymized", "partial", "tables", "warnings")
    rows = sum(manifest["tables"].values())
    return {**{key: manifest[key] for key in kept}, "rows": rows, "encrypted": encrypted, "verified_at": None}


def _free_name(backups: Backups, *, encrypted: bool) -> tuple[str, datetime]:
    """A name that is not taken: names tell seconds, so a second backup within one waits for the next."""
    while True:
        moment = datetime.now(UTC).replace(microsecond=0)
        name = file_name(moment, encrypted=encrypted)
        if not backups.has(name):
            return name, moment
        time.sleep(0.2)


@contextmanager
def _spool(backups: Backups) -> Iterator[IO[bytes]]:
    """A file without a name, which is gone whatever ends the process."""
    folder = None
    try:
        folder = backups.place.work_folder()
        with tempfile.TemporaryFile(dir=folder) as file:
            yield file
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else folder or tempfile.gettempdir()
        raise BackupError(f"{where}: {error.strerror or error}. Nothing was kept.") from error


@contextmanager
def _opened(connection: BaseDatabaseWrapper, wish: Wish, remark: Remark) -> Iterator[Source]:
    opened: Any = d1_source(connection, wish.method, remark) if is_d1(connection) else sqlite_source(connection)
    with opened as source:
        yield source


class _Chunks:
    """Pieces of bytes as a file that is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""

    def left(self) -> Iterator[bytes]:
        yield from self._pieces

    def read(self, size: int) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _schema_sql(contents: Contents) -> str:
    # The line end before the semicolon ends a comment that a statement may close with.
    return "".join(f"{each['sql']}{chr(10) if '--' in each['sql'] else ''};\n" for each in contents.objects)


def _touches(each: dict[str, str], tables: Collection[str]) -> bool:
    """Whether an object belongs to one of the tables, or a view or trigger names one."""
    if each["table"] in tables:
        return True
    names = {word.lower() for word in re.findall(r"\w+", each["sql"])}
    return each["type"] in ("view", "trigger") and any(table.lower() in names for table in tables)


def _schema_version(source: Source, tables: Collection[str]) -> int | None:
    if "schema_version" not in tables:
        return None
    ((version,),) = source.query("SELECT max(version) FROM schema_version")
    return version if isinstance(version, int) else None


def _name(name: str) -> str:
    """The last part of a path: the folders of a machine are nobody's business."""
    return name.rsplit("/", 1)[-1]
