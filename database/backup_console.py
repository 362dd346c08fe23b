"""The console's own tables as rows of a backup: by Django's models, so from SQLite and PostgreSQL alike.

Left out are sessions, permissions and what else Django makes anew, and whatever may be a secret: the passwords of
staff, second factors, tokens. Staff who are restored get no password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from typing import Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, transaction
from django.db.models import Field, JSONField, Model

from database.router import CONSOLE

#: Models that are not backed up: made anew by Django, or of use to one browser alone.
_LEFT_OUT = {
    "sessions.Session", "contenttypes.ContentType", "auth.Permission", "auth.Group_permissions",
    "auth.User_user_permissions",
}  # fmt: skip
# What is named so may be a secret, in whichever app.
_SECRET = re.compile(r"password|passw|secret|token|otp|recovery|credential|session|private", re.IGNORECASE)
_NOT_SECRET: set[tuple[str, str]] = set()


def leave_out(label: str) -> None:
    """Keep a model such as `app.Model` out of backups."""
    _LEFT_OUT.add(label)


def is_no_secret(label: str, field: str) -> None:
    """Back a field up although its name looks like that of a secret."""
    _NOT_SECRET.add((label, field))


def console_models() -> tuple[list[type[Model]], list[str]]:
    """The models to back up, parents first, and the labels of those that have no table yet."""
    tables = set(connections[CONSOLE].introspection.table_names())
    models = backed_up_models()
    missing = [model._meta.label for model in models if model._meta.db_table not in tables]
    return [model for model in models if model._meta.db_table in tables], missing


def backed_up_models() -> list[type[Model]]:
    """The same whatever tables there are."""
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and not _is_left_out(model)
    ]
    return _parents_first(models)


def _is_left_out(model: type[Model]) -> bool:
    label = model._meta.label
    return label in _LEFT_OUT or bool(_SECRET.search(model._meta.object_name or ""))


def _parents_first(models: list[type[Model]]) -> list[type[Model]]:
    ordered: list[type[Model]] = []
    waiting = list(models)
    while waiting:
        ready = [model for model in waiting if not _parents(model) & set(waiting) - {model}]
        ordered += ready or waiting
        waiting = [model for model in waiting if model not in ready] if ready else []
    return ordered


def _parents(model: type[Model]) -> set[type[Model]]:
    found = (field.related_model for field in model._meta.concrete_fields)
    return {parent for parent in found if isinstance(parent, type) and issubclass(parent, Model)}


def console_fields(model: type[Model]) -> list[Field[Any, Any]]:
    """The fields of a model that hold no secret."""
    label = model._meta.label
    return [
        field
        for field in model._meta.concrete_fields
        if not _SECRET.search(field.name) or (label, field.name) in _NOT_SECRET
    ]


def console_rows(model: type[Model]) -> Iterator[list[Any]]:
    """The rows of a model, by its primary key, as values that JSON has words for."""
    fields = console_fields(model)
    for one in model._base_manager.using(CONSOLE).order_by("pk").iterator(chunk_size=1000):
        yield [_portable(field, one) for field in fields]


def _portable(field: Field[Any, Any], one: Model) -> Any:
    value = field.value_from_object(one)
    if isinstance(field, JSONField):
        return None if value is None else json.dumps(value, cls=field.encoder or DjangoJSONEncoder)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if isinstance(value, (date, time)) else field.value_to_string(one)


def console_value(field: Field[Any, Any], value: Any) -> Any:
    """The value of a field that `console_rows` wrote; for an `attname`, so a foreign key is its number."""
    if isinstance(field, JSONField):
        return None if value is None else json.loads(value, cls=field.decoder)
    return field.to_python(value) if value is not None else None


@contextmanager
def console_moment() -> Iterator[None]:
    """One moment of the console's database."""
    connection = connections[CONSOLE]
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(using=CONSOLE):
        if connection.vendor == "postgresql" and is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
