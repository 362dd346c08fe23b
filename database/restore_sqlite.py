"""A restore to a SQLite file: the new file takes the place of the old one by a rename, and the old one is kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from database.restore_build import RestoreError, columns_of, quoted, tables_of, violations

#: What the name of a kept file has between the database's and the time.
KEPT = ".before-restore-"
#: So long, in seconds, a restore waits for a transaction of others to end.
PATIENCE = 10.0


def kept_name(target: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return target.with_name(f"{target.name}{KEPT}{stamp}")


def is_filled(target: Path) -> bool:
    """Whether a file is there that a restore would replace: one with tables, or one that is no database at all."""
    if not target.exists() or target.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(target)) as database:
            return bool(tables_of(database))
    except sqlite3.Error:
        return True


def page_size(target: Path) -> int:
    """The page size of a database, from its header; SQLite's usual one where there is none to read."""
    with suppress(OSError):
        with target.open("rb") as file:
            head = file.read(18)
        size = int.from_bytes(head[16:18], "big") if head[:6] == b"SQLite" else 0
        # https://www.sqlite.org/fileformat.html#page_size
        return 65536 if size == 1 else size if size >= 512 and size & (size - 1) == 0 else 4096
    return 4096


def swap(build: Path, target: Path) -> Path | None:
    """Put a finished build in the place of `target`; gives the name under which the old file is kept.

    Raises RestoreError where other programs have the old file open: what they wrote would go there, to nobody's use.
    There is no moment in which neither file stands under the name.
    """
    _forget_half_swap(target)
    _sync(build)
    if not target.exists() or target.stat().st_size == 0:
        _remove_log(target)
        os.replace(build, target)
        _sync(target.parent)
        return None
    with _alone(target) as was_wal:
        _like(target, build)
        if was_wal:
            _set_wal(build)
        kept = kept_name(target)
        _second_name(target, kept)
        os.replace(build, target)
        _sync(target.parent)
    return kept


def _forget_half_swap(target: Path) -> None:
    """A kill between the two steps of a swap leaves the live file with a second name: that one goes."""
    for path in target.parent.glob(f"{target.name}{KEPT}*"):
        if target.exists() and path.samefile(target):
            path.unlink()


@contextmanager
def _alone(target: Path) -> Iterator[bool]:
    """Hold the database so that nobody else has it, its log written back into it. Gives whether it had one."""
    others = f"stop the programs that use it, then restore again. {target} was not touched."
    with closing(sqlite3.connect(target, timeout=PATIENCE, isolation_level=None)) as database:
        was_wal = False
        try:
            (mode,) = database.execute("PRAGMA journal_mode").fetchone()
            was_wal = mode == "wal"
            # Leaving the log is only granted to a connection that is the only one.
            if was_wal:
                database.execute("PRAGMA journal_mode = DELETE")
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise RestoreError(f"Another program has {target} open{_named(target)}: {others}") from None
        except sqlite3.DatabaseError:
            # No database, or a damaged one: nothing in it can be held, and it is kept as it is.
            was_wal = os.path.exists(f"{target}-wal")
        if programs := _named(target):
            raise RestoreError(f"Other programs have {target} open{programs}: {others}")
        yield was_wal
        _remove_log(target)


def _named(target: Path) -> str:
    """The other processes that have a file open, where the system tells, as a part of a sentence."""
    found = [f"{pid}{_program(pid)}" for pid in _holders(target)]
    return f" (process {', '.join(found)})" if found else ""


def _holders(target: Path) -> Iterator[int]:
    there = target.stat()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        if pid == os.getpid():
            continue
        with suppress(OSError):
            for link in folder.iterdir():
                with suppress(OSError):
                    if os.path.samestat(link.stat(), there):
                        yield pid
                        break


def _program(pid: int) -> str:
    with suppress(OSError):
        return f" {Path(f'/proc/{pid}/comm').read_text().strip()}"
    return ""


