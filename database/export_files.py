"""Files of exported rows: CSV and JSON as streams, XLSX by a temporary file. Memory does not grow with the rows."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.utils.escape import escape

from database.exchange import exported_json, exporter
from database.formulas import harmless
from database.values import Stored

Rows = Iterable[Sequence[Stored]]
#: Lines of text that are sent together.
CHUNK = 500
#: What Excel can hold: rows of a sheet, characters of a cell, digits of a number.
SHEET_ROWS, CELL_TEXT, EXACT = 1_048_576, 32_767, 2**53


@dataclass(frozen=True)
class Format:
    """A kind of file: `write` gives its bytes, piece by piece, for the fields of the columns and the rows of cells."""

    name: str
    content_type: str
    write: Callable[[Sequence[Any], Rows], Iterator[bytes]]


_NO_XML = re.compile("[\ufffe\uffff]")
#: Control characters that XML cannot hold and openpyxl's own `escape` passes over: it stops at 0x19.
_UNESCAPED = re.compile("[\x00\x1a-\x1f]")


class _Echo:
    """Gives back what csv writes."""

    def write(self, text: str) -> str:
        return text


def csv_file(columns: Sequence[Any], rows: Rows) -> Iterator[bytes]:
    """UTF-8 with a mark at the start, without which Excel takes it for something else. NULL is an empty cell."""
    writer = csv.writer(_Echo())
    yield b"\xef\xbb\xbf" + writer.writerow([field.column for field in columns]).encode()
    lines: list[str] = []
    exporters = [exporter(field) for field in columns]
    for row in rows:
        lines.append(writer.writerow([_safe(export(cell)) for export, cell in zip(exporters, row, strict=True)]))
        if len(lines) == CHUNK:
            yield "".join(lines).encode(errors="replace")
            lines.clear()
    yield "".join(lines).encode(errors="replace")


def _safe(value: Any) -> Any:
    return harmless(value) if isinstance(value, str) else value


def json_file(columns: Sequence[Any], rows: Rows) -> Iterator[bytes]:
    """An array of objects, one a line."""
    lines: list[str] = []
    before = "[\n"
    for row in rows:
        named = {field.column: exported_json(field, cell) for field, cell in zip(columns, row, strict=True)}
        lines.append(before + json.dumps(named, ensure_ascii=False))
        before = ",\n"
        if len(lines) == CHUNK:
            yield "".join(lines).encode(errors="replace")
            lines.clear()
    yield ("".join(lines) + ("[]\n" if before == "[\n" else "\n]\n")).encode(errors="replace")


def xlsx_file(columns: Sequence[Any], rows: Rows) -> Iterator[bytes]:
    """A workbook of one sheet, or several where one cannot hold the rows."""
    with tempfile.TemporaryFile() as file:
        _write_workbook(file, columns, rows)
        file.seek(0)
        while piece := file.read(1 << 16):
            yield piece


def _write_workbook(file: IO[bytes], columns: Sequence[Any], rows: Rows) -> None:
    book = Workbook(write_only=True)
    sheet: Any = None
    exporters = [exporter(field) for field in columns]
    for number, row in enumerate(rows):
        if number % (SHEET_ROWS - 1) == 0:
            sheet = _sheet(book, columns)
        sheet.append([_xlsx_cell(export(cell)) for export, cell in zip(exporters, row, strict=True)])
    if sheet is None:
        _sheet(book, columns)
    book.save(file)


def _sheet(book: Workbook, columns: Sequence[Any]) -> Any:
    sheet = book.create_sheet()
    sheet.append([field.column for field in columns])
    return sheet


def _xlsx_cell(value: Any) -> Any:
    """Text never starts as a formula, so that openpyxl writes it as text. Excel rounds numbers of over 15 digits."""
    if isinstance(value, int) and abs(value) > EXACT:
        return str(value) if value > 0 else harmless(str(value))
    if not isinstance(value, str):
        return value
    text = _UNESCAPED.sub(lambda found: f"_x{ord(found[0]):04x}_", escape(harmless(value)))
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    if len(text) <= CELL_TEXT:
        return text
    ending = f"… [cut: {len(value):,} characters]"
    return text[: CELL_TEXT - len(ending)] + ending


FORMATS = {
    "csv": Format("CSV", "text/csv; charset=utf-8", csv_file),
    "xlsx": Format("Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsx_file),
    "json": Format("JSON", "application/json", json_file),
}
