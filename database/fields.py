"""The columns of OmniChat's tables as Python values. What a column should not hold is an `Odd` and stays as it is.

`database.values` tells the forms, `database.instants` how instants are ordered and compared in SQL.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Field, Lookup
from django.utils import timezone

from database import inputs
from database.instants import (
    AFTER_LAST,
    COMPARISONS,
    InstantCol,
    IsNull,
    Period,
    YearOf,
    next_text,
    number,
    shortest_text,
)
from database.values import (
    Flag,
    Moment,
    Odd,
    Stored,
    instant_text,
    json_text,
    read_day,
    read_flag,
    read_instant,
    read_json,
    read_text,
    read_whole,
)

_ST = TypeVar("_ST", contravariant=True)
_GT = TypeVar("_GT", covariant=True)
if not TYPE_CHECKING:
    # Django's fields are generic in their type stubs alone.
    models.Field.__class_getitem__ = classmethod(lambda cls, types: cls)


class StoredMixin:
    """A column that is read from the cell as it is, whichever engine gives it, and may hold what it should not."""

    input_class: type[forms.Field]
    null: bool

    def get_internal_type(self) -> str:
        # No converter of a database backend runs: those of dates and booleans fail on what apps have written.
        return "TextField"

    def db_type(self, connection: Any) -> str | None:
        return "text"

    def read(self, stored: Stored) -> Any:
        raise NotImplementedError

    def stored(self, value: Any) -> Stored:
        """The cell for a value: as it was read, where it was not changed."""
        raise NotImplementedError

    def from_db_value(self, value: Stored, expression: Any, connection: Any) -> Any:
        return self.read(value)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        if hasattr(value, "resolve_expression"):
            return value
        return value.stored if isinstance(value, Odd) else None if value is None else self.stored(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value if prepared else self.get_prep_value(value)

    def value_to_string(self, obj: models.Model) -> str:
        value = self.get_prep_value(self.value_from_object(obj))  # type: ignore[attr-defined]
        return "" if value is None else str(value)

    def formfield(
        self,
        form_class: type[forms.Field] | None = None,
        choices_form_class: type[forms.ChoiceField] | None = None,
        **kwargs: Any,
    ) -> Any:
        if form_class is None or not issubclass(form_class, self.input_class):
            # The admin's split inputs and date pickers can't show an odd value.
            form_class, choices_form_class = self.input_class, None
            kwargs.pop("widget", None)
            if self.input_class is inputs.TextInput and self.null:
                kwargs.setdefault("empty_value", None)
        return Field.formfield(self, form_class, choices_form_class, **kwargs)  # type: ignore[arg-type]


class InstantField(StoredMixin, models.DateTimeField[_ST, _GT]):
    """A moment: an aware datetime. Written as JavaScript writes it, to the millisecond."""

    _pyi_private_set_type: str | datetime | date | models.expressions.Combinable
    _pyi_private_get_type: datetime | Odd  # type: ignore[assignment]
    input_class = inputs.InstantInput

    def read(self, stored: Stored) -> Moment | Odd | None:
        return read_instant(stored)

    def stored(self, value: Any) -> Stored:
        value = self.to_python(value)
        return getattr(value, "text", None) or instant_text(value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str | int) and not isinstance(value, Odd):
            value = read_instant(value)
            if isinstance(value, Odd):
                raise ValidationError("“%(value)s” is no date and time.", code="invalid", params={"value": value.text})
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime) and timezone.is_naive(value):
            value = timezone.make_aware(value)
        return value

    def interval(self, value: Any) -> tuple[str, str]:
        value = self.to_python(value)
        return shortest_text(value), next_text(value)

    def get_col(self, alias: Any, output_field: Any = None) -> InstantCol:
        return InstantCol(alias, self, output_field)


class DayField(StoredMixin, models.DateField[_ST, _GT]):
    """A calendar day: a date. A full timestamp stands for its UTC day."""

    _pyi_private_set_type: str | date | models.expressions.Combinable
    _pyi_private_get_type: date | Odd  # type: ignore[assignment]
    input_class = inputs.DayInput

    def read(self, stored: Stored) -> date | Odd | None:
        return read_day(stored)

    def stored(self, value: Any) -> Stored:
        value = self.to_python(value)
        return str(getattr(value, "text", None) or value.isoformat())

    def to_python(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, str) and not isinstance(value, Odd):
            value = read_day(value)
            if isinstance(value, Odd):
                raise ValidationError("“%(value)s” is no date.", code="invalid", params={"value": value.text})
        return value

    def interval(self, value: Any) -> tuple[str, str]:
        day = self.to_python(value)
        return day.isoformat(), (day + timedelta(days=1)).isoformat() if day < date.max else AFTER_LAST


class JSONTextField(StoredMixin, models.TextField[_ST, _GT]):
    """JSON: dicts, lists and scalars."""

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any
    input_class = inputs.JSONInput

    def read(self, stored: Stored) -> Any:
        return read_json(stored)

    def stored(self, value: Any) -> Stored:
        return json_text(value)


class FlagField(StoredMixin, models.Field[_ST, _GT]):
    """A boolean, 0 or 1, or the words `true` and `false`. No BooleanField: the admin's icons fail on odd values."""

    _pyi_private_set_type: bool | int | str | models.expressions.Combinable
    _pyi_private_get_type: bool | Flag | Odd
    input_class = inputs.FlagInput
    description = "Boolean"

    def read(self, stored: Stored) -> bool | Flag | Odd | None:
        return read_flag(stored)

    def stored(self, value: Any) -> Stored:
        return value.stored if isinstance(value, Flag) else int(bool(value))


