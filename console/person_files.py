"""A person's data as a zip: each table as CSV and as JSON, read once and written piece by piece."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import IO, Any

from django.db.models import Model, QuerySet
from django.utils import timezone

from console.models import Finding, Grant, InboxEvent, Note, StaffEvent
from console.person_tables import MESSAGES, PARTS, SAID, Part, pages
from database.columns import missing_fields
from database.exchange import exported, exported_json
from database.formulas import harmless
from database.router import CONSOLE
from database.values import instant_text

Watch = Callable[[str, int], None]
#: Rows of the console's own tables that are read together.
CHUNK = 500
README = """\
What OmniChat holds of the person {user}, as of {moment}.

omnichat/  what OmniChat's database has: the profile, conversations and messages, subscriptions, the battery and its
           ledger, usage by call and by day, and the audit log
console/   what the staff's console has: grants, notes, what staff did, differences to Stripe, events of Stripe and
           Clerk

Each table is there twice: as CSV for spreadsheets, in which an apostrophe stands before text that would be taken for a
formula, and as JSON, an array of objects, for programs. Moments are in UTC, money in cents, battery in units.
Stripe and Clerk hold data of their own: ask there.
"""
LEFT_OUT = "\nWhat messages say is left out: whoever asked for this may not read it.\n"


def write_zip(
    file: IO[bytes], user_id: str, watch: Watch = lambda table, rows: None, *, contents: bool
) -> dict[str, int]:
    """Write all into a file, what messages say only with `contents`, and say how many rows of each table.

    `watch` gets a table and how many more rows.
    """
    written: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        about = README.format(user=user_id, moment=instant_text(timezone.now()))
        archive.writestr("README.txt", about if contents else about + LEFT_OUT)
        for name, columns, found in _tables(user_id, contents=contents):
            written[name] = _write_table(archive, name, columns, found, watch)
    return written


#: Of one row what stands in the CSV file and in the JSON file, cell by cell.
Row = list[tuple[Any, Any]]
Table = tuple[str, list[str], Iterator[list[Row]]]


def _tables(user_id: str, *, contents: bool) -> Iterator[Table]:
    for part in PARTS:
        yield _of_omnichat(part, user_id, () if contents or part is not MESSAGES else SAID)
    for name, rows in own_rows(user_id).items():
        yield _of_console(name, rows)


def _of_omnichat(part: Part, user_id: str, without: Sequence[str]) -> Table:
    first = next(found := pages(part, user_id), [])
    # By now it is known which columns the live table lacks.
    without = [*without, *missing_fields(part.model)]
    fields = [field for field in part.model._meta.concrete_fields if field.name not in without]

    def read() -> Iterator[list[Row]]:
        yield [_cells(row, fields) for row in first]
        for page in found:
            yield [_cells(row, fields) for row in page]

    return f"omnichat/{part.table}", [field.column for field in fields], read()


def _cells(row: Model, fields: Sequence[Any]) -> Row:
    cells = [(field, field.get_prep_value(getattr(row, field.attname))) for field in fields]
    return [(exported(field, cell), exported_json(field, cell)) for field, cell in cells]


def own_rows(user_id: str) -> dict[str, QuerySet[Any]]:
    """What the console's own tables have of a person, by the name that it gets in the zip."""
    return {
        "grants": Grant.objects.using(CONSOLE).filter(user_id=user_id),
        "notes": Note.objects.using(CONSOLE).filter(user_id=user_id),
        "staff_events": StaffEvent.objects.using(CONSOLE).filter(subject=user_id),
        "findings": Finding.objects.using(CONSOLE).filter(user_id=user_id),
        "webhook_events": InboxEvent.objects.using(CONSOLE).filter(subject=user_id),
    }


def _of_console(name: str, rows: QuerySet[Any]) -> Table:
    columns = [field.attname for field in rows.model._meta.concrete_fields]

    def read() -> Iterator[list[Row]]:
        found = rows.order_by("pk").values_list(*columns).iterator(chunk_size=CHUNK)
        for row in found:
            yield [[(value, value) for value in map(_plain, row)]]

    return f"console/{name}", columns, read()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant_text(value)
    if value is None or isinstance(value, str | int | float | dict | list):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_table(
    archive: zipfile.ZipFile, name: str, columns: list[str], found: Iterable[list[Row]], watch: Watch
) -> int:
    """The CSV goes into the zip at once, the JSON first into a file without a name: a zip takes one at a time."""
    count = 0
    with tempfile.TemporaryFile() as beside:
        with archive.open(f"{name}.csv", "w", force_zip64=True) as member:
            member.write(b"\xef\xbb\xbf" + _line(columns))
            for page in found:
                member.write(b"".join(_line([text for text, _ in row]) for row in page))
                for row in page:
                    beside.write((b",\n" if count else b"[\n") + _object(columns, row))
                    count += 1
                watch(name, len(page))
        beside.write(b"\n]\n" if count else b"[]\n")
        beside.seek(0)
        with archive.open(f"{name}.json", "w", force_zip64=True) as member:
            while piece := beside.read(1 << 16):
                member.write(piece)
    return count


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([_safe(value) for value in values])
    return text.getvalue().encode(errors="replace")


def _safe(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return harmless(value) if isinstance(value, str) else value


def _object(columns: list[str], row: Row) -> bytes:
    named = dict(zip(columns, (value for _, value in row), strict=True))
    return json.dumps(named, ensure_ascii=False, default=str).encode(errors="replace")
