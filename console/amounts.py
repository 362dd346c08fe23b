"""Money and units as people write them: plain digits. Python's own spellings (`1_0`, `1e1`, `+10`, `１０`) are none."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

#: The digits of ASCII alone, without or with commas between thousands.
_WHOLE = re.compile(r"-?(?:[0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})")
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def whole(value: Any) -> int | None:
    """The units that a cell or word gives: a whole number, or its digits. None for what is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = str(value or "").strip()
    return int(text.replace(",", "")) if _WHOLE.fullmatch(text) else None


class _Plain(forms.Field):
    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip() and not _PLAIN.fullmatch(value.strip()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class UnitsField(_Plain, forms.IntegerField):
    """Units of a battery."""


class MoneyField(_Plain, forms.DecimalField):
    """Money in the currency's larger unit."""
