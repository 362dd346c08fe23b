"""The writing of an import that somebody has confirmed: in transactions of 1,000 rows, with their audit entries.

A file of up to 1,000 changes is written whole or not at all. A larger one that is stopped stays written up to a whole
number of transactions; the same file given again goes on, for rows that are as it says do not change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, connections, models, transaction
from django.utils import timezone

from d1.base import DatabaseWrapper as D1Wrapper
from database import audit
from database.columns import missing_fields
from database.edits import TOUCHED, account_of, field_of, unique_field
from database.exchange import TableResource
from database.imports import BATCH, Change, Preview, batches, present_cells
from database.models import AuditLog
from database.router import OMNICHAT
from database.values import Stored, instant_text

CREATED = "created_at"
#: The stored cells of rows, by key and column.
Cells = dict[str, dict[str, Any]]
#: Rows that are read at once before the first is written.
READ = 5 * BATCH
# On both engines the rows travel as one JSON parameter; `j.value ->> n` is a cell of one of them.
UPDATE = "UPDATE {table} SET {assignments} FROM json_each(%s) AS j WHERE {table}.{key} = j.value ->> 0"
INSERT = "INSERT INTO {table} ({columns}) SELECT {values} FROM json_each(%s) AS j"


class ImportStopped(Exception):
    """The import did not end. `done` rows are written, the others not; the text tells which row is in the way."""

    def __init__(self, done: int, sentence: str) -> None:
        rest = f"{done:,} rows are written; give the same file again to go on." if done else "Nothing was written."
        super().__init__(f"{sentence} {rest}")
        self.done = done


class _InTheWay(Exception):
    pass


def write_import(resource: type[TableResource], confirmed: Preview, *, by: audit.Actor) -> int:
    """Write the changes of a preview and give their number. Raises `ImportStopped`.

    A row that is no longer as the preview showed it is never overwritten. On D1: a read for each 5,000 rows, then a
    batch for each 1,000, which fails where one of its rows has changed since.
    """
    model, changes, done = resource._meta.model, confirmed.changes, 0
    try:
        seen = _look_at_all(model, changes)
        for some in batches(changes):
            with transaction.atomic(using=OMNICHAT, durable=True):
                _write(model, some, seen, by, confirmed.file_name)
            done += len(some)
    except _InTheWay as way:
        raise ImportStopped(done, str(way)) from None
    except IntegrityError as error:
        field = unique_field(model, error)
        said = f"Another row has taken a value of {field.column} since the preview." if field else CHANGED
        raise ImportStopped(done, said) from error
    return done


CHANGED = "Somebody has changed one of these rows since the preview: look at the changes again."


def _look_at_all(model: type[models.Model], changes: Sequence[Change]) -> Cells:
    """Find out before the first write what would stop one; the rows as they are, by key and column."""
    fields = _fields(model, changes)
    seen: Cells = {}
    for start in range(0, len(changes), READ):
        some = changes[start : start + READ]
        seen |= present_cells(model, [change.key for change in some], fields)
        _refuse_changed(some, seen)
    return seen


def _present(model: type[models.Model], changes: Sequence[Change], seen: Cells, fields: Sequence[Any]) -> Cells:
    """The rows of a transaction: D1's is guarded by what was seen, SQLite's keeps others out once it has begun."""
    if isinstance(connections[OMNICHAT], D1Wrapper):
        columns = [field.column for field in fields]
        keys = [change.key for change in changes if change.key in seen]
        return {key: {column: seen[key][column] for column in columns} for key in keys}
    return present_cells(model, [change.key for change in changes], fields)


def _refuse_changed(changes: Sequence[Change], present: dict[str, dict[str, Any]]) -> None:
    for change in changes:
        now = present.get(change.key)
        if change.new and now is not None:
            raise _InTheWay(f"Row {change.row}: {change.key} has been added since the preview.")
        if not change.new and now is None:
            raise _InTheWay(f"Row {change.row}: {change.key} is no longer there.")
        for column, shown in change.before.items():
            if now is not None and now[column] != shown:
                raise _InTheWay(f"Row {change.row}: {column} of {change.key} has been changed since the preview.")


def _fields(model: type[models.Model], changes: Sequence[Change]) -> list[Any]:
    columns = {column for change in changes for column in change.before}
    return [field for field in model._meta.concrete_fields if field.column in columns]


def _write(model: type[models.Model], changes: Sequence[Change], seen: Cells, by: audit.Actor, file_name: str) -> None:
    fields = _fields(model, changes)
    present = _present(model, changes, seen, fields)
    _refuse_changed(changes, present)
    _guard(model, fields, present)
    _write_alike(model, [change for change in changes if not change.new], [TOUCHED], UPDATE)
    _write_alike(model, [change for change in changes if change.new], [CREATED, TOUCHED], INSERT)
    audit.record_all([_told(model, change, by, file_name) for change in changes])


def _guard(model: type[models.Model], fields: Sequence[Any], present: dict[str, dict[str, Any]]) -> None:
    """On D1, let the batch fail if a row was changed after it was read. SQLite's transaction keeps others out."""
    connection = connections[OMNICHAT]
    if not isinstance(connection, D1Wrapper) or not present:
        return
    quote = connection.ops.quote_name
    cells = [[key, *cells.values()] for key, cells in present.items() if bytes not in map(type, cells.values())]
    held = " AND ".join(f"t.{quote(f.column)} IS j.value ->> {n}" for n, f in enumerate(fields, start=1))
    table, key = quote(model._meta.db_table), quote(model._meta.pk.column)
    joined = f"json_each(%s) AS j JOIN {table} AS t ON t.{key} = j.value ->> 0"
    condition = f"(SELECT count(*) FROM {joined} WHERE {held or '1'}) = {len(cells)}"  # noqa: S608 - names of columns
    connection.guard("rows as they were read", condition, [json.dumps(cells)])


def _write_alike(model: type[models.Model], changes: Sequence[Change], times: Sequence[str], sql: str) -> None:
    """Run a statement for the rows that have the same columns: only these are written, and nothing is read back."""
    now = instant_text(timezone.now())
    stamped = {field_of(model, name).column: now for name in times if _has(model, name)}
    alike: dict[tuple[str, ...], list[list[Stored]]] = {}
    for change in changes:
        cells = {**change.after, **stamped}
        alike.setdefault(tuple(cells), []).append([change.key, *cells.values()])
    quote = connections[OMNICHAT].ops.quote_name
    table, key = quote(model._meta.db_table), quote(model._meta.pk.column)
    with connections[OMNICHAT].cursor() as cursor:
        for columns, rows in alike.items():
            cells_sql = {quote(column): f"j.value ->> {number}" for number, column in enumerate(columns, start=1)}
            cursor.execute(
                sql.format(
                    table=table,
                    key=key,
                    columns=", ".join(cells_sql),
                    values=", ".join(cells_sql.values()),
                    assignments=", ".join(f"{column} = {value}" for column, value in cells_sql.items()),
                ),
                [json.dumps(rows)],
            )


def _has(model: type[models.Model], name: str) -> bool:
    return name in {field.name for field in model._meta.concrete_fields} - missing_fields(model)


def _told(model: type[models.Model], change: Change, by: audit.Actor, file_name: str) -> AuditLog:
    table = model._meta.db_table
    return audit.entry(
        f"{table}.import",
        by=by,
        user_id=account_of(model(pk=change.key)),
        resource_type=table,
        resource_id=change.key,
        before=change.before,
        after=change.after,
        file=file_name,
        row=change.row,
    )