def _like(target: Path, build: Path) -> None:
    """Give the build the old file's owner and rights, so that whoever could use that one can use this one."""
    old = target.stat()
    os.chmod(build, old.st_mode & 0o7777)
    with suppress(PermissionError):
        os.chown(build, old.st_uid, old.st_gid)


def _set_wal(build: Path) -> None:
    with closing(sqlite3.connect(build, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    _remove_log(build)
    _sync(build)


def _second_name(target: Path, kept: Path) -> None:
    try:
        os.link(target, kept)
    except OSError:
        # A file system without second names: the old file is copied, and appears whole or not at all.
        part = kept.with_name(f"{kept.name}.part")
        shutil.copy2(target, part)
        _sync(part)
        part.rename(kept)


def _remove_log(target: Path) -> None:
    for part in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.unlink(f"{target}{part}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_copy(target: Path) -> Path:
    """A copy of the database as it is at this moment, while others use it; appears whole or not at all."""
    kept = kept_name(target)
    part = kept.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(target, timeout=PATIENCE, isolation_level=None)) as database:
        database.execute("VACUUM INTO ?", [str(part)])
    _sync(part)
    part.rename(kept)
    return kept


def replace_tables(source: Path, target: Path, tables: Sequence[str]) -> list[str]:
    """Replace some tables of a live database by those of a build, with their indexes and triggers, in one transaction.

    Gives what is wrong with their foreign keys and was so before. Raises RestoreError where more would be wrong than
    is now: nothing was touched then. Others may use the database meanwhile, and wait for the end of it.
    """
    with closing(sqlite3.connect(target, timeout=PATIENCE, isolation_level=None)) as database:
        # Without foreign keys, or the rows of other tables would go by ON DELETE CASCADE.
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("ATTACH ? AS backup", [str(source)])
        database.execute("BEGIN IMMEDIATE")
        before = set(violations(database, tables))
        for table in tables:
            _replace(database, table)
        after = set(violations(database, tables))
        if new := sorted(after - before):
            database.execute("ROLLBACK")
            raise RestoreError(
                f"{new[0][0].upper()}{'; '.join(new)[1:]}, if these tables alone are restored: restore them together "
                "with the tables that they belong to. Nothing was touched."
            )
        database.execute("COMMIT")
        return sorted(after)


def _replace(database: sqlite3.Connection, table: str) -> None:
    columns = columns_of(database, table, "backup")
    # A live table that has more columns than the backup's stays as it is: they begin with their defaults.
    has_all = {each.lower() for each in columns} <= {each.lower() for each in columns_of(database, table, "main")}
    made = _statements(database, "main" if has_all else "backup", table)
    last = max(_last_number(database, "main", table), _last_number(database, "backup", table))
    database.execute(f"DROP TABLE IF EXISTS main.{quoted(table)}")
    database.execute(made[0][0])
    names = ", ".join(map(quoted, columns))
    database.execute(f"INSERT INTO main.{quoted(table)} ({names}) SELECT {names} FROM backup.{quoted(table)}")  # noqa: S608
    for (sql,) in made[1:]:
        database.execute(sql)
    if last:
        # AUTOINCREMENT goes on from the larger of the two, so that no number is given twice.
        database.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", [table])
        database.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", [table, last])


def _statements(database: sqlite3.Connection, place: str, table: str) -> list[tuple[str]]:
    return database.execute(
        f"SELECT sql FROM {place}.sqlite_master WHERE lower(tbl_name) = lower(?) AND sql IS NOT NULL "  # noqa: S608
        "ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid",
        [table],
    ).fetchall()


def _last_number(database: sqlite3.Connection, place: str, table: str) -> int:
    """The last number that AUTOINCREMENT gave; 0 where the table has none."""
    if not database.execute(f"SELECT 1 FROM {place}.sqlite_master WHERE name = 'sqlite_sequence'").fetchone():  # noqa: S608
        return 0
    row = database.execute(f"SELECT seq FROM {place}.sqlite_sequence WHERE name = ?", [table]).fetchone()  # noqa: S608
    return int(row[0]) if row else 0
