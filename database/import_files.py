"""Files to import: CSV, XLSX and JSON as rows of named values, within limits, or a sentence that tells why not."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException

from database.formulas import as_it_was

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 50_000
TOO_MANY = f"The file has more than {MAX_ROWS:,} rows: divide it into several."
UNPACKED = "The workbook is too large when unpacked: divide it into several."
TOO_LARGE = f"The file has more than {MAX_BYTES // 1024 // 1024} MB: divide it into several."
MAX_COLUMNS = 500
#: What the parts of a workbook may come to when unpacked; and one that is read at a stretch, as the styles.
MAX_UNPACKED, MAX_PART = 200 * 1024 * 1024, 2 * 1024 * 1024
#: Seconds that reading a file may take, so that none keeps a process of the server to itself.
MAX_SECONDS = 20.0
T = TypeVar("T")


class BadFile(Exception):
    """The file cannot be read. Says what is wrong with it and what to do."""


@dataclass(frozen=True)
class Given:
    """A row of the file: its number there, as a spreadsheet or editor shows it, and its values by column."""

    number: int
    values: dict[str, Any]
    extra: int = 0


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[Given]


def read_file(name: str, content: bytes) -> Table:
    """The rows of a file, whose kind its name tells. Raises `BadFile`."""
    if len(content) > MAX_BYTES:
        raise BadFile(TOO_LARGE)
    read = READERS.get(PurePath(name).suffix.lower())
    if read is None:
        raise BadFile("Only files that end in .csv, .xlsx or .json can be imported.")
    table = read(content, time.monotonic() + MAX_SECONDS)
    if len(table.rows) > MAX_ROWS:
        raise BadFile(TOO_MANY)
    return table


def _csv(content: bytes, end: float) -> Table:
    text = _decoded(content)
    first_line = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = ((reader.line_num, row) for row in _until(end, reader))
        return _table((number, [as_it_was(value) for value in row]) for number, row in lines if row)
    except csv.Error as error:
        raise BadFile(f"The CSV breaks off in line {reader.line_num}: {error}.") from error


def _until(end: float, rows: Iterable[T]) -> Iterator[T]:
    """The rows, empty ones as well, as long as the clock (`time.monotonic`) has not passed `end`. Raises `BadFile`."""
    for row in rows:
        if time.monotonic() > end:
            raise BadFile(f"Reading the file took more than {MAX_SECONDS:g} seconds: divide it into several.")
        yield row


def _decoded(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile(f"Line {line} is not UTF-8: save the file as “CSV UTF-8” and upload it again.") from error


class _Timed(io.BytesIO):
    """A file whose reading ends by `BadFile` when the clock has passed `end`, whoever reads it."""

    def __init__(self, content: bytes, end: float) -> None:
        super().__init__(content)
        self.end = end

    def read(self, size: int | None = -1) -> bytes:
        next(_until(self.end, [None]))
        return super().read(size)


class _Parts(zipfile.ZipFile):
    """What openpyxl reads a workbook from: strings and sheets by `open`, piece by piece, all else by `read`."""

    def read(self, name: str | zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        part = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if part.file_size > MAX_PART:
            raise BadFile(UNPACKED)
        return super().read(name, pwd)


def _book(content: bytes, end: float) -> openpyxl.Workbook:
    """As `openpyxl.load_workbook` makes it, with its file in our place: there the limits are kept."""
    file = _Timed(content, end)
    reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    reader.archive = _Parts(file)
    if sum(part.file_size for part in reader.archive.infolist()) > MAX_UNPACKED:
        raise BadFile(UNPACKED)
    reader.read()
    book: openpyxl.Workbook = reader.wb
    return book


def _xlsx(content: bytes, end: float) -> Table:
    try:
        book = _book(content, end)
        sheet: Any = book.worksheets[0]
        numbered = enumerate(_until(end, sheet.iter_rows(values_only=True)), start=1)
        return _table(
            (number, [_from_xlsx(v) for v in row]) for number, row in numbered if any(v is not None for v in row)
        )
    except (zipfile.BadZipFile, InvalidFileException, ParseError, LookupError, ValueError, TypeError, OSError) as error:
        raise BadFile("This is no Excel workbook (.xlsx), or it is damaged: save it again, or as CSV.") from error


def _from_xlsx(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # `_xD800_` is half a character, which has no UTF-8; two halves that follow each other are one.
    whole = unescape(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return as_it_was(whole)


def _table(lines: Iterable[tuple[int, list[Any]]]) -> Table:
    """The first line names the columns. One row more than allowed is read, so that too many are noticed."""
    remaining: Iterator[tuple[int, list[Any]]] = iter(lines)
    _, header = next(remaining, (0, []))
    columns = _columns([str(name if name is not None else "").strip() for name in header])
    rows = [_given(number, columns, values) for number, values in islice(remaining, MAX_ROWS + 1)]
    return Table(columns, rows)


def _columns(header: list[str]) -> list[str]:
    while header and not header[-1]:
        header.pop()
    if not header:
        raise BadFile("The file is empty: its first row has to name the columns.")
    _limit(header)
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise BadFile(f"The first row names {', '.join(name or '(nothing)' for name in twice)} twice.")
    return header


def _limit(columns: Sequence[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        raise BadFile(f"The file has more than {MAX_COLUMNS} columns: leave out those that are not to be imported.")


def _given(number: int, columns: list[str], values: list[Any]) -> Given:
    surplus = [value for value in values[len(columns) :] if value not in (None, "")]
    short = len(columns) > len(values)
    return Given(number, dict(zip(columns, values, strict=False)), -1 if short else len(surplus))


def _json(content: bytes, end: float) -> Table:
    try:
        data = json.loads(_decoded(content))
        if isinstance(data, list) and len(data) > MAX_ROWS:
            raise BadFile(TOO_MANY)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadFile("The JSON escapes half a character (\\ud800 to \\udfff): put whole ones in its place.") from error
    except (ValueError, RecursionError) as error:
        raise BadFile(f"This is no JSON: {error}.") from error
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise BadFile("The JSON has to be an array of objects, one for each row.")
    if not data:
        raise BadFile("The file has no row.")
    columns = list(dict.fromkeys(name for row in data for name in row))
    _limit(columns)
    return Table(columns, [Given(number, row) for number, row in enumerate(_until(end, data), start=1)])


READERS: dict[str, Callable[[bytes, float], Table]] = {".csv": _csv, ".xlsx": _xlsx, ".json": _json}