class WholeField(StoredMixin, models.BigIntegerField[_ST, _GT]):
    """An integer of 64 bits, in a column that may hold text too."""

    _pyi_private_set_type: int | str | models.expressions.Combinable
    _pyi_private_get_type: int | Odd  # type: ignore[assignment]
    input_class = inputs.WholeInput

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def read(self, stored: Stored) -> int | Odd | None:
        return read_whole(stored)

    def stored(self, value: Any) -> Stored:
        return int(value)

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, Odd) else models.BigIntegerField.to_python(self, value)  # type: ignore[arg-type]


class PlainTextField(StoredMixin, models.TextField[_ST, _GT]):
    """Text, in a column that may hold a BLOB too."""

    _pyi_private_set_type: str | models.expressions.Combinable
    _pyi_private_get_type: str
    input_class = inputs.TextInput

    def read(self, stored: Stored) -> str | Odd | None:
        return read_text(stored)

    def stored(self, value: Any) -> Stored:
        return str(value)


class OuterOneToOneField(models.OneToOneField):
    """A one-to-one key, primary or not, whose row is shown even if the other is gone: `null` makes an outer join."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "null": True})

    def _check_null_allowed_for_primary_keys(self) -> list[checks.CheckMessage]:
        return []


class DateOf(Period):
    """The day of an instant, in the current time zone when compared; as a value, its UTC day."""

    lookup_name = "date"
    length = 10
    output_field = DayField()

    def interval(self, value: Any) -> tuple[str, str]:
        day = DayField().to_python(value)
        midnight = timezone.make_aware(datetime.combine(day, time()))
        following = timezone.make_aware(datetime.combine(day + timedelta(days=1), time())) if day < date.max else None
        return shortest_text(midnight), shortest_text(following) if following else AFTER_LAST


class FlagExact(Lookup):
    """True is 1 and the word, False is 0 and the word."""

    lookup_name = "exact"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.lhs)
        if isinstance(self.rhs, Odd):
            return f"{sql} IS %s", [*params, self.rhs.stored]
        truth = self.rhs not in (0, "0", "false", "False")
        return f"{sql} IN (%s, %s)", [*params, int(truth), str(truth).lower()]


for lookup in (*COMPARISONS, YearOf, IsNull):
    InstantField.register_lookup(lookup)
    DayField.register_lookup(lookup)
for place, name in {6: "month", 9: "day"}.items():
    InstantField.register_lookup(number(name, place))
    DayField.register_lookup(number(name, place))
for place, name in {12: "hour", 15: "minute", 18: "second"}.items():
    InstantField.register_lookup(number(name, place))
InstantField.register_lookup(DateOf)
FlagField.register_lookup(FlagExact)
