"""An edit of one row: written only over what its editor was shown, and together with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from database import audit
from database.columns import missing_fields
from database.instants import StoredText, is_stored
from database.router import OMNICHAT
from database.values import Odd, Stored

#: The field that an edit sets to now.
TOUCHED = "updated_at"


class NotSaved(Exception):
    """Nothing of the edit was written. `errors` maps field names to sentences; "" stands for the whole form."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


@dataclass(frozen=True)
class Difference:
    """A field that somebody else has changed: the cell as the form showed it, and as it is now."""

    field: models.Field
    shown: Stored
    present: Stored

    def __str__(self) -> str:
        return f"{self.field.verbose_name} is now “{_legible(self.present)}”, you were shown “{_legible(self.shown)}”."


class Conflict(NotSaved):
    """The row is no longer as the form showed it; `differences` is None if it is gone."""

    def __init__(self, differences: list[Difference] | None) -> None:
        self.differences = differences
        first = (
            "Somebody else has changed this row since you opened it, and nothing of yours was saved. "
            "Open the row again to see it as it is now, and make your change there."
        )
        gone = "This row is no longer there; nothing was saved."
        fields = {difference.field.name: str(difference) for difference in differences or []}
        super().__init__({"": gone if differences is None else first, **fields})


class Taken(NotSaved):
    """Another row already has a value that only one row may have."""

    def __init__(self, field: models.Field) -> None:
        super().__init__({field.name: f"Another row already has this {field.verbose_name}."})


def save_changes(
    instance: models.Model,
    *,
    shown: Mapping[str, Stored],
    changed: Mapping[str, Any],
    by: audit.Actor,
    action: str | None = None,
    **metadata: Any,
) -> None:
    """Write `changed` (field name to value) to the row of `instance`, if each field of `shown` still holds its cell.

    `shown` maps field names to cells as they were when the form was made (`cell_of` gives them); all that is in
    `changed` has to be in it. `updated_at` becomes now, and one entry of the audit log is written with it, action
    `TABLE.update` unless another is given. It is one transaction of its own, never part of another: when this returns
    it is committed. With nothing changed nothing is written.

    Raises `Conflict` if the row differs, `Taken` if another row has a unique value: both are `NotSaved`, whose `errors`
    a form can show. On D1: a read, one batch, and after a conflict another read.
    """
    if not changed:
        return
    model = type(instance)
    try:
        with transaction.atomic(using=OMNICHAT, durable=True):
            if not _unchanged_row(instance, shown).update(**_new_values(model, changed)):
                raise _Changed
            audit.record(
                action or f"{model._meta.db_table}.update", by=by, **told(instance, shown, changed), **metadata
            )
    except IntegrityError as error:
        # On D1 both a guard of the batch and a unique index speak at the commit.
        field = unique_field(model, error)
        raise (Taken(field) if field else Conflict(differences(instance, shown))) from error
    except _Changed:
        raise Conflict(differences(instance, shown)) from None


class _Changed(Exception):
    pass


def _unchanged_row(instance: models.Model, shown: Mapping[str, Stored]) -> models.QuerySet[Any]:
    conditions = [is_stored(field_of(type(instance), name).attname, cell) for name, cell in shown.items()]
    return type(instance)._base_manager.using(OMNICHAT).filter(*conditions, pk=instance.pk)


def _new_values(model: type[models.Model], changed: Mapping[str, Any]) -> dict[str, Any]:
    values = {field_of(model, name).attname: _key(value) for name, value in changed.items()}
    if TOUCHED in {field.name for field in model._meta.fields} - missing_fields(model):
        values.setdefault(TOUCHED, timezone.now())
    return values


def told(instance: models.Model, shown: Mapping[str, Stored], changed: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry of the audit log says of a changed row: whose it is, which it is, its cells before and after."""
    fields = {name: field_of(type(instance), name) for name in changed}
    return {
        "user_id": account_of(instance),
        "resource_type": instance._meta.db_table,
        "resource_id": str(instance.pk),
        "before": {field.column: shown[name] for name, field in fields.items()},
        "after": {field.column: cell(field, changed[name]) for name, field in fields.items()},
    }


def account_of(instance: models.Model) -> str | None:
    """The OmniChat user that a row belongs to."""
    return str(instance.pk) if instance._meta.db_table == "users" else getattr(instance, "user_id", None)


def field_of(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)


def cell(field: Any, value: Any) -> Stored:
    """The cell in which a field keeps a value."""
    kept: Stored = field.get_prep_value(_key(value))
    return kept


def cell_of(instance: models.Model, name: str) -> Stored:
    """The cell that a field of a row was read from."""
    field = field_of(type(instance), name)
    return cell(field, getattr(instance, field.attname))


def _key(value: Any) -> Any:
    return value.pk if isinstance(value, models.Model) else value


def differences(instance: models.Model, shown: Mapping[str, Stored]) -> list[Difference] | None:
    """Which of the shown cells are others now; None if the row is gone."""
    fields = [field_of(type(instance), name) for name in shown]
    rows = type(instance)._base_manager.using(OMNICHAT).filter(pk=instance.pk)
    row = rows.values_list(*[StoredText(field.attname) for field in fields]).first()
    if row is None:
        return None
    pairs = zip(fields, shown.values(), row, strict=True)
    return [Difference(field, was, now) for field, was, now in pairs if was != now]


def unique_field(model: type[models.Model], error: IntegrityError) -> models.Field | None:
    """The field whose unique index an error names (`UNIQUE constraint failed: users.email`)."""
    for field in model._meta.concrete_fields:
        if f"UNIQUE constraint failed: {model._meta.db_table}.{field.column}" in str(error):
            return field
    return None


def _legible(stored: Stored) -> str:
    return "nothing" if stored is None else Odd(stored).text
