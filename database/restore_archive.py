"""Fills a build from a backup of our own."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from database.archive import Archive
from database.archive_errors import Damaged
from database.archive_format import SEQUENCE, Member
from database.archive_values import RawText
from database.restore_build import Contents, RestoreError, Watch, quoted, tables_of


def fill_from_archive(
    database: sqlite3.Connection, archive: Archive, tables: Collection[str], watch: Watch = lambda rows: None
) -> Contents:
    """Tables, their rows, then indexes, views and triggers, so that none of these slows the rows or is set off by them.

    `tables` names some; none named is all. Raises RestoreError where one is not in the backup, and ArchiveError: the
    build is of no use then. When this returns, the SHA-256 of every member has been compared.
    """
    members = _chosen(archive, tables)
    objects = _objects(archive, tables)
    _set_pragmas(database, archive.manifest.get("pragmas") or {})
    database.execute("BEGIN")
    for each in objects:
        if each["type"] == "table":
            _make(database, each["sql"])
    for member in members:
        if member.kind == SEQUENCE:
            _number(database, archive.rows(member))
            continue
        for batch in archive.batches(member):
            _insert(database, member, batch)
            watch(len(batch))
    for each in objects:
        if each["type"] != "table":
            _make(database, each["sql"])
    database.execute("COMMIT")
    return Contents({member.name: member.rows for member in members if member.kind != SEQUENCE})


def _set_pragmas(database: sqlite3.Connection, pragmas: dict[str, Any]) -> None:
    """What a database says of itself beside its tables; its encoding is settled by the first of them."""
    if pragmas.get("encoding") in ("UTF-16le", "UTF-16be"):
        database.execute(f"PRAGMA encoding = '{pragmas['encoding']}'")
    for name in ("user_version", "application_id"):
        database.execute(f"PRAGMA {name} = {int(pragmas.get(name) or 0)}")


def _chosen(archive: Archive, tables: Collection[str]) -> list[Member]:
    members = archive.tables()
    there = {member.name for member in members if member.kind != SEQUENCE}
    if unknown := sorted(set(tables) - there):
        names = ", ".join(sorted(there))
        raise RestoreError(f"The backup has no table {', '.join(unknown)}; it has {names}. Nothing was touched.")
    return [member for member in members if not tables or member.name in tables or member.kind == SEQUENCE]


def _objects(archive: Archive, tables: Collection[str]) -> list[dict[str, str]]:
    """Of some tables without the views: these may read tables that are not among them."""
    found = archive.objects
    return [each for each in found if not tables or (each["table"] in tables and each["type"] != "view")]


def _make(database: sqlite3.Connection, sql: str) -> None:
    if not sql[:6].upper() == "CREATE":
        raise Damaged(f"The schema in the backup has a statement that creates nothing: {sql[:60]}")
    try:
        database.execute(sql)
    except sqlite3.Error as error:
        if "disk" in str(error):
            raise
        raise RestoreError(
            f"SQLite {sqlite3.sqlite_version} cannot make {' '.join(sql.split())[:60]}: {error}. Nothing was touched."
        ) from error


def _number(database: sqlite3.Connection, rows: Iterable[list[Any]]) -> None:
    """Let AUTOINCREMENT go on where it was; the rows of the tables left numbers of their own."""
    tables = set(tables_of(database))
    wanted = [row for row in rows if row[0] in tables]
    if wanted:
        database.execute("DELETE FROM sqlite_sequence")
        database.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", wanted)


def _insert(database: sqlite3.Connection, member: Member, rows: list[list[Any]]) -> None:
    columns = member.columns or []
    names = ", ".join(map(quoted, columns))
    into = f"INSERT INTO {quoted(member.name)} ({names}) VALUES"
    try:
        if RawText in set(map(type, chain.from_iterable(rows))):
            _insert_singly(database, into, rows)
        else:
            database.executemany(f"{into} ({', '.join('?' * len(columns))})", rows)
    except (sqlite3.Error, OverflowError) as error:
        if "disk" in str(error):
            raise
        raise Damaged(f"The rows of {member.name} in the backup do not fit its table: {error}.") from error


def _insert_singly(database: sqlite3.Connection, into: str, rows: list[list[Any]]) -> None:
    for row in rows:
        places = ", ".join("CAST(? AS TEXT)" if type(value) is RawText else "?" for value in row)
        database.execute(f"{into} ({places})", row)
