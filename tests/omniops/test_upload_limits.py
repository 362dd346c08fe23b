"""An upload is read within limits of size, columns and time, whatever it says of itself."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from django.test import Client

from database import import_files
from database.import_files import BadFile, read_file
from omniops.hardening import LARGEST_BODY

MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
CELLS = b'<c t="inlineStr"><is><t>a</t></is></c>' * 600
WIDE = b'<worksheet %s><sheetData><row r="1">%s</row></sheetData></worksheet>' % (MAIN, CELLS)
STRINGS = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"


def workbook(**parts: bytes) -> bytes:
    """One of Excel's, with other parts: `strings`, `styles`, `sheet1`."""
    made, changed = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(made)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = parts.get(name.rpartition("/")[2].removesuffix(".xml"), old.read(name))
            if name == "[Content_Types].xml":
                there = b'<Override PartName="/xl/strings.xml" ContentType="%s"/></Types>' % STRINGS
                content = content.replace(b"</Types>", there)
            new.writestr(name, content)
        new.writestr("xl/strings.xml", parts.get("strings", b"<sst %s/>" % MAIN))
    return changed.getvalue()


def test_the_strings_of_a_workbook_are_read_as_long_as_the_clock_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all read before the first row."""
    content = workbook(strings=b"<sst %s>" % MAIN + b"<si><t>a</t></si>" * 200_000 + b"</sst>")
    now, looked = time.monotonic(), []

    def clock() -> float:
        looked.append(1)
        return now + (100 if len(looked) > 20 else 0)

    monkeypatch.setattr(import_files.time, "monotonic", clock)
    with pytest.raises(BadFile, match="took more than 20 seconds"):
        read_file("a.xlsx", content)


def test_a_part_that_is_read_at_a_stretch_is_a_small_one() -> None:
    styles = b"<styleSheet %s><cellXfs>" % MAIN + b"<xf/>" * 500_000 + b"</cellXfs></styleSheet>"
    with pytest.raises(BadFile, match="too large when unpacked"):
        read_file("a.xlsx", workbook(styles=styles))


def test_no_entity_of_a_workbook_is_put_in() -> None:
    strings = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><sst %s><si><t>&a;&a;</t></si></sst>' % MAIN
    with pytest.raises(BadFile, match="no Excel workbook"):
        read_file("a.xlsx", workbook(strings=strings))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", lambda: ",".join(f"a{n}" for n in range(300_000)).encode()),
        ("a.json", lambda: ("[{" + ",".join(f'"a{n}":1' for n in range(300_000)) + "}]").encode()),
        ("a.xlsx", lambda: workbook(sheet1=WIDE)),
    ],
)
def test_columns_without_number_are_refused_at_once(name: str, content: Callable[[], bytes]) -> None:
    """Each was compared with each other once."""
    with pytest.raises(BadFile, match="more than 500 columns"):
        read_file(name, content())


@pytest.mark.django_db
@pytest.mark.sqlite_only("nothing is asked of OmniChat's database")
def test_a_body_larger_than_any_form_of_ours_is_not_read(client: Client) -> None:
    """The token of a form stands in the body: who is not signed in would have it all written to the disk."""

    class Body(io.BytesIO):
        def read(self, *words: Any) -> bytes:
            raise AssertionError("it was read")

    client.get("/admin/login/")
    client.raise_request_exception = False
    answer = client.generic(
        "POST", "/admin/login/", CONTENT_TYPE="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(LARGEST_BODY + 1), **{"wsgi.input": Body()},
    )  # fmt: skip
    assert answer.status_code in (400, 413)
