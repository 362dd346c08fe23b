"""Columns that a live table lacks: pages learn of one when the database refuses it, and do without it."""

from __future__ import annotations

import time

from django.db import OperationalError, connections, router
from django.db.models import Model

#: How long a page goes by what was learned, in seconds: a migration may add the column at any moment.
REMEMBERED = 60.0

_learned: dict[tuple[str, str], tuple[float, frozenset[str]]] = {}


def is_about_a_column(error: OperationalError) -> bool:
    return "no such column" in str(error)


def missing_fields(model: type[Model]) -> frozenset[str]:
    """The names of the fields whose columns are known to be missing."""
    at, names = _learned.get(_place(model), (0.0, frozenset()))
    return names if time.monotonic() - at < REMEMBERED else frozenset()


def learn_missing_fields(model: type[Model]) -> frozenset[str]:
    """Ask the database which columns the table has."""
    connection = connections[router.db_for_read(model)]
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, model._meta.db_table)
    present = {column.name for column in described}
    names = frozenset(field.name for field in model._meta.concrete_fields if field.column not in present)
    _learned[_place(model)] = (time.monotonic(), names)
    return names


def forget() -> None:
    _learned.clear()


def _place(model: type[Model]) -> tuple[str, str]:
    return str(connections[router.db_for_read(model)].settings_dict["NAME"]), model._meta.db_table
