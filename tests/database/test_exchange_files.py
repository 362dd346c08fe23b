"""Files go out and come back with every value whole, and no cell in them is a formula."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import openpyxl
import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from billing.models import BatteryTransaction, UserBattery
from chat.models import DailyUsageSummary, User
from database import exchange, import_files
from database.exchange import columns_of, resource_of, rows_of
from database.export_files import CELL_TEXT, FORMATS
from database.formulas import as_it_was, harmless
from database.import_files import BadFile, read_file

OMNICHAT = "omnichat"
needs_database = pytest.mark.django_db


def put(table, **cells):
    columns, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(cells.values()))


def export(model, extension, page=2000, withheld=()):
    columns = columns_of(resource_of(model), withheld)
    return b"".join(FORMATS[extension].write(columns, rows_of(model.objects.all(), columns, page)))


def as_csv(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def as_xlsx(content):
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    header, *rows = sheet.iter_rows()
    return [dict(zip([cell.value for cell in header], row, strict=True)) for row in rows]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_starts_a_formula_is_made_harmless(text):
    assert harmless(text) == f"'{text}"


@given(st.text(alphabet="'=+-@\t\r\na", max_size=6))
def test_what_was_made_harmless_comes_back(text):
    assert as_it_was(harmless(text)) == text
    assert harmless(text)[:1] not in tuple("=+-@\t\r")


@needs_database
@pytest.mark.parametrize("extension", ["csv", "xlsx", "json"])
def test_every_value_survives_the_way_out_and_back(extension):
    names = ["=HYPERLINK(1)", "-5", "'=x", "Zoë 🦉 名前", "two\nlines", '"quoted", and;more', "+1\x07"]
    for number, name in enumerate(names):
        put("users", id=f"user_{number}", email=f"{number}@example.com", name=name)
    read = read_file(f"users.{extension}", export(User, extension))
    assert [row.values["name"] for row in read.rows] == names


@needs_database
def test_no_cell_of_a_workbook_is_a_formula_and_numbers_are_numbers():
    put("battery_transactions", id="t1", user_id="=1+1", type="usage", amount=-5, balance_after=2**63 - 1)
    put("battery_transactions", id="t2", user_id=None, type="@bonus", amount="-many", balance_after=None)
    one, two = as_xlsx(export(BatteryTransaction, "xlsx"))
    assert {cell.data_type for row in (one, two) for cell in row.values()} <= {"s", "n"}
    assert (one["amount"].value, one["user_id"].value) == (-5, "'=1+1")
    assert one["balance_after"].value == "9223372036854775807"  # Excel would round it
    assert (two["type"].value, two["amount"].value, two["user_id"].value) == ("'@bonus", "'-many", None)


@needs_database
def test_a_csv_keeps_negative_amounts_as_numbers():
    put("battery_transactions", id="t1", user_id="=1+1", type="usage", amount=-5, balance_after=2**63 - 1)
    (row,) = as_csv(export(BatteryTransaction, "csv"))
    assert (row["amount"], row["user_id"], row["balance_after"]) == ("-5", "'=1+1", "9223372036854775807")


@needs_database
def test_instants_go_out_in_one_form_and_odd_ones_as_they_are():
    for number, cell in enumerate(["2026-11-22 14:03:09", "1795356189", "2026-11-22T14:03:09.123Z", "soon", None]):
        put("users", id=f"user_{number}", email=f"{number}@example.com", createdAt=cell)
    assert [row["createdAt"] for row in as_csv(export(User, "csv"))] == [
        "2026-11-22T14:03:09.000Z",
        "2026-11-22T14:03:09.000Z",
        "2026-11-22T14:03:09.123Z",
        "soon",
        "",
    ]


@needs_database
def test_json_has_objects_numbers_and_null():
    put("daily_usage_summary", id="d1", models_used='{"gpt":2}', total_messages=2**53 + 1)
    put("daily_usage_summary", id="d2", models_used="{broken", total_messages="many")
    one, two = json.loads(export(DailyUsageSummary, "json"))
    assert (one["models_used"], one["total_messages"], one["date"]) == ({"gpt": 2}, 2**53 + 1, None)
    assert (two["models_used"], two["total_messages"]) == ("{broken", "many")


@needs_database
@pytest.mark.parametrize("extension", ["csv", "xlsx", "json"])
def test_a_table_without_rows_is_a_file_with_nothing_but_its_columns(extension):
    content = export(UserBattery, extension)
    if extension == "json":
        assert json.loads(content) == []
    else:
        assert read_file(f"a.{extension}", content).columns[:2] == ["user_id", "total_balance"]


@needs_database
def test_a_column_that_is_withheld_is_in_no_file():
    put("users", id="user_1", email="a@example.com")
    assert "email" not in as_csv(export(User, "csv", withheld=("email",)))[0]


@needs_database
def test_rows_are_read_in_pages_each_row_once(django_assert_num_queries):
    for number in range(25):
        put("users", id=f"user_{99 - number}", email=f"{number}@example.com")
    with django_assert_num_queries(3, using=OMNICHAT):
        rows = as_csv(export(User, "csv", page=10))
    assert sorted(row["id"] for row in rows) == sorted(f"user_{99 - number}" for number in range(25))


@needs_database
@pytest.mark.parametrize("rows", [0, 9, 10, 11, 29, 30, 31, 55])
def test_a_filtered_export_sorts_what_is_left_once_for_many_pages(
    rows: int, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries
):
    monkeypatch.setattr(exchange, "NUMBERED", 20)
    for number in range(rows):
        put("users", id=f"user_{99 - number}", email=f"{number}@example.com", tier="paid")
        put("users", id=f"other_{number}", email=f"{number}@example.org", tier="free")
    columns = columns_of(resource_of(User))
    pages, rest = 1 + max(0, -(-(rows - 10) // 10)), max(0, rows - 10)
    with django_assert_num_queries(pages + (rest // 20 + 1 if rows >= 10 else 0), using=OMNICHAT):
        found = [row[0] for row in rows_of(User.objects.filter(tier="paid"), columns, 10)]
    assert found == [f"user_{99 - number}" for number in range(rows)]


@needs_database
def test_an_export_takes_a_page_at_a_time_out_of_the_database():
    for number in range(25):
        put("users", id=f"user_{number}", email=f"{number}@example.com")
    columns = columns_of(resource_of(User))
    rows = rows_of(User.objects.all(), columns, 10)
    assert len([next(rows) for _ in range(10)]) == 10
    User.objects.all()._raw_delete(OMNICHAT)
    assert list(rows) == []


def test_a_text_longer_than_a_cell_of_excel_says_that_it_was_cut():
    field = User._meta.get_field("name")
    content = b"".join(FORMATS["xlsx"].write([field], [("a" * 40_000,)]))
    text = as_xlsx(content)[0]["name"].value
    assert len(text) == CELL_TEXT
    assert text.endswith("[cut: 40,000 characters]")


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31mred\x1b[0m", "\x1a\x1f", "\x19"])
def test_a_control_character_does_not_break_a_workbook_off(text):
    field = User._meta.get_field("name")
    content = b"".join(FORMATS["xlsx"].write([field], [(text,)]))
    assert [row.values["name"] for row in read_file("a.xlsx", content).rows] == [text]


def workbook(*rows):
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def test_a_csv_of_excel_in_another_country_is_read():
    read = read_file("a.CSV", "id;name\r\nuser_1;Zoë, 5\r\n\r\n".encode("utf-16"))
    assert [(row.number, row.values) for row in read.rows] == [(2, {"id": "user_1", "name": "Zoë, 5"})]


def test_a_workbook_with_empty_lines_keeps_its_row_numbers():
    read = read_file(
        "a.xlsx", workbook(["id", "name", None], ["user_1", 5, None], [None, None, None], ["user_2", None])
    )
    assert [(row.number, row.values) for row in read.rows] == [
        (2, {"id": "user_1", "name": 5}),
        (4, {"id": "user_2", "name": None}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"id\n", "Only files that end in .csv, .xlsx or .json"),
        ("a.csv", b"", "The file is empty"),
        ("a.csv", b"id,name\nuser_1,\xe9\n", "Line 2 is not UTF-8"),
        ("a.csv", b'id,name\nuser_1,"open\n', "breaks off in line 2"),
        ("a.csv", b"id,id\n1,2\n", "names id twice"),
        ("a.csv", b"id\n" + b"a" * 200_000, "breaks off in line 2"),
        ("a.xlsx", b"id,name\n", "no Excel workbook"),
        ("a.xlsx", b"PK\x03\x04broken", "no Excel workbook"),
        ("a.json", b"{", "This is no JSON"),
        ("a.json", b'{"id": 1}', "an array of objects"),
        ("a.json", b"[1]", "an array of objects"),
        ("a.json", b'[{"id": "\\ud800"}]', "half a character"),
        ("a.json", b"[]", "no row"),
        ("a.json", b"[" * 100_000, "This is no JSON"),
        ("a.csv", b"id\n" + b"1\n" * 50_001, "more than 50,000 rows"),
        ("a.json", json.dumps([{"id": 1}] * 50_001).encode(), "more than 50,000 rows"),
        ("a.csv", b"x" * (10 * 1024 * 1024 + 1), "more than 10 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(name, content, said):
    with pytest.raises(BadFile, match=said):
        read_file(name, content)


def test_a_workbook_that_grows_when_unpacked_is_refused(monkeypatch):
    monkeypatch.setattr(import_files, "MAX_UNPACKED", 1000)
    with pytest.raises(BadFile, match="too large when unpacked"):
        read_file("a.xlsx", workbook(["id"]))


def test_a_zip_that_is_no_workbook_is_told():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("a.txt", "a")
    with pytest.raises(BadFile, match="no Excel workbook"):
        read_file("a.xlsx", file.getvalue())


@pytest.mark.parametrize("extension", ["csv", "xlsx", "json"])
def test_a_file_that_takes_too_long_is_given_up(extension, monkeypatch):
    """Empty rows take time as well."""
    contents = {
        "csv": b"id\n\n\nuser_1\n",
        "xlsx": workbook(["id"], [], [], ["user_1"]),
        "json": b'[{"id": "user_1"}]',
    }
    assert len(read_file(f"a.{extension}", contents[extension]).rows) == 1
    monkeypatch.setattr(import_files, "MAX_SECONDS", -1)
    with pytest.raises(BadFile, match=r"took more than .* seconds: divide it"):
        read_file(f"a.{extension}", contents[extension])
