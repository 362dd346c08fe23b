"""The console's own tables out of a backup: put back when that is asked for, in one transaction.

What a backup leaves out stays as it is: a member of staff who is there keeps the password and the second factor, one
who is not gets a password that nobody has. Rows that the backup does not have are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.db import Error, connections, transaction
from django.db.models import CharField, Field, Model, UniqueConstraint

from database.archive import Archive
from database.archive_format import Member
from database.backup_console import console_models, console_value
from database.restore_build import RestoreError
from database.router import CONSOLE

_BATCH = 500


def restore_console(archive: Archive, remark: Callable[[str], None] = lambda text: None) -> dict[str, int]:
    """Put the console's tables back as the backup has them; gives the rows of each model. Raises RestoreError."""
    members = archive.console()
    if not members:
        raise RestoreError("The backup has no tables of the console, of which nothing was touched.")
    there = {model._meta.label: model for model in console_models()[0]}
    for name in [member.name for member in members if member.name not in there]:
        remark(f"{name} is no table of this console, and was passed over.")
    known = [(there[member.name], member) for member in members if member.name in there]
    try:
        with transaction.atomic(using=CONSOLE):
            keys = {model: _write(model, member, archive) for model, member in known}
            # Children first; what else hangs on such a row goes with it.
            for model in reversed(keys):
                _delete_others(model, keys[model])
    except (Error, ValidationError, ValueError) as error:
        raise RestoreError(f"The console's tables cannot be put back, and none was touched: {error}") from error
    _continue_numbering(list(keys))
    return {member.name: member.rows for _, member in known}


def _write(model: type[Model], member: Member, archive: Archive) -> set[Any]:
    """Change and add the rows of a model; gives their keys. Rows that are as they should be cost a read."""
    fields = {field.attname: field for field in model._meta.concrete_fields}
    columns = [(place, fields[name]) for place, name in enumerate(member.columns or []) if name in fields]
    keys: set[Any] = set()
    for rows in _batches(archive.rows(member)):
        wanted = [{field.attname: console_value(field, row[place]) for place, field in columns} for row in rows]
        key = model._meta.pk.attname
        _make_way(model, wanted)
        present = model._base_manager.using(CONSOLE).in_bulk([values[key] for values in wanted])
        for values in wanted:
            _save(model, present.get(values[key]), values)
            keys.add(values[key])
    return keys


def _make_way(model: type[Model], wanted: list[dict[str, Any]]) -> None:
    """Rename rows that have what is unique of another row of the backup: they are changed or deleted later on."""
    key, manager = model._meta.pk.attname, model._base_manager.using(CONSOLE)
    for field, fields in _unique(model):
        name = field.attname
        owners = {tuple(values.get(each) for each in fields): values[key] for values in wanted}
        texts = [values[name] for values in wanted if values.get(name) is not None]
        for pk, *cells in manager.filter(**{f"{name}__in": texts}).values_list("pk", *fields):
            if owners.get(tuple(cells), pk) != pk:
                manager.filter(pk=pk).update(**{name: uuid4().hex[: field.max_length]})


def _unique(model: type[Model]) -> Iterator[tuple[Field[Any, Any], tuple[str, ...]]]:
    """What must be unique: a field of text in it, and all of its fields."""
    fields = {field.name: field for field in model._meta.concrete_fields}
    alone = [(name,) for name, field in fields.items() if field.unique and not field.primary_key]
    together = [tuple(each.fields) for each in model._meta.constraints if isinstance(each, UniqueConstraint)]
    for names in (*alone, *together):
        if text := next((fields[name] for name in reversed(names) if isinstance(fields[name], CharField)), None):
            yield text, tuple(fields[name].attname for name in names)


def _save(model: type[Model], present: Model | None, values: dict[str, Any]) -> None:
    if present is not None and all(getattr(present, name) == value for name, value in values.items()):
        return
    one = present if present is not None else model()
    for name, value in values.items():
        setattr(one, name, value)
    if present is None and isinstance(one, AbstractBaseUser) and "password" not in values:
        one.password = make_password(None)
    # Raw, as fixtures are loaded: nothing is stamped with the time of the restore.
    one.save_base(raw=True, using=CONSOLE, force_insert=present is None)


def _batches(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while some := list(islice(rows, _BATCH)):
        yield some


def _delete_others(model: type[Model], keys: set[Any]) -> None:
    manager = model._base_manager.using(CONSOLE)
    others = [key for key in manager.values_list("pk", flat=True).iterator(chunk_size=2000) if key not in keys]
    for start in range(0, len(others), _BATCH):
        manager.filter(pk__in=others[start : start + _BATCH]).delete()


def _continue_numbering(models: list[type[Model]]) -> None:
    """On PostgreSQL the next number of a key is not told by the rows."""
    with connections[CONSOLE].cursor() as cursor:
        for sql in connections[CONSOLE].ops.sequence_reset_sql(no_style(), models):
            cursor.execute(sql)
