"""Values as OmniChat's columns hold them: each keeps the form it was stored in, so that saving gives it back unchanged.

A value that is none of what its column should hold is an `Odd`: shown with a mark, written back as it was.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self, TypeAlias

from django.utils.html import format_html
from django.utils.safestring import SafeString

#: What SQLite keeps in a cell.
Stored: TypeAlias = str | int | float | bytes | None

_INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:Z|\+00:00)?)?", re.ASCII)


class Odd(str):
    """A stored value that its column should not hold. As text it is readable; `stored` is the cell itself."""

    stored: Stored
    why: str

    def __new__(cls, stored: Stored, why: str = "not of the column's type") -> Self:
        text = stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored)
        odd = super().__new__(cls, text)
        odd.stored, odd.why = stored, why
        return odd

    @property
    def text(self) -> str:
        """Plain text without the mark, for inputs and files."""
        return "".join(self)

    def __str__(self) -> str:
        return self

    def __html__(self) -> SafeString:
        return format_html(
            '<mark class="odd" title="Kept as it was found: {}">{}</mark>', self.why, self.text or "(empty)"
        )


class Moment(datetime):
    """An aware datetime that remembers the text it was stored as. One computed from it has no such text."""

    text: str | None = None

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _moment, (datetime.combine(self.date(), self.timetz()), self.text)


class Day(date):
    """A date that remembers the text it was stored as, where that was more than the date."""

    text: str | None = None

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _day, (date(self.year, self.month, self.day), self.text)


class Flag(int):
    """A boolean stored as a word: equal to True or False, and written back as that word."""

    stored: str

    def __str__(self) -> str:
        return str(bool(self))

    __repr__ = __str__


class JSONObject(dict[str, Any]):
    """A JSON object that remembers its text."""

    text: str


class JSONList(list[Any]):
    """A JSON array that remembers its text."""

    text: str


def _moment(value: datetime, text: str | None) -> Moment:
    moment = Moment.combine(value.date(), value.timetz())
    moment.text = text
    return moment


def _day(value: date, text: str | None) -> Day:
    day = Day(value.year, value.month, value.day)
    day.text = text
    return day


def read_instant(stored: Stored) -> Moment | Odd | None:
    """An aware instant from any of the three forms: SQLite's, JavaScript's, Unix seconds. UTC, as all of them are.

    A day alone is its midnight, and what is finer than a microsecond is cut. Another offset than UTC is odd: the
    expression by which the database sorts instants (`database.instants`) cannot place it.
    """
    if stored is None:
        return None
    if isinstance(stored, str | int) and not isinstance(stored, bool):
        value = _instant(str(stored))
        if value:
            return _moment(value, str(stored))
    return Odd(stored, "no date and time")


def _instant(text: str) -> datetime | None:
    try:
        if text.isascii() and text.isdigit():
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
        match = _INSTANT.fullmatch(text)
        if not match:
            return None
        *numbers, fraction = match.groups(default="0")
        return datetime(*map(int, numbers), int(fraction[:6].ljust(6, "0")), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError):
        return None


def instant_text(value: datetime) -> str:
    """The form in which instants are written, JavaScript's: `2026-11-22T14:03:09.123Z`. Microseconds are cut."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def read_day(stored: Stored) -> date | Odd | None:
    """A date from `2026-11-22`, or from an instant in text: then its UTC day."""
    if stored is None:
        return None
    value = _instant(stored) if isinstance(stored, str) and not stored.isdigit() else None
    if value is None:
        return Odd(stored, "no date")
    if len(str(stored)) == 10:
        return value.date()
    return _day(value.date(), str(stored))


def read_flag(stored: Stored) -> bool | Flag | Odd | None:
    """A boolean from 0 or 1, or from the words that the app writes: `true`, `false`."""
    if stored is None:
        return None
    if stored in (0, 1):
        return bool(stored)
    if stored in ("true", "false", "1", "0"):
        flag = Flag(stored in ("true", "1"))
        flag.stored = str(stored)
        return flag
    return Odd(stored, "neither true nor false")


def read_json(stored: Stored) -> Any:
    """Python values from JSON; objects and arrays keep their text. What would not be written back the same is odd."""
    if stored is None:
        return None
    if not isinstance(stored, str):
        return Odd(stored, "no JSON")
    try:
        value = _decode(stored)
        text = stored if _is_plain(stored) and isinstance(value, dict | list) else _dumps(value)
    except (ValueError, RecursionError):
        return Odd(stored, "broken JSON")
    if isinstance(value, dict | list):
        kept: JSONObject | JSONList = JSONObject(value) if isinstance(value, dict) else JSONList(value)
        kept.text = stored
        return kept
    return Odd(stored, "JSON that is neither an object nor an array") if value is None or text != stored else value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# Made once: json.loads() and json.dumps() make theirs at each call, which costs more than a short text.
_decode = json.JSONDecoder(parse_constant=_refuse).decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
#: Escapes that may be half a character, and numbers that may be beyond a float.
_DOUBTFUL = re.compile(r"\\u|[0-9][eE]|[0-9]{100}")


def _is_plain(text: str) -> bool:
    """Whether JSON that could be read can be written too for certain: short, so not too deep, and not doubtful."""
    return len(text) < 500 and not _DOUBTFUL.search(text)


def json_text(value: Any) -> str:
    """The text of a JSON value: the one it came with if it still says the same, else compact JSON."""
    text = _dumps(value)
    if isinstance(value, JSONObject | JSONList) and _dumps(json.loads(value.text)) == text:
        return value.text
    return text


def _dumps(value: Any) -> str:
    text = _encode(value)
    text.encode()  # Half a surrogate pair, escaped in the JSON, could be neither shown nor written.
    return text


def read_whole(stored: Stored) -> int | Odd | None:
    """An integer; a float without a fraction is one too (D1 gives numbers as JSON)."""
    if stored is None or isinstance(stored, int):
        return stored
    if isinstance(stored, float) and stored.is_integer():
        return int(stored)
    return Odd(stored, "no whole number")


def read_text(stored: Stored) -> str | Odd | None:
    return stored if stored is None or isinstance(stored, str) else Odd(stored, "no text")
