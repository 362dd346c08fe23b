"""Backups that others made: the SQL text of `wrangler d1 export`, and the JSON of `wrangler d1 execute --json`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson

from database.restore_build import Contents, RestoreError, Watch, columns_of, quoted, tables_of
from database.sql import statements

#: What a dump says around its statements and a build has no use for.
_PASSED_OVER = re.compile(r"(PRAGMA|BEGIN|COMMIT|END|ANALYZE)\b", re.IGNORECASE)
_NUMBERING = re.compile(r"(DELETE\s+FROM|INSERT\s+INTO)\s+[\"'`]?sqlite_sequence\b", re.IGNORECASE)
_ROUNDED = re.compile(r"[(,]-?\d{16,}[,)]")
_STRING = re.compile(r"'(?:[^']|'')*'")
_INFINITY = re.compile(r"\bInfinity\b")
# https://www.sqlite.org/c3ref/c_alter_table.html
_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA}
ROUNDED = (
    "The dump has integers beyond 2^53, which D1's export rounds: compare them with another source. A backup by "
    "backup_database keeps them."
)
UNCOUNTED = "A dump of others has no counts and no checksums: that it is whole is not known."
# wrangler's progress lines may stand before the JSON that it prints.
_JSON_START = re.compile(rb"^[\[{]", re.MULTILINE)


def is_foreign(path: Path) -> bool:
    """Whether a path is such a dump, by its name: `*.sql`, `*.json`, or a folder of `*.json`."""
    return path.suffix.lower() in (".sql", ".json") or path.is_dir()


def has_schema(path: Path) -> bool:
    """Whether it says how its tables are made, as SQL does and JSON does not."""
    return path.suffix.lower() == ".sql"


def fill_from_sql(
    database: sqlite3.Connection, path: Path, tables: Collection[str] = (), watch: Watch = lambda rows: None
) -> Contents:
    """Run a dump in a build. `tables` names some; none named is all. Raises RestoreError where it does not run."""
    contents = Contents(remarks=[UNCOUNTED])
    numbering: list[tuple[str, str]] = []
    database.set_authorizer(_authorize)
    try:
        # In one transaction, with keys off: a dump has children before their parents.
        database.execute("BEGIN")
        for number, statement in enumerate(_statements(path), start=1):
            which = f"Statement {number} of {path.name}"
            if _NUMBERING.match(statement.strip()):
                numbering.append((statement, which))
                continue
            _run(database, statement, which, contents)
            watch(1)
        # SQLite makes that table with the first that counts; a dump speaks of it even where none is left.
        for statement, which in numbering if "sqlite_sequence" in _named(database) else ():
            _run(database, statement, which, contents)
        database.execute("COMMIT")
    finally:
        database.set_authorizer(None)
    _keep_only(database, tables, path)
    contents.tables = _counted(database)
    return contents


def _named(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}


def _authorize(action: int, *names: str | None) -> int:
    """A dump makes tables and rows; it opens no other file."""
    return sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK


def _statements(path: Path) -> Iterator[str]:
    """The statements of a file, which is read line by line: a dump may be larger than memory."""
    lines: list[str] = []
    # What is no UTF-8 stays an error: SQLite would store other bytes.
    with path.open(encoding="utf-8", newline="") as file:
        for line in _lines(file, path):
            lines.append(line)
            if line.rstrip().endswith(";") and _is_complete(text := "".join(lines)):
                yield from [text] if len(lines) == 1 else statements(text)
                lines = []
    if rest := statements("".join(lines)):
        if not _is_complete(f"{rest[-1]};"):
            raise RestoreError(f"{path.name} ends amid a statement: it is cut short. Nothing was touched.")
        yield from rest


def _is_complete(text: str) -> bool:
    # It stops at a NUL, which D1's export writes as it is.
    return sqlite3.complete_statement(text.replace("\0", " "))


def _lines(file: Any, path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise RestoreError(f"{path.name} is no text in UTF-8 ({error.reason}). Nothing was touched.") from None


def _run(database: sqlite3.Connection, statement: str, which: str, contents: Contents) -> None:
    text = statement.strip()
    if not text or _PASSED_OVER.match(text):
        return
    if ROUNDED not in contents.remarks and _ROUNDED.search(_STRING.sub("", text)):
        contents.remarks.append(ROUNDED)
    try:
        database.execute(_loadable(text))
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.OperationalError) and "Infinity" in str(error):
            database.execute(_outside_strings(_loadable(text), _INFINITY, "9e999"))
            return
        raise RestoreError(f"{which} cannot be run: {error}. Nothing was touched.") from error


def _loadable(text: str) -> str:
    """SQLite takes a text for ended at a NUL."""
    return text if "\0" not in text else text.replace("\0", "'||char(0)||'")


def _outside_strings(text: str, pattern: re.Pattern[str], instead: str) -> str:
    """D1's export writes an infinity as JavaScript does."""
    parts, start = [], 0
    for string in _STRING.finditer(text):
        parts += [pattern.sub(instead, text[start : string.start()]), string.group()]
        start = string.end()
    return "".join([*parts, pattern.sub(instead, text[start:])])


