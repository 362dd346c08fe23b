"""Form fields for OmniChat's columns: they show an odd value as it is and give it back unchanged."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from database.values import Odd, json_text, read_day, read_instant, read_json


class KeepsOdd(forms.Field):
    """What was not typed over is returned as the very value that the form began with."""

    def shown(self, value: Any) -> str:
        """The text by which a value stands in the input."""
        return str(value)

    def parse(self, text: str) -> Any:
        """The value of a text that somebody typed; ValidationError if there is none."""
        raise NotImplementedError

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Odd):
            return value.text
        return value if value is None or isinstance(value, str) else self.shown(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return _same_lines(data) != _same_lines(self.prepare_value(initial))

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        return self.parse(value) if isinstance(value, str) else value


def _same_lines(text: Any) -> str:
    # A browser sends CRLF for whichever line end stood in a text area.
    return "" if text is None else str(text).replace("\r\n", "\n")


class InstantInput(KeepsOdd):
    def shown(self, value: datetime) -> str:
        local = timezone.localtime(value).replace(tzinfo=None)
        return local.isoformat(" ", "milliseconds").removesuffix(".000")

    def parse(self, text: str) -> datetime:
        value = read_instant(text.strip())
        if value is None or isinstance(value, Odd):
            raise ValidationError("Enter a date and time like 2026-11-22 14:03:09.", code="invalid")
        naive = datetime.combine(value.date(), value.time())
        # Without a Z the text is meant in the time zone that the form is shown in.
        return value if text.strip().endswith(("Z", "+00:00")) or text.isdigit() else timezone.make_aware(naive)


class DayInput(KeepsOdd):
    def shown(self, value: date) -> str:
        return value.isoformat()[:10]

    def parse(self, text: str) -> date:
        value = read_day(text.strip())
        if value is None or isinstance(value, Odd):
            raise ValidationError("Enter a date like 2026-11-22.", code="invalid")
        return value


class JSONInput(KeepsOdd):
    widget = forms.Textarea

    def shown(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=2)

    def prepare_value(self, value: Any) -> Any:
        # A bound form gives the typed text, a fresh one the value: only a JSON string is text in both.
        return value.text if isinstance(value, Odd) else value if value is None else self._text(value)

    def _text(self, value: Any) -> str:
        return value if isinstance(value, str) else self.shown(value)

    def parse(self, text: str) -> Any:
        value = read_json(text)
        if isinstance(value, Odd):
            try:
                return read_json(json_text(json.loads(text)))
            except (ValueError, RecursionError) as error:
                raise ValidationError("Enter valid JSON.", code="invalid") from error
        return value


class FlagInput(forms.NullBooleanField):
    widget = forms.NullBooleanSelect


class WholeInput(forms.IntegerField):
    def prepare_value(self, value: Any) -> Any:
        return value.text if isinstance(value, Odd) else value


class TextInput(forms.CharField):
    def prepare_value(self, value: Any) -> Any:
        return value.text if isinstance(value, Odd) else value
