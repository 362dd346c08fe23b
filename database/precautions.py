"""What is looked at before SQL files run: D1's limits, rows that would be lost, and the way back."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from d1.api import client_for
from d1.base import MAX_BATCH_BYTES
from d1.base import DatabaseWrapper as D1Wrapper
from d1.statement import MAX_BYTES
from database.migrations import MigrationError
from database.rehearsal import Batch, Hazard
from database.transactions import is_d1


def check_sizes(connection: BaseDatabaseWrapper, batches: Iterable[Batch]) -> None:
    """Raise MigrationError for what D1 would not take, before anything is sent."""
    if not is_d1(connection):
        return
    most = connection.settings_dict["OPTIONS"].get("max_batch_bytes", MAX_BATCH_BYTES)
    for migration, statements in batches:
        sizes = [len(statement.encode()) for statement in statements]
        for number, size in enumerate(sizes, start=1):
            if size > MAX_BYTES:
                text = f"{migration}, statement {number} has {size:,} bytes, and D1 takes {MAX_BYTES:,}: divide it."
                raise MigrationError(text)
        if sum(sizes) > most:
            raise MigrationError(
                f"{migration} has {sum(sizes):,} bytes, and one batch on D1 takes {most:,}: divide the file, or load "
                "its rows with `wrangler d1 execute --file`."
            )


def refuse_passing_over(hazards: Iterable[Hazard]) -> None:
    """Raise MigrationError where a file would be recorded although what it should make is there in another shape."""
    refused = [str(each) for each in hazards if each.refused]
    if refused:
        raise MigrationError(
            f"{' '.join(refused)} Change the table by ALTER TABLE in a file of its own; or, if somebody else made this "
            "database, take it over with --adopt N, where --mend adds what is missing."
        )


def has_rows(connection: BaseDatabaseWrapper, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = %s", [table.lower()])
        if not cursor.fetchone():
            return False
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})")  # noqa: S608
        return bool(cursor.fetchone()[0])


def bookmark(connection: BaseDatabaseWrapper) -> str | None:
    """D1's name of this moment, to which `wrangler d1 time-travel restore` goes back; None if there is none to get."""
    if not isinstance(connection, D1Wrapper):
        return None
    try:
        with connection.wrap_database_errors:
            return str(client_for(connection.endpoint).get("/time_travel/bookmark")["bookmark"])
    except Error:
        return None
