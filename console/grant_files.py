"""Many grants as rows: those of a file, or of selected users, and what would become of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.contrib.auth.models import User

from billing.ledger import LARGEST
from console import recipients
from console.amounts import whole
from console.grant_limits import Purse
from console.models.grant import Grant
from console.recipients import Recipient
from database.import_files import BadFile, Table
from database.router import CONSOLE

#: Under which names a column is found, in small letters.
COLUMNS = {
    "user": ("user", "email", "user_id", "id", "clerk id", "clerk_id"),
    "units": ("units", "amount"),
    "text": ("reason", "text"),
}
LONGEST_TEXT = 1000
#: Keys that one query asks for.
PORTION = 1000


class Verdict(Enum):
    PROBLEM = "problem"
    WAITS = "waits"
    GRANTED = "granted before"
    GRANT = "grant"


@dataclass(frozen=True)
class Row:
    """A row as it was given: its number, whom it names, and units as they stand there."""

    number: int
    user: str
    units: Any
    text: str


@dataclass(frozen=True)
class Line:
    """What would become of a row. `units` is 0 where they cannot be read, `user` None where there is no one user."""

    row: Row
    verdict: Verdict
    why: str = ""
    units: int = 0
    user: Recipient | None = None

    @property
    def is_granted(self) -> bool:
        return self.verdict in (Verdict.GRANT, Verdict.WAITS)

    def stored(self) -> dict[str, Any]:
        """As `GrantBulk.rows` holds it."""
        assert self.user is not None
        return {
            "row": self.row.number,
            "user_id": self.user.id,
            "email": self.user.email,
            "units": self.units,
            "text": self.row.text,
        }


def rows_of(table: Table, text: str) -> list[Row]:
    """The rows of a file; `text` is the reason of those that give none. Raises `BadFile`."""
    names = {name: _column(table, name) for name in COLUMNS}
    for name in ("user", "units"):
        if names[name] is None:
            raise BadFile(f"The file has no column {name}: its first row has to name the columns user and units.")
    if not table.rows:
        raise BadFile("The file has no row below its first.")

    def cell(values: dict[str, Any], name: str) -> Any:
        column = names[name]
        return None if column is None else values.get(column)

    return [
        Row(given.number, _word(cell(given.values, "user")), cell(given.values, "units"),
            _word(cell(given.values, "text")) or text)
        for given in table.rows
    ]  # fmt: skip


def _column(table: Table, name: str) -> str | None:
    found = [column for column in table.columns if column.strip().lower() in COLUMNS[name]]
    return found[0] if found else None


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip()


def judge(rows: Sequence[Row], *, by: User, key: Callable[[int], str] | None = None) -> list[Line]:
    """What would become of each row if this person granted them now. `key` gives the key of a row, where rows may have
    been granted before. One request to D1 for each thousand rows.
    """
    found = recipients.find(row.user for row in rows)
    purse = Purse.of(by, (users[0].id for users in found.values() if len(users) == 1))
    granted = _granted(key(row.number) for row in rows) if key else set()
    seen: dict[tuple[Any, ...], int] = {}
    lines = []
    for row in rows:
        line = _judged(row, found.get(row.user, []))
        if line.user and key and key(row.number) in granted:
            line = Line(row, Verdict.GRANTED, "This row of this file was granted before.", line.units, line.user)
        elif line.user:
            line = _counted(line, purse, seen)
        lines.append(line)
    return lines


def _judged(row: Row, users: list[Recipient]) -> Line:
    units = whole(row.units)
    why = _objection(row, units, users)
    if why:
        return Line(row, Verdict.PROBLEM, why, units or 0)
    return Line(row, Verdict.GRANT, "", units or 0, users[0])


def _objection(row: Row, units: int | None, users: list[Recipient]) -> str:
    if not row.user:
        return "It names no user."
    if "\0" in row.text or len(row.text) > LONGEST_TEXT:
        return f"The reason is no text of up to {LONGEST_TEXT:,} characters."
    if units is None:
        return f"Units of {str(row.units)[:40]!r}: give a whole number." if row.units else "It gives no units."
    if not 0 < units <= LARGEST:
        return f"Units of {units:,}: a grant gives 1 to {LARGEST:,}."
    if not row.text:
        return "It gives no reason, and none was given for all."
    if not users:
        return "There is no such user."
    if len(users) > 1:
        return "Several users have this email: give the Clerk id."
    return "" if users[0].is_readable else "The user's balance cannot be read as a number: mend it first."


def _counted(line: Line, purse: Purse, seen: dict[tuple[Any, ...], int]) -> Line:
    assert line.user is not None
    same = (line.user.id, line.units, line.row.text)
    if same in seen:
        return Line(line.row, Verdict.PROBLEM, f"The same as row {seen[same]}: it counts once.", line.units, line.user)
    seen[same] = line.row.number
    because = purse.take(line.user.id, line.units)
    return Line(line.row, Verdict.WAITS, because, line.units, line.user) if because else line


def _granted(keys: Iterable[str]) -> set[str]:
    wanted = list(keys)
    found: set[str] = set()
    for start in range(0, len(wanted), PORTION):
        some = Grant.objects.using(CONSOLE).filter(key__in=wanted[start : start + PORTION])
        found.update(key for key in some.values_list("key", flat=True) if key)
    return found


def counts(lines: Iterable[Line]) -> dict[str, int]:
    """How many rows have each verdict, and the units that would be granted at once and later."""
    found = Counter(line.verdict.name for line in lines)
    units = Counter({verdict.name: 0 for verdict in Verdict})
    for line in lines:
        units[line.verdict.name] += line.units
    return {
        **{v.name.lower(): found[v.name] for v in Verdict},
        "units": units["GRANT"],
        "units_waiting": units["WAITS"],
    }
