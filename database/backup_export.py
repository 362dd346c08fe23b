"""D1 by Cloudflare's export: one moment of the whole, while the database answers nobody else.

https://developers.cloudflare.com/api/resources/d1/subresources/database/methods/export/

The dump is JavaScript's: integers beyond 2^53 come rounded, whole REALs as integers, what is no UTF-8 as U+FFFD. And it
writes a line end as `\\n` within replace(), so that a text that holds both a line end and those two characters, as code
does, comes back with two line ends. So a database is asked first whether it holds any of these.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import urllib3
from django.db.utils import OperationalError as DjangoOperationalError
from urllib3.exceptions import HTTPError

from d1.api import Client, Retry
from d1.errors import OutcomeUnknown
from d1.failures import Error
from database.archive_format import TABLE
from database.backup_d1 import PagedSource
from database.backup_sqlite import BackupError, SQLiteSource
from database.backup_tables import Shape, quoted
from database.foreign_dumps import fill_from_sql
from database.restore_build import RestoreError, open_build

#: Seen in public; hosted databases hold up everybody for so long.
BYTES_A_SECOND = 4_000_000
#: An export that is not polled is cancelled. Seconds between polls, and how often one may fail in a row.
POLL, FAILURES = 1.0, 5
_BUSY = "long-running export"
_COPY_BYTES = 1024 * 1024
_TIMEOUT = urllib3.Timeout(connect=10, read=120)


class Refused(Exception):
    """The export is not possible, or would not be exact. The text is a sentence."""


class ExportSource(SQLiteSource):
    """The dump, loaded into a scratch database."""

    engine, method = "d1", "export"

    def __init__(self, database: sqlite3.Connection, name: str, moment: str) -> None:
        super().__init__(database, name)
        self.bookmarks = {"start": moment, "end": moment}
        self.warnings = ["D1's export keeps no rows' numbers: rows without an INTEGER PRIMARY KEY are numbered anew."]

    def pragmas(self) -> dict[str, Any]:
        return {"encoding": "UTF-8"}


@contextmanager
def export_source(
    client: Client, pages: PagedSource, remark: Callable[[str], None], *, exactly: bool
) -> Iterator[ExportSource]:
    """The database of one moment. Raises Refused before anything is read of it, where `exactly` also for values."""
    shapes = [shape for shape in pages.contents().shapes if shape.kind == TABLE]
    lossy = _lossy(pages, shapes)
    if lossy and exactly:
        raise Refused(f"Cloudflare's export would change values of {_listed(lossy)}.")
    size = client.get().get("file_size") or 0
    seconds = size // BYTES_A_SECOND + 1
    remark(
        f"Cloudflare's export blocks the database while it runs: {size / 1e6:,.1f} MB, some {seconds} s. "
        "--method pages blocks nobody."
    )
    with tempfile.TemporaryFile() as file, closing(open_build()) as database:
        moment = _export(client, file)
        # By its descriptor, so that no killed process leaves a dump behind.
        _load(database, Path(f"/dev/fd/{file.fileno()}"))
        source = ExportSource(database, client.endpoint.database, moment)
        changed = _replaced(source)
        if changed and exactly:
            raise Refused(f"Cloudflare's export changed values of {_listed(changed)}.")
        if lossy or changed:
            source.warnings.append(f"Cloudflare's export may have changed values of {_listed([*lossy, *changed])}.")
        yield source


def _listed(columns: list[str]) -> str:
    found = sorted(set(columns))
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _lossy(pages: PagedSource, shapes: list[Shape]) -> list[str]:
    """The columns with a value that the export would change: one query a table."""
    found = []
    for shape in shapes:
        tests = ", ".join(f"max({_test(*each)})" for each in zip(shape.columns, shape.affinities, strict=True))
        ((*flags,),) = pages.query(f"SELECT {tests} FROM {quoted(shape.name)}")  # noqa: S608
        found += [f"{shape.name}.{column}" for column, flag in zip(shape.columns, flags, strict=True) if flag]
    return found


def _test(column: str, affinity: str) -> str:
    name = quoted(column)
    broken = " OR ".join(f"(instr({name}, char({code})) AND instr({name}, '{mark}'))" for code, mark in _MARKS)
    text = f"typeof({name}) = 'text' AND ({broken} OR instr({name}, char(65533)))"
    if affinity == "TEXT":
        return text
    large = f"typeof({name}) = 'integer' AND {name} NOT BETWEEN -9007199254740991 AND 9007199254740991"
    if affinity == "REAL":
        return f"({text})"
    whole = f"typeof({name}) = 'real' AND {name} BETWEEN -9.3e18 AND 9.3e18 AND {name} = CAST({name} AS INTEGER)"
    return f"({text}) OR ({large}) OR ({whole})"


_MARKS = ((10, "\\n"), (13, "\\r"))


def _replaced(source: ExportSource) -> list[str]:
    """The columns with a U+FFFD in the dump: bytes that were no UTF-8, since the database itself had none."""
    found = []
    for shape in source.contents().shapes:
        tests = ", ".join(f"max(instr({quoted(column)}, char(65533)))" for column in shape.columns)
        ((*flags,),) = source.query(f"SELECT {tests} FROM {quoted(shape.name)}")  # noqa: S608
        found += [f"{shape.name}.{column}" for column, flag in zip(shape.columns, flags, strict=True) if flag]
    return found


def _export(client: Client, file: IO[bytes]) -> str:
    """Start the export, poll it, and copy the dump into `file`. Gives the bookmark of its moment."""
    answer = _polled(client, {"output_format": "polling"})
    while answer.get("status") == "active":
        time.sleep(POLL)
        answer = _polled(client, {"output_format": "polling", "current_bookmark": answer["at_bookmark"]})
    if answer.get("status") != "complete":
        raise Refused(f"Cloudflare's export failed ({answer.get('error') or answer.get('status')}).")
    _download(answer["result"]["signed_url"], file)
    return str(answer["at_bookmark"])


def _polled(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a poll. A lost one is asked for again; an export that nobody polls ends by itself."""
    for attempt in range(1, FAILURES + 1):
        try:
            return client.post("/export", body)
        except (Retry, Error, DjangoOperationalError) as error:
            passes = isinstance(error, (Retry, OutcomeUnknown)) or _BUSY in str(error)
            if not passes or attempt == FAILURES:
                raise Refused(f"Cloudflare's export is refused ({str(error).rstrip('.')}).") from error
            time.sleep(POLL * 2 ** (attempt - 1))
    raise AssertionError("the last attempt raises")


def _download(url: str, file: IO[bytes]) -> None:
    """The link is good for an hour, so a connection that breaks is tried again from the start."""
    for attempt in range(1, FAILURES + 1):
        file.seek(0)
        file.truncate()
        try:
            with urllib3.PoolManager(timeout=_TIMEOUT, retries=False).request("GET", url, preload_content=False) as got:
                if got.status != 200:
                    raise BackupError(f"Cloudflare's dump cannot be fetched: status {got.status}. Nothing was kept.")
                for piece in got.stream(_COPY_BYTES):
                    file.write(piece)
            file.flush()
            file.seek(0)
            return
        except (HTTPError, ConnectionError) as error:
            if attempt == FAILURES:
                raise BackupError(f"Cloudflare's dump cannot be fetched: {error}. Nothing was kept.") from error
            time.sleep(POLL)


def _load(database: sqlite3.Connection, path: Path) -> None:
    try:
        fill_from_sql(database, path)
        database.execute("BEGIN")
    except RestoreError as error:
        raise Refused(f"Cloudflare's dump cannot be read ({error}).") from error
