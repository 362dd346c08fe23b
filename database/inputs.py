"""Form fields for OmniChat's columns: they show an odd value as it is, and know what was not typed over."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from database.values import Odd, json_text, read_day, read_instant, read_json


class CellInput(forms.Field):
    """An input in which a value stands as text. Text that is still the same is no change, odd or not."""

    widget: Any = forms.TextInput

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
        if self.disabled or self.came_back(initial, data):
            return False
        try:
            return isinstance(initial, Odd) or bool(self.to_python(data) != initial)
        except ValidationError:
            return True

    def came_back(self, initial: Any, data: Any) -> bool:
        """Whether a text is what a browser sends for the value that it was given to show."""
        sent, shown = as_sent(data), as_sent(self.prepare_value(initial))
        if isinstance(self.widget, forms.Textarea):
            return sent == shown
        return sent.replace("\n", "") == shown.replace("\n", "")

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        return self.parse(value) if isinstance(value, str) else value


def as_sent(text: Any) -> str:
    """A browser sends CRLF for whichever line end there was, and has no NUL; an input of one line has no line end."""
    whole: str = "" if text is None else str(text)
    return whole.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")


class InstantInput(CellInput):
    def shown(self, value: datetime) -> str:
        local = timezone.localtime(value).replace(tzinfo=None)
        return local.isoformat(" ", "milliseconds").removesuffix(".000")

    def parse(self, text: str) -> datetime:
        text = text.strip()
        value = read_instant(text)
        if value is None or isinstance(value, Odd):
            raise ValidationError("Enter a date and time like 2026-11-22 14:03:09.", code="invalid")
        if text.isdigit() or text.endswith(("Z", "+00:00")):
            return datetime.combine(value.date(), value.timetz())
        # Without a Z the text is meant in the time zone in which the form shows instants.
        return timezone.make_aware(datetime.combine(value.date(), value.time()))


class DayInput(CellInput):
    def shown(self, value: date) -> str:
        return value.isoformat()[:10]

    def parse(self, text: str) -> date:
        value = read_day(text.strip())
        if value is None or isinstance(value, Odd):
            raise ValidationError("Enter a date like 2026-11-22.", code="invalid")
        return date(value.year, value.month, value.day)


class JSONInput(CellInput):
    widget = forms.Textarea

    def shown(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=2)

    def parse(self, text: str) -> Any:
        try:
            value = read_json(json_text(json.loads(text)))
        except (ValueError, RecursionError) as error:
            raise ValidationError("Enter valid JSON.", code="invalid") from error
        return None if isinstance(value, Odd) else value


class FlagInput(CellInput):
    widget = forms.Select(choices=[("", "Unknown"), ("true", "Yes"), ("false", "No")])

    def shown(self, value: Any) -> str:
        return "true" if value else "false"

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValidationError("Choose Yes or No.", code="invalid")
        return text == "true"


class WholeInput(CellInput):
    widget = forms.TextInput(attrs={"inputmode": "numeric"})

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,30}", text.strip()):
            raise ValidationError("Enter a whole number.", code="invalid")
        return int(text)


class TextInput(CellInput):
    """`empty_value` is what an emptied input stands for."""

    def __init__(self, *, empty_value: str | None = "", **kwargs: Any) -> None:
        self.empty_value = empty_value
        super().__init__(**kwargs)

    def parse(self, text: str) -> str:
        if "\0" in text:
            raise ValidationError("A text may not hold a NUL character.", code="invalid")
        return text.strip()

    def to_python(self, value: Any) -> Any:
        return super().to_python(value) or self.empty_value
