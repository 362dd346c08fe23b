"""A value as a cell of a page: moments in words, numbers with their unit, states as labels, odd values with a mark."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import slugify

from database.values import Odd

EMPTY = "–"
Shown = str | SafeString | None
Show = Callable[[Any], Shown]


def column(name: str, show: Show, heading: str | None = None, sort: str | None = None) -> Callable[[Any, Model], Shown]:
    """A column of a list or a read-only field of a page: the field `name`, as `show` shows it."""

    @admin.display(description=heading or name.replace("_", " "), ordering=sort)
    def shown(admin: Any, row: Model) -> Shown:
        # On a page Django would write None as a word.
        cell = show(getattr(row, name))
        return EMPTY if cell is None else cell

    shown.column = name  # type: ignore[attr-defined]
    return shown


def odd(value: Any, why: str) -> SafeString:
    """A value as it was found, with a mark and the reason."""
    value = value.text if isinstance(value, Odd) else value
    return format_html('<span class="odd" title="{}">{} ⚠</span>', why, str(value) or "(empty)")


def moment(value: Any) -> Shown:
    """`22 Nov 2026, 14:03 UTC`, to the millisecond where one points at it."""
    if value is None or isinstance(value, Odd):
        return _odd_or_none(value)
    if not isinstance(value, datetime):
        return odd(value, "no date and time")
    utc = value.astimezone(UTC)
    exact = utc.replace(tzinfo=None).isoformat(" ", "milliseconds")
    words = f"{utc.day} {utc:%b} {utc.year}, {utc:%H:%M} UTC"
    return format_html('<time datetime="{}Z" title="{} UTC">{}</time>', exact.replace(" ", "T"), exact, words)


def unix_seconds(value: Any) -> Shown:
    if value is None:
        return None
    try:
        return moment(datetime.fromtimestamp(value, UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        return odd(value, "no time in Unix seconds")


def day(value: Any) -> Shown:
    if value is None or isinstance(value, Odd):
        return _odd_or_none(value)
    if not isinstance(value, date):
        return odd(value, "no date")
    return format_html('<time datetime="{}">{}</time>', f"{value:%Y-%m-%d}", f"{value.day} {value:%b} {value.year}")


def _odd_or_none(value: Any) -> Shown:
    return None if value is None else odd(value.text, value.why)


def number(unit: str = "", *, signed: bool = False) -> Show:
    def show(value: Any) -> Shown:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            return odd(value, "no whole number")
        digits = f"{value:+,}" if signed and value else f"{value:,}"
        word = unit.removesuffix("s") if value in (1, -1) else unit
        return format_html('<span class="number">{} <span class="unit">{}</span></span>', digits, word)

    return show


units = number("units")
signed_units = number("units", signed=True)
tokens = number("tokens")


def cents(value: Any) -> Shown:
    """Cents as dollars."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        return odd(value, "no whole number of cents")
    sign = "-" if value < 0 else ""
    return format_html('<span class="number money">{}</span>', f"{sign}${abs(value) // 100:,}.{abs(value) % 100:02}")


def state(known: Container[str]) -> Show:
    """A state as a label. One that is not `known` is shown all the same."""

    def show(value: Any) -> Shown:
        if value is None:
            return None
        if isinstance(value, Odd):
            return odd(value, value.why)
        if value not in known:
            return format_html(
                '<span class="state state-unknown" title="A value that the console does not know">{}</span>', value
            )
        return format_html('<span class="state state-{}">{}</span>', slugify(value), str(value).replace("_", " "))

    return show


def flag(value: Any) -> Shown:
    if value is None or isinstance(value, Odd):
        return _odd_or_none(value)
    return "yes" if value else "no"


def identifier(value: Any) -> Shown:
    if isinstance(value, Odd | bytes):
        return text(value)
    return format_html('<code class="id">{}</code>', value) if value not in (None, "") else None


def text(value: Any) -> Shown:
    if isinstance(value, Odd):
        return odd(value, value.why)
    if isinstance(value, bytes):
        return odd(value.decode(errors="replace"), "bytes in place of text")
    return None if value in (None, "") else str(value)


def json_block(value: Any) -> Shown:
    if value is None or isinstance(value, Odd):
        return _odd_or_none(value)
    return format_html('<pre class="json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False, default=str))


#: Pages that show a row better than its form does, by the label of the model: names of addresses.
_PAGES: dict[str, str] = {}


def lead_to(model: str, name: str) -> None:
    """Let links to rows of a model ("chat.user") lead to the address of this name, which takes the quoted key."""
    _PAGES[model] = name


def row_url(model: type[Model], pk: Any) -> str:
    page = _PAGES.get(model._meta.label_lower)
    if page:
        # Where the addresses of the console alone are served, there is the form.
        with suppress(NoReverseMatch):
            return reverse(page, args=(quote(pk),))
    return form_url(model, pk)


def form_url(model: type[Model], pk: Any) -> str:
    """The page on which a row is edited."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=(quote(pk),))


def list_url(model: type[Model] | str, **parameters: Any) -> str:
    """The list of a model, or of the one with this label, filtered."""
    label = model if isinstance(model, str) else model._meta.label
    url = reverse(f"admin:{label.lower().replace('.', '_')}_changelist")
    return f"{url}?{urlencode(parameters)}" if parameters else url


def row_link(model: type[Model], pk: Any, label: Any) -> Shown:
    """A link to the row that a key names. `label` None says that there is no such row: the key is shown, marked."""
    if pk in (None, ""):
        return None
    if label is None:
        return odd(pk, f"There is no such {model._meta.verbose_name}.")
    return format_html('<a href="{}" title="{}">{}</a>', row_url(model, pk), pk, label or pk)
