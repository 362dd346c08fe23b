"""Where backups are kept: a folder, or a storage of Django's. Each beside its record, which is written last.

The record `NAME.json` says what a list shows, also of a file that is encrypted: sizes, counts, SHA-256, when it was
verified. Only what has one is listed as a backup, so a file that is half written never is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import orjson
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.utils.module_loading import import_string

from database.archive_format import moment_of
from database.backup_address import Address, address
from database.backup_sqlite import BackupError

#: Writes a backup into a file that it is given.
Deliver = Callable[[IO[bytes]], None]
_RECORD = ".json"
_PARTIAL = ".partial"


class NameTaken(Exception):
    """Another backup has the name by now."""


class Place(Protocol):
    """Where files are. Errors of reading and writing are told as BackupError."""

    text: str

    def work_folder(self) -> Path | None:
        """Where there is room for temporary files; None for the system's folder."""

    def put(self, name: str, deliver: Deliver) -> None:
        """Raises NameTaken rather than replace a file."""

    def put_small(self, name: str, data: bytes) -> None:
        """Replaces a file of the same name."""

    def names(self) -> list[str]: ...

    def open(self, name: str) -> IO[bytes]: ...

    def remove(self, name: str) -> None: ...


class Hashing:
    """A file that is only written to, with the SHA-256 and the number of its bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hasher, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._hasher.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()


class Folder:
    """A folder of this machine. A file appears under its name whole, by a rename, after it has reached the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, str(path)

    def work_folder(self) -> Path | None:
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def put(self, name: str, deliver: Deliver) -> None:
        self._put(name, deliver, _first_name)

    def put_small(self, name: str, data: bytes) -> None:
        def deliver(file: IO[bytes]) -> None:
            file.write(data)

        self._put(name, deliver, os.replace)

    def _put(self, name: str, deliver: Deliver, move: Callable[[Path, Path], None]) -> None:
        with self._aside(name) as (partial_path, file):
            deliver(file)
            file.flush()
            os.fsync(file.fileno())
            move(partial_path, self.path / name)
        self._sync()

    @contextmanager
    def _aside(self, name: str) -> Iterator[tuple[Path, IO[bytes]]]:
        """A file under a name that no list shows. Those that a killed process left are removed on the way."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_left()
        path = self.path / f".{name}.{os.getpid()}.{threading.get_ident()}{_PARTIAL}"
        with _locked(path) as file:
            try:
                yield path, file
            finally:
                path.unlink(missing_ok=True)

    def _remove_left(self) -> None:
        for path in self.path.glob(f".*{_PARTIAL}"):
            # A lock ends with its process, of whatever cause.
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        if not self.path.exists():
            return []
        return [entry.name for entry in os.scandir(self.path) if entry.is_file() and not entry.name.startswith(".")]

    def open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb")

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        self._sync()


def _locked(path: Path) -> IO[bytes]:
    """A new file with a lock. Another run may take it for one that was left until it has that: then another is made."""
    while True:
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600), "wb")
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _first_name(aside: Path, name: Path) -> None:
    """Give a file its name if no other has it."""
    try:
        os.link(aside, name)
    except FileExistsError:
        raise NameTaken(name.name) from None
    except OSError:
        # A file system without second names.
        if name.exists():
            raise NameTaken(name.name) from None
        os.replace(aside, name)


class DjangoPlace:
    """Any storage of Django's. It is handed a whole file, so that one that fails half-way leaves no record."""

    def __init__(self, storage: Storage, text: str) -> None:
        self._storage, self.text = storage, text

    def work_folder(self) -> Path | None:
        return None

    def put(self, name: str, deliver: Deliver) -> None:
        with tempfile.TemporaryFile() as file:
            deliver(file)
            file.seek(0)
            if self._storage.exists(name):
                raise NameTaken(name)
            kept = self._storage.save(name, File(file, name=name))
        if kept != name:
            self._storage.delete(kept)
            raise NameTaken(name)

    def put_small(self, name: str, data: bytes) -> None:
        """A storage that gives a second file another name has the old one removed first."""
        if self._storage.exists(name) and self._storage.get_available_name(name) != name:
            self._storage.delete(name)
        self._storage.save(name, ContentFile(data, name=name))

    def names(self) -> list[str]:
        try:
            return list(self._storage.listdir("")[1])
        except FileNotFoundError:
            return []

    def open(self, name: str) -> IO[bytes]:
        file: Any = self._storage.open(name, "rb")
        return file  # type: ignore[no-any-return]

    def remove(self, name: str) -> None:
        self._storage.delete(name)


