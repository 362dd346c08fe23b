"""Reads a backup file, and trusts nothing in it that is not checked.

    with read_archive(path) as archive:
        archive.manifest                  # dict; docs/backups.md tells each key
        archive.objects                   # [{"type", "name", "table", "sql"}] in the order to make them
        for member in archive.tables():   # in the order to restore: parents first, sqlite_sequence last
            for row in archive.rows(member): ...    # lists in the order of member.columns
        for member in archive.console(): ...

Rows are None, int, float, str, bytes, or RawText for text that is no valid UTF-8 (insert it by `CAST(? AS TEXT)`).
`rows` and `batches` stream; their last step compares SHA-256 and the count, so rows are good only when the iteration
ended. Read members in their order: going back opens the file again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Self

import orjson
from django.conf import settings

from database.archive_errors import Damaged, MissingMember, NewerFormat, NotABackup
from database.archive_format import CONSOLE, FORMAT, MANIFEST, SCHEMA, SEQUENCE, TABLE, VIRTUAL, Member
from database.archive_stream import ArchiveStream
from database.archive_values import decoded
from database.words import counted

Source = Path | Callable[[], IO[bytes]]
_READ_BYTES = 512 * 1024
#: A manifest beyond this is none.
_MANIFEST_BYTES = 256 * 1024 * 1024


def read_archive(source: Source, identity: str | None = None) -> Archive:
    """The backup in a file, or in what a call of `source` opens anew each time. Reads no more than the manifest.

    `identity` decrypts it, by default that of BACKUP_AGE_IDENTITY. Raises a kind of ArchiveError, or OSError.
    """
    return Archive(source, settings.BACKUP_AGE_IDENTITY if identity is None else identity)


class Archive:
    """An open backup. The errors of archive_errors say what is wrong with it."""

    def __init__(self, source: Source, identity: str) -> None:
        self._source, self._identity = source, identity
        self._stream = self._open()
        try:
            self.manifest = _manifest(self._stream)
            self.members = _members(self.manifest)
        except BaseException:
            self._stream.close()
            raise

    def _open(self) -> ArchiveStream:
        opened = self._source.open("rb") if isinstance(self._source, Path) else self._source()
        return ArchiveStream(opened, self._identity)

    @property
    def objects(self) -> list[dict[str, str]]:
        """Tables, then indexes, views and triggers: `type`, `name`, `table` (that it belongs to) and `sql`."""
        return list(self.manifest["objects"])

    def tables(self) -> list[Member]:
        return [each for each in self.members if each.kind in (TABLE, VIRTUAL, SEQUENCE)]

    def console(self) -> list[Member]:
        """The console's own tables; `name` is a model's label such as `console.StaffEvent`."""
        return [each for each in self.members if each.kind == CONSOLE]

    def rows(self, member: Member | str) -> Iterator[list[Any]]:
        """The rows of a table, one by one."""
        return chain.from_iterable(self.batches(member))

    def batches(self, member: Member | str) -> Iterator[list[list[Any]]]:
        """The same rows in lists, each about half a megabyte of lines: quicker where many are written at once."""
        found = self._named(member) if isinstance(member, str) else member
        count = 0
        for lines in _lines(self._pieces(found)):
            try:
                rows = [decoded(line) for line in lines]
            except (ValueError, KeyError, AttributeError):
                raise Damaged(f"{found.member} holds a line that is no row: the backup is damaged.") from None
            count += len(rows)
            yield rows
        if count != found.rows:
            raise Damaged(f"{found.member} has {counted(count, 'row')}, and the manifest says {found.rows:,}.")

    def schema_sql(self) -> str:
        """The text of schema.sql, for people."""
        found = next((each for each in self.members if each.member == SCHEMA), Member(SCHEMA))
        return b"".join(self._pieces(found)).decode()

    def check(self) -> None:
        """Read all of it and compare each member; raises a kind of ArchiveError where something is wrong."""
        for member in self.members:
            if member.columns is None:
                for _ in self._pieces(member):
                    pass
            else:
                for _ in self.batches(member):
                    pass
        self.finish()

    def finish(self) -> None:
        """Read on to the end of the file, which may be cut behind the last row."""
        self._stream.finish()

    def _named(self, table: str) -> Member:
        for each in self.tables():
            if each.name == table:
                return each
        raise KeyError(table)

    def _pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member, compared at the end with what the manifest says of them."""
        self._go_to(member)
        hasher = hashlib.sha256()
        for piece in self._stream.pieces(_READ_BYTES):
            hasher.update(piece)
            yield piece
        if hasher.hexdigest() != member.sha256:
            raise Damaged(f"The SHA-256 of {member.member} is not the manifest's: its bytes have changed.")

    def _go_to(self, member: Member) -> None:
        for _ in range(2):
            while (name := self._stream.next_member()) is not None:
                if name == member.member:
                    return
            # It stood before the place that was reached, or nowhere.
            self._reopen()
        raise MissingMember(f"{member.member} is not in the file, though its manifest names it.")

    def _reopen(self) -> None:
        self._stream.close()
        self._stream = self._open()
        self._stream.file_bytes = self.manifest["file_bytes"]

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _manifest(stream: ArchiveStream) -> dict[str, Any]:
    if stream.next_member() != MANIFEST or stream.size > _MANIFEST_BYTES:
        raise NotABackup("It is no backup of omniops: it does not begin with manifest.json.")
    try:
        manifest = orjson.loads(b"".join(stream.pieces(_READ_BYTES)))
        version, stream.file_bytes = manifest["format"], manifest["file_bytes"]
    except (ValueError, KeyError, TypeError):
        stream.look_ahead()
        raise NotABackup("It is no backup of omniops: its manifest.json says no format.") from None
    stream.look_ahead()
    if type(version) is not int or version > FORMAT:
        raise NewerFormat(f"The backup has format {version}, and this omniops reads up to {FORMAT}: update omniops.")
    return dict(manifest)


def _members(manifest: dict[str, Any]) -> list[Member]:
    try:
        _ = manifest["objects"]
        return [Member(**each) for each in manifest["members"]]
    except (KeyError, TypeError):
        raise NotABackup("It is no backup of omniops: its manifest.json lacks what one says.") from None


def _lines(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Whole lines, as many as came. What follows the last line end is a line too."""
    parts: list[bytes] = []
    for piece in pieces:
        head, end, tail = piece.rpartition(b"\n")
        if not end:
            parts.append(piece)
            continue
        yield b"".join([*parts, head]).split(b"\n")
        parts = [tail] if tail else []
    if parts:
        yield [b"".join(parts)]