def _keep_only(database: sqlite3.Connection, tables: Collection[str], path: Path) -> None:
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name GLOB '_cf_*'").fetchall():
        database.execute(f"DROP TABLE {quoted(name)}")
    there = tables_of(database)
    if unknown := sorted(set(tables) - set(there)):
        text = f"{path.name} has no table {', '.join(unknown)}; it has {', '.join(there)}. Nothing was touched."
        raise RestoreError(text)
    if not there:
        raise RestoreError(f"{path.name} makes no table: it is no dump of a database. Nothing was touched.")
    for name in [name for name in there if tables and name not in tables]:
        database.execute(f"DROP TABLE {quoted(name)}")


def _counted(database: sqlite3.Connection) -> dict[str, int]:
    counts = {}
    for name in tables_of(database):
        (counts[name],) = database.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()  # noqa: S608
    return counts


def fill_from_json(
    database: sqlite3.Connection,
    path: Path,
    schema: Collection[str],
    tables: Collection[str] = (),
    watch: Watch = lambda rows: None,
) -> Contents:
    """Put the rows of `wrangler d1 execute --json "SELECT * FROM t"` into a build.

    A folder has a file NAME.json for each table; one file is the table of its name, or an object of tables. `schema`
    are the statements that make the tables, for JSON says nothing of them; columns that these lack are added, without
    a type. Raises RestoreError.
    """
    contents = Contents(remarks=[UNCOUNTED])
    found = _tables_of_json(path, tables)
    database.execute("BEGIN")
    for sql in (each for each in schema if not each.upper().startswith("CREATE TRIGGER")):
        database.execute(sql)
    _empty(database)
    names = {name.lower(): name for name in tables_of(database)}
    for table, rows in found.items():
        name = names.get(table.lower(), table)
        contents.tables[name] = _insert(database, name, rows, contents)
        watch(len(rows))
    if not tables:
        contents.tables = _counted(database)
    for sql in (each for each in schema if each.upper().startswith("CREATE TRIGGER")):
        database.execute(sql)
    database.execute("COMMIT")
    return contents


def _empty(database: sqlite3.Connection) -> None:
    """Migrations bring rows of their own, such as plans."""
    for table in tables_of(database):
        database.execute(f"DELETE FROM {quoted(table)}")  # noqa: S608


def _tables_of_json(path: Path, tables: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        data = _parsed(file)
        named = isinstance(data, dict) and "results" not in data
        found |= {name: _rows(file, part) for name, part in data.items()} if named else {file.stem: _rows(file, data)}
    if unknown := sorted(set(tables) - set(found)):
        raise RestoreError(f"{path.name} has no table {', '.join(unknown)}. Nothing was touched.")
    if not found:
        raise RestoreError(f"{path.name} has no file such as users.json. Nothing was touched.")
    return {name: rows for name, rows in found.items() if not tables or name in tables}


def tables_in_json(path: Path) -> list[str]:
    """The names of the tables that JSON has rows of."""
    return list(_tables_of_json(path, ()))


def _parsed(file: Path) -> Any:
    data = file.read_bytes()
    start = _JSON_START.search(data)
    try:
        return orjson.loads(data[start.start() :] if start else data)
    except orjson.JSONDecodeError as error:
        raise RestoreError(f"{file.name} is no JSON, or cut short ({error}). Nothing was touched.") from None


def _rows(file: Path, data: Any) -> list[dict[str, Any]]:
    """The rows of `[{"results": [{column: value}]}]`, of its inner object, or of a bare list."""
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict) and "results" in data[0]:
        data = data[0]
    if isinstance(data, dict):
        if data.get("success") is False:
            raise RestoreError(f"{file.name} holds an error and no rows: export the table again. Nothing was touched.")
        data = data.get("results")
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise RestoreError(f"{file.name} is not what `wrangler d1 execute --json` prints. Nothing was touched.")
    return data


def _insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]], contents: Contents) -> int:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns and table not in tables_of(database):
        return 0
    there = {column.lower() for column in columns_of(database, table)}
    if not there:
        database.execute(f"CREATE TABLE {quoted(table)} ({', '.join(map(quoted, columns))})")
        contents.remarks.append(f"{table} is no table of the schema: it is made without types, keys and indexes.")
    for column in [column for column in columns if there and column.lower() not in there]:
        database.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)}")
        contents.remarks.append(f"{table}.{column} is no column of the schema: it is added without a type.")
    names, places = ", ".join(map(quoted, columns)), ", ".join("?" * len(columns))
    cells = ([_value(row.get(column), contents) for column in columns] for row in rows)
    try:
        database.executemany(f"INSERT INTO {quoted(table)} ({names}) VALUES ({places})", cells)  # noqa: S608
    except (sqlite3.Error, OverflowError, ValueError, TypeError) as error:
        raise RestoreError(f"The rows of {table} do not fit its table: {error}. Nothing was touched.") from error
    return len(rows)


def _value(value: Any, contents: Contents) -> Any:
    """A BLOB travels as an array of byte numbers."""
    if isinstance(value, list):
        return bytes(value)
    if isinstance(value, int) and abs(value) >= 2**53 and ROUNDED not in contents.remarks:
        contents.remarks.append(ROUNDED)
    return value
