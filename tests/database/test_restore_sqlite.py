"""A restore to a SQLite file: built aside, checked, swapped by a rename, the old one kept."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from database.archive import read_archive
from database.archive_errors import ArchiveError
from database.restore import Restore
from database.restore_archive import fill_from_archive
from database.restore_build import RestoreError, building, open_build
from database.restore_sources import open_source
from omniops.environment import sqlite

from .packing import made, pack, querying, snapshot

BEFORE = "CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT); INSERT INTO users VALUES ('alice', 'now');"
PARENTS = """
CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT REFERENCES users ON DELETE CASCADE);
CREATE INDEX by_user ON conversations (user);
CREATE TRIGGER never BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'never'); END;
"""
BACKED_UP = PARENTS + (
    "INSERT INTO users VALUES ('alice', 'then'), ('bob', NULL); INSERT INTO conversations VALUES (5, 'bob');"
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "live" / "omnichat.sqlite3"


@pytest.fixture
def restore(target: Path, django_db_blocker: Any) -> Iterator[Callable[..., Any]]:
    """`restore(backup)` to `target`, over a connection as the console has one."""
    target.parent.mkdir()
    connections.settings["live"] = connections.configure_settings({"default": {}, "live": sqlite(target)})["live"]

    def run(backup: Path, **options: Any) -> Any:
        return Restore(open_source(str(backup)), connections["live"], **options).run()

    with django_db_blocker.unblock():
        yield run
        connections["live"].close()
    del connections["live"], connections.settings["live"]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    with closing(made(BACKED_UP)) as database:
        return pack(database, tmp_path / "backup.tar.zst")


def make(path: Path, script: str, mode: str = "WAL") -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.executescript(script)


def files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_it_restores_into_nothing_without_asking(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    done = restore(backup, confirm=pytest.fail)
    assert (done.tables, done.kept) == ({"users": 2, "conversations": 1}, None)
    with closing(made(BACKED_UP)) as database:
        assert snapshot(querying(target)) == snapshot(lambda sql: database.execute(sql).fetchall())
    assert files(target) == ["omnichat.sqlite3"]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_it_keeps_the_old_file_whole(restore: Callable[..., Any], target: Path, backup: Path, mode: str) -> None:
    make(target, BEFORE, mode)
    before = snapshot(querying(target))
    asked: list[str] = []
    done = restore(backup, confirm=asked.append)
    assert "Replace everything" in asked[0]
    assert snapshot(querying(done.kept)) == before
    assert querying(target)("SELECT name FROM users ORDER BY id") == [("then",), (None,)]
    assert querying(target)("PRAGMA journal_mode") == [(mode.lower(),)]


def test_what_was_in_the_log_of_the_old_file_is_in_the_kept_one(
    restore: Callable[..., Any], target: Path, backup: Path
) -> None:
    """A writer that was killed leaves its last commits in the log."""
    target.parent.mkdir(exist_ok=True)
    writer = (
        f"import os, sqlite3; d = sqlite3.connect({str(target)!r}); d.execute('PRAGMA journal_mode=WAL');"
        f"d.executescript({BEFORE!r}); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", writer], check=False)
    assert Path(f"{target}-wal").stat().st_size > 0
    done = restore(backup)
    assert querying(done.kept)("SELECT name FROM users") == [("now",)]
    assert files(target) == ["omnichat.sqlite3", done.kept.name]


def test_rights_and_page_size_stay(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, "PRAGMA page_size = 8192; VACUUM;" + BEFORE, "DELETE")
    target.chmod(0o640)
    restore(backup)
    assert target.stat().st_mode & 0o777 == 0o640
    assert querying(target)("PRAGMA page_size") == [(8192,)]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_it_refuses_while_another_program_has_the_file_open(
    restore: Callable[..., Any], target: Path, backup: Path, mode: str
) -> None:
    if mode == "DELETE" and not Path("/proc/self/fd").exists():
        pytest.skip("missing: /proc, which names the programs that have a file open")
    make(target, BEFORE, mode)
    program = (
        f"import sqlite3, sys; d = sqlite3.connect({str(target)!r}); d.execute('SELECT * FROM users').fetchall();"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RestoreError, match=r"open.*stop the programs"):
            restore(backup)
        other.communicate()
    assert querying(target)("SELECT name FROM users") == [("now",)]
    restore(backup)
    assert querying(target)("SELECT count(*) FROM users") == [(2,)]


def test_a_backup_that_is_damaged_touches_nothing(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, BEFORE)
    data = backup.read_bytes()
    told = 0
    for place in range(0, len(data), len(data) // 40):
        backup.write_bytes(bytes([*data[:place], data[place] ^ 4, *data[place + 1 :]]))
        try:
            with closing(read_archive(backup)) as archive, closing(open_build()) as database:
                fill_from_archive(database, archive, [])
        except (ArchiveError, RestoreError):
            told += 1
            with pytest.raises((ArchiveError, RestoreError)):
                restore(backup)
    # The others hit what a restore has no use for, such as the space between two parts.
    assert told > 20
    backup.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArchiveError):
        restore(backup)
    assert files(target) == ["omnichat.sqlite3"]
    assert querying(target)("SELECT name FROM users") == [("now",)]


def test_a_no_to_the_question_touches_nothing(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, BEFORE)

    def refuse(question: str) -> None:
        raise RestoreError("no")

    with pytest.raises(RestoreError):
        restore(backup, confirm=refuse)
    assert files(target) == ["omnichat.sqlite3"]


def test_one_restore_at_a_time(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    with building(target), pytest.raises(RestoreError, match="Another restore"):
        restore(backup)
    restore(backup)
    assert files(target) == ["omnichat.sqlite3"]


def test_what_a_killed_restore_left_is_taken_away(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, BEFORE)
    Path(f"{target}.restoring").write_bytes(b"half")
    os.link(target, f"{target}.before-restore-20261122T000000Z")
    done = restore(backup)
    assert files(target) == ["omnichat.sqlite3", done.kept.name]


def test_a_file_that_is_no_database_is_replaced_and_kept(
    restore: Callable[..., Any], target: Path, backup: Path
) -> None:
    target.write_bytes(b"no database at all" * 100)
    done = restore(backup)
    assert done.kept.read_bytes() == b"no database at all" * 100
    assert querying(target)("SELECT count(*) FROM users") == [(2,)]


def test_some_tables_are_replaced_and_no_others(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, PARENTS + "INSERT INTO users VALUES ('bob', 'now'); INSERT INTO conversations VALUES (9, 'bob');")
    asked: list[str] = []
    done = restore(backup, tables=["users"], confirm=asked.append)
    assert done.tables == {"users": 2}
    assert "tables users of" in asked[0]
    query = querying(target)
    assert query("SELECT id, name FROM users ORDER BY id") == [("alice", "then"), ("bob", None)]
    assert query("SELECT * FROM conversations") == [(9, "bob")]
    assert query("SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger') ORDER BY 1 DESC")[:2] == [
        ("sqlite_autoindex_users_1",),
        ("never",),
    ]
    assert querying(done.kept)("SELECT name FROM users") == [("now",)]


def test_some_tables_go_while_others_read_and_write(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, PARENTS + "INSERT INTO users VALUES ('bob', 'now'); INSERT INTO conversations VALUES (9, 'bob');")
    with closing(sqlite3.connect(target, isolation_level=None)) as other:
        assert other.execute("SELECT name FROM users").fetchall() == [("now",)]
        restore(backup, tables=["conversations"])
        assert other.execute("SELECT * FROM conversations").fetchall() == [(5, "bob")]
        other.execute("INSERT INTO conversations (user) VALUES ('bob')")
        assert other.execute("SELECT max(id) FROM conversations").fetchone() == (10,)


def test_a_table_that_others_need_more_of_is_refused(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, PARENTS + "INSERT INTO users VALUES ('carol', 'now'); INSERT INTO conversations VALUES (9, 'carol');")
    with pytest.raises(RestoreError, match="1 row of conversations points to rows of users that are not there"):
        restore(backup, tables=["users"])
    assert querying(target)("SELECT name FROM users") == [("now",)]
    assert restore(backup, tables=["users", "conversations"]).tables == {"users": 2, "conversations": 1}


def test_a_live_column_that_the_backup_lacks_stays(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, "CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT, plan TEXT DEFAULT 'free');")
    restore(backup, tables=["users"])
    assert querying(target)("SELECT plan FROM users") == [("free",), ("free",)]


def test_an_unknown_table_is_named(restore: Callable[..., Any], target: Path, backup: Path) -> None:
    make(target, BEFORE)
    with pytest.raises(RestoreError, match="no table nobody; it has conversations, users"):
        restore(backup, tables=["nobody"])


def test_rows_that_point_nowhere_are_restored_and_told(
    restore: Callable[..., Any], target: Path, tmp_path: Path
) -> None:
    with closing(made(PARENTS + "INSERT INTO conversations VALUES (1, 'nobody');")) as database:
        path = pack(database, tmp_path / "odd.tar.zst")
    done = restore(path)
    assert any("1 row of conversations points to rows of users" in remark for remark in done.remarks)
    assert querying(target)("SELECT count(*) FROM conversations") == [(1,)]