class Backups:
    """The backups of a place, with their records. All errors are BackupError, with the place in the text."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def add(self, name: str, deliver: Deliver, record: dict[str, Any]) -> dict[str, Any]:
        """Keep a file, then its record, to which its size and SHA-256 are added. Raises NameTaken."""
        found: list[Hashing] = []

        def hashed(file: IO[bytes]) -> None:
            found.append(Hashing(file))
            deliver(found[-1])  # type: ignore[arg-type]

        with self._told("kept"):
            self.place.put(name, hashed)
            record = {"backup": name, "bytes": found[-1].size, "sha256": found[-1].sha256, **record}
            self.write_record(record)
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        data = orjson.dumps(record, option=orjson.OPT_INDENT_2)
        with self._told("kept"):
            self.place.put_small(f"{record['backup']}{_RECORD}", data)

    def records(self) -> list[dict[str, Any]]:
        """The record of each backup, the oldest first. A record that cannot be read is that of no backup."""
        with self._told("listed"):
            names = set(self.place.names())
            found = [self.record(name) for name in sorted(names) if moment_of(name) and name + _RECORD in names]
        return [each for each in found if each is not None]

    def unrecorded(self) -> list[str]:
        """Files without a record: of a run that was ended, or copied here by hand. verify_backup records one."""
        with self._told("listed"):
            names = set(self.place.names())
        return sorted(name for name in names if moment_of(name) and name + _RECORD not in names)

    def record(self, name: str) -> dict[str, Any] | None:
        try:
            with self.place.open(name + _RECORD) as file:
                found = orjson.loads(file.read())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("backup") == name else None

    def has(self, name: str) -> bool:
        with self._told("listed"):
            return name in self.place.names()

    def named(self, text: str) -> str:
        """The name that a person means: one that is kept, or `latest`. Raises BackupError where there is none."""
        if text == "latest":
            whole = [each for each in self.records() if not each["partial"] and not each["anonymized"]]
            if not whole:
                raise BackupError(f"{self.place.text} has no backup yet: run manage.py backup_database.")
            return str(whole[-1]["backup"])
        if not self.has(text):
            raise BackupError(f"{self.place.text} has no backup {text}: see manage.py list_backups.")
        return text

    def source(self, name: str) -> Callable[[], IO[bytes]]:
        """What `read_archive` takes."""
        return partial(self._open, name)

    def _open(self, name: str) -> IO[bytes]:
        with self._told("read"):
            return self.place.open(name)

    def remove(self, name: str) -> None:
        """The record first: what remains of a removal that was ended is listed no more."""
        with self._told("changed"):
            self.place.remove(name + _RECORD)
            self.place.remove(name)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except BackupError:
            raise
        except Exception as error:
            if not _is_storage_error(error):
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise BackupError(f"{self.place.text}: nothing could be {what} there ({reason}).") from error


def _is_storage_error(error: Exception) -> bool:
    """boto3's errors are named by their module, so that it need not be loaded for a folder."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("botocore", "boto3", "s3transfer")


def backups_at(text: str) -> Backups:
    """The backups of an address as BACKUP_STORAGE has it. Raises BackupError for one that makes no sense."""
    try:
        where = address(text)
        return Backups(Folder(where.folder) if where.folder else DjangoPlace(_storage(where), text))
    except (ValueError, ImportError, TypeError) as error:
        raise BackupError(f"{text}: {error}") from error


def _storage(where: Address) -> Storage:
    storage: Storage = import_string(where.storage_class)(**where.options)
    return storage
