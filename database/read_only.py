"""A connection that can't write, for what only looks: it makes no file, no table, and no change of journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from database.router import OMNICHAT
from database.transactions import is_d1


@contextmanager
def read_only(alias: str = OMNICHAT) -> Iterator[BaseDatabaseWrapper]:
    """A connection for reading. A SQLite file that is missing or empty is shown as an empty database.

    On D1 it is the usual connection, where reads leave no trace.
    """
    usual: Any = connections[alias]
    is_file = usual.vendor == "sqlite" and not is_d1(usual) and not str(usual.settings_dict["NAME"]).startswith("file:")
    if not is_file or usual.is_in_memory_db():
        yield usual
        return
    connection = _opened_for_reading(usual)
    try:
        yield connection
    finally:
        # Django's own close for SQLite leaves a database in memory open.
        BaseDatabaseWrapper.close(connection)


def _is_missing_or_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # As in a folder that may not be looked into: SQLite then says that it cannot be opened.
        return False


def _opened_for_reading(usual: Any) -> BaseDatabaseWrapper:
    path = Path(usual.settings_dict["NAME"])
    is_there = not _is_missing_or_empty(path)
    name = f"file:{quote(str(path.absolute()))}?mode=ro" if is_there else ":memory:"
    wait = {"timeout": usual.settings_dict["OPTIONS"].get("timeout", 20)}
    settings = {**usual.settings_dict, "NAME": name, "OPTIONS": wait}
    return type(usual)(settings, alias=usual.alias)  # type: ignore[no-any-return]
