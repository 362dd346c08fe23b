"""The database that a restore makes aside: filled from a backup, then checked, before anything live is touched."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from database.soundness import damage
from database.words import counted

#: The file that a restore makes beside a SQLite database; a killed restore leaves it, the next one takes it away.
SUFFIX = ".restoring"
CACHE_KIB = 32 * 1024

Watch = Callable[[int], None]
#: The engines' own tables, by name.
INTERNAL = ("sqlite_", "_cf_")


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


class RestoreError(Exception):
    """What stands in the way of a restore, and the way out. Unless the text says otherwise, nothing was touched."""


@dataclass
class Contents:
    """What a backup put into a build: the rows of each table as the backup counts them, and remarks to pass on."""

    tables: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def open_build(path: str | Path = "", page_size: int = 4096) -> sqlite3.Connection:
    """An empty database to fill, without a journal: a build that fails is thrown away. Without a path, a temporary one.

    A temporary one lives in a file of the system's folder for such, which is gone whatever ends the process.
    """
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in (
        f"page_size = {page_size}",
        "journal_mode = OFF",
        "synchronous = OFF",
        "foreign_keys = OFF",
        "threads = 2",
        f"cache_size = -{CACHE_KIB}",
    ):
        database.execute(f"PRAGMA {pragma}")
    return database


@contextmanager
def building(target: Path, page_size: int = 4096) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """An empty database beside `target`, in the same folder so that it can take its place by a rename.

    One restore at a time may have it. In the end it is removed, unless it has been renamed.
    """
    path = target.with_name(target.name + SUFFIX)
    lock = _locked(path)
    try:
        with closing(open_build(path, page_size)) as database:
            yield path, database
    finally:
        if _is_at(lock, path):
            remove(path)
        os.close(lock)


def _locked(path: Path) -> int:
    """A descriptor of the build's file, empty and locked. The lock ends with the process, of whatever cause."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise RestoreError(f"Another restore is making {path}: wait for it to end. Nothing was touched.") from None
        # The other may have renamed it between the open and the lock: then it is the live database by now.
        if _is_at(lock, path):
            os.ftruncate(lock, 0)
            return lock
        os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Remove a database file with what SQLite keeps beside one."""
    for part in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{part}")


def check(database: sqlite3.Connection, contents: Contents) -> list[str]:
    """Check a build: as many rows as the backup has, and sound. Gives what is wrong with its foreign keys.

    Raises RestoreError. A key that points nowhere was so in the database that was backed up; whether that is in the
    way is for the engine to say that takes the rows.
    """
    for table, expected in contents.tables.items():
        (found,) = database.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()  # noqa: S608
        if found != expected:
            text = (
                f"The backup says {counted(expected, 'row')} of {table}, and has {found:,}: it is "
                "damaged. Nothing was touched."
            )
            raise RestoreError(text)
    if found := damage(database.execute, "quick_check", 1):
        raise RestoreError(f"What was built of the backup is damaged: {found[0]}. Nothing was touched.")
    return list(violations(database))


def violations(database: sqlite3.Connection, tables: Iterable[str] = ()) -> Iterator[str]:
    """Parts of a sentence: for each pair of tables, how many rows point to rows that are not there."""
    try:
        rows = database.execute(
            'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2'
        ).fetchall()
    except sqlite3.Error as error:
        yield f"the foreign keys cannot be checked: {error}"
        return
    wanted = {table.lower() for table in tables}
    for table, parent, count in rows:
        if not wanted or wanted & {table.lower(), parent.lower()}:
            point = counted(count, f"row of {table} points", f"rows of {table} point")
            yield f"{point} to rows of {parent} that are not there"


def is_internal(name: str) -> bool:
    return name.lower().startswith(INTERNAL)


def tables_of(database: sqlite3.Connection) -> list[str]:
    """The names of the tables, in the order in which they were made, without those of the engine."""
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in rows if not is_internal(name)]


def columns_of(database: sqlite3.Connection, table: str, schema: str = "main") -> list[str]:
    """The columns that hold values of their own, so none that is generated."""
    sql = "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0 ORDER BY cid"
    rows = database.execute(sql, [table, schema])
    return [name for (name,) in rows]


def stored_columns(database: sqlite3.Connection, table: str) -> list[str]:
    """The columns to copy: led by the number of the row, under a name that is free, where it is not 1, 2, 3 ..."""
    columns = columns_of(database, table)
    ((kind, without_rowid),) = database.execute("SELECT type, wr FROM pragma_table_list WHERE name = ?", [table])
    # INTEGER PRIMARY KEY DESC has an index of its own, and is no rowid.
    key_sql = (
        "SELECT upper(type) FROM pragma_table_xinfo(?1) WHERE pk "
        "AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')"
    )
    keys = database.execute(key_sql, [table]).fetchall()
    free = [name for name in ("rowid", "_rowid_", "oid") if name not in map(str.lower, columns)]
    if without_rowid or not free or (keys == [("INTEGER",)] and kind == "table"):
        return columns
    numbered = database.execute(
        f"SELECT coalesce(min({free[0]}), 1) = 1 AND coalesce(max({free[0]}), 0) = count(*) FROM {quoted(table)}"  # noqa: S608
    ).fetchone()
    return columns if numbered == (1,) and kind == "table" else [free[0], *columns]
