"""A full disk and a storage that fails: told, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connections

from database.backup import Wish, make_backup
from database.backup_files import Backups, DjangoPlace, backups_at
from database.backup_sqlite import BackupError
from database.restore import Restore
from database.restore_sources import open_source
from omniops.environment import sqlite

from .killed import content, fill

QUIET = Wish(console=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        # No part that could be installed: a container may refuse it even to root.
        pytest.skip("not tested here: a full disk, for this machine refuses to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def live(tmp_path: Path, django_db_blocker: Any) -> Iterator[Any]:
    """`live(path)` is a connection to a file."""

    def connect(path: Path) -> Any:
        connections.settings["live"] = connections.configure_settings({"default": {}, "live": sqlite(path)})["live"]
        connections["live"] = connections.create_connection("live")
        return connections["live"]

    with django_db_blocker.unblock():
        yield connect
        connections["live"].close()
    del connections["live"], connections.settings["live"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """About 500 KB of what zstd cannot make much smaller."""
    path = tmp_path / "live.sqlite3"
    fill(path, "then")
    return path


def test_a_full_disk_stops_a_backup_and_nothing_half_stays(live: Any, database: Path, small_disk: Path) -> None:
    backups = backups_at(str(small_disk))
    first = make_backup(live(database), backups, QUIET)
    (small_disk / "ballast").write_bytes(bytes(1_000_000 - first["bytes"]))
    with pytest.raises(BackupError, match=r"No space left|full"):
        make_backup(live(database), backups, QUIET)
    for record in backups.records():
        assert len((small_disk / record["backup"]).read_bytes()) == record["bytes"]
    assert first["backup"] in [record["backup"] for record in backups.records()]
    assert not list(small_disk.glob(".*.partial"))
    # Room again, and it goes on.
    (small_disk / "ballast").unlink()
    assert make_backup(live(database), backups, QUIET)["rows"]


def test_a_full_disk_stops_a_restore_and_the_old_database_is_there(
    live: Any, database: Path, small_disk: Path, tmp_path: Path
) -> None:
    record = make_backup(live(database), backups_at(str(tmp_path / "backups")), QUIET)
    target = small_disk / "omnichat.sqlite3"
    with closing(sqlite3.connect(target)) as there:
        there.execute("CREATE TABLE users (n)")
    (small_disk / "ballast").write_bytes(bytes(700_000))
    before = target.read_bytes()
    with pytest.raises(Exception, match="full"):
        Restore(open_source(str(tmp_path / "backups" / record["backup"])), live(target)).run()
    assert target.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "omnichat.sqlite3"]
    (small_disk / "ballast").unlink()
    Restore(open_source(str(tmp_path / "backups" / record["backup"])), live(target)).run()
    assert content(target) == content(database)


class Failing(FileSystemStorage):
    """A storage whose connection breaks after so many bytes."""

    left = 0

    def _save(self, name: str, content: Any) -> str:
        def cut() -> Iterator[bytes]:
            for chunk in pieces(content):
                self.left -= len(chunk)
                if self.left < 0:
                    raise ConnectionResetError(104, "Connection reset by peer")
                yield chunk

        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(cut())
        return name


def pieces(content: IO[bytes]) -> Iterator[bytes]:
    content.seek(0)
    while chunk := content.read(10_000):
        yield chunk


@pytest.mark.parametrize("left", [0, 50_000, 10**9])
def test_a_storage_that_fails_is_told_and_lists_nothing_half(
    live: Any, database: Path, tmp_path: Path, left: int
) -> None:
    before = content(database)
    storage = Failing(tmp_path / "store")
    backups = Backups(DjangoPlace(storage, "failing"))
    storage.left = 10**9
    first = make_backup(live(database), backups, QUIET)
    # The file itself passes, and its record does not.
    storage.left = first["bytes"] + 100 if left == 10**9 else left
    with pytest.raises(BackupError, match=r"Connection reset by peer"):
        make_backup(live(database), backups, QUIET)
    assert [record["backup"] for record in backups.records()] == [first["backup"]]
    assert content(database) == before
    storage.left = 10**9
    assert make_backup(live(database), backups, QUIET)["backup"] in [r["backup"] for r in backups.records()]
