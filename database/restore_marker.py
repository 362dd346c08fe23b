"""The sign on a D1 database that is being restored: there is no swap there, so it says itself that it is half.

The table `_restore` has one row from the first change of a restore to its last, which takes it away in the same batch.
A restore of some tables has it too, to number its batches; it changes the live tables in the last batch alone, so there
`is_half` is 0.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from database.verification import Context, Finding

MARKER = "_restore"
#: Rows wait here that only one transaction can put where they belong.
STAGE = "_restore_rows_"
MAKE = (
    f"CREATE TABLE IF NOT EXISTS {MARKER} "
    "(run TEXT NOT NULL, backup TEXT, bookmark TEXT, started_at TEXT, is_half INTEGER, batch INTEGER NOT NULL)"
)


class Unfinished(NamedTuple):
    """A restore that began and did not end. `bookmark` is D1's name of the moment before its first change."""

    backup: str
    bookmark: str | None
    started_at: str

    def __str__(self) -> str:
        back = f", or go back by `{undo(self.bookmark)}`" if self.bookmark else ""
        return (
            f"a restore of {self.backup} began at {self.started_at} and did not end, so the database is half: run "
            f"manage.py restore_database {self.backup} again{back}"
        )


def undo(bookmark: str) -> str:
    """The command that puts the database back as it was at a bookmark."""
    return f"manage.py restore_database --time-travel {bookmark}"


def is_marked(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %s", [MARKER])
        return cursor.fetchone() is not None


def unfinished(connection: BaseDatabaseWrapper) -> Unfinished | None:
    """The restore that a database is in the middle of, or None."""
    if not is_marked(connection):
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT backup, bookmark, started_at FROM {MARKER} WHERE is_half")  # noqa: S608
        row = cursor.fetchone()
    return Unfinished(*row) if row else None


def check_unfinished(context: Context) -> Finding:
    """For verify_database."""
    if not context.has(MARKER) or (found := unfinished(context.connection)) is None:
        return Finding()
    return Finding({"unfinished_restore": found._asdict()}, [f"Half restored: {found}."], str(found))
