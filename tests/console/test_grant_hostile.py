"""What a person in a hurry, or one who means harm, sends to the pages of grants: told in a sentence, never an error."""

from __future__ import annotations

import io
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import openpyxl
import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import BatteryTransaction
from chat.models import User as Account
from console.grants import Wish, apply, approve, decide
from console.models import Grant, GrantBulk
from console.roles import BILLING, SUPPORT
from database.models import AuditLog

pytestmark = pytest.mark.django_db
ADD = "/admin/console/grant/add/"
BULK = "/admin/console/grant/bulk/"
QUEUE = "/admin/console/grant/queue/"


@pytest.fixture(autouse=True)
def customers(db: Any) -> None:
    for n in range(1, 8):
        Account.objects.create(id=f"u{n}", email=f"u{n}@example.com")


def person(name: str, role: str, email: str = "") -> User:
    user = User.objects.create_user(name, email, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def upload(client: Client, content: bytes, name: str = "a.csv", **values: Any) -> Any:
    file = SimpleUploadedFile(name, content)
    return client.post(BULK, {"file": file, "category": "outage", "text": "x", "ticket": "", **values})


def said(preview: Any) -> dict[int, str]:
    return {line.row.number: line.why for _, _, lines in preview.context["groups"] for line in lines}


CSV = b"\xef\xbb\xbfuser;units\r\nu1;5\r\nu2;6\r\n"
WHOLE = "give a whole number"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", CSV, ["", ""]),
        ("a.csv", "user\tunits\r\nu1\t5\r\n".encode("utf-16"), [""]),
        ("a.csv", b"user,units\nu1,5\x00\nu\x002,7\nu3," + b"9" * 5000, [WHOLE, "no such user", WHOLE]),
        ("a.csv", b"user,units\nu1,=1+1\nu2,'=1+1\nu3,+5", [WHOLE] * 3),
        ("a.xlsx", workbook(["user", "units"], ["u1", datetime(2026, 1, 5)], ["u2", True]), [WHOLE] * 2),
        ("a.xlsx", workbook(["user", "units"], ["u1", "=1+1"], [4, 5.5]), ["It gives no units", WHOLE]),
        ("a.xlsx", workbook(["user", "units"], ["_xD800_", 5], ["u1", "_xD800_"]), ["no such user", WHOLE]),
        ("a.xlsx", workbook(["user", "units", "reason"], ["u1", 5, "_xD83D__xDE00_"], ["u2", 6, "_xD800_"]), ["", ""]),
        ("a.xlsx", workbook(["user", "units"], ["u1", 1e300], ["u2", -5]), ["gives 1 to", "gives 1 to"]),
    ],
)
def test_whatever_a_file_holds_is_told_row_by_row(name: str, content: bytes, words: list[str]) -> None:
    preview = upload(client_of(person("alice", SUPPORT)), content, name)
    assert preview.status_code == 200
    told = [why for _, why in sorted(said(preview).items())]
    assert [word in why if word else not why for word, why in zip(words, told, strict=True)] == [True] * len(words)


def test_halves_of_a_character_in_a_workbook_become_whole_or_a_mark() -> None:
    rows = workbook(["user", "units", "reason"], ["u1", 5, "_xD83D__xDE00_"], ["u2", 6, "a_xD800_"])
    upload(client_of(person("alice", SUPPORT)), rows, "a.xlsx")
    assert [row["text"] for row in GrantBulk.objects.get().rows] == ["\U0001f600", "a\ufffd"]


@pytest.mark.parametrize("users", ['["\\ud800"]', "[" * 100_000, "[1]", "{}", "NaN", "[]", ""])
def test_a_selection_that_no_list_sends_is_refused(users: str) -> None:
    sent = {"users": users, "units": 5, "category": "outage", "text": "x"}
    answer = client_of(person("alice", SUPPORT)).post(BULK, sent)
    assert answer.status_code == 400
    assert "Mark users" in answer.content.decode() or "required" in answer.content.decode()


@pytest.mark.parametrize(
    "values",
    [
        {"user": "\ud800"},
        {"units": "9" * 5000},
        {"units": "1e5"},
        {"key": "no"},
        {"text": "a\0b"},
        {"expires_on": "0001-01-01"},
    ],
)
def test_a_form_that_no_page_sends_is_refused(values: dict[str, str]) -> None:
    sent = {"user": "u1", "units": "5", "category": "test", "text": "x", "key": str(uuid4()), "step": "give", **values}
    body = urlencode(sent, errors="surrogatepass")
    client = client_of(person("alice", SUPPORT))
    assert client.post(ADD, body, content_type="application/x-www-form-urlencoded").status_code == 400
    assert not Grant.objects.exists()


def test_the_queue_does_not_read_the_rows_of_a_bulk_with_each_of_its_grants() -> None:
    alice, bob = person("alice", SUPPORT), person("bob", BILLING)
    bulk = GrantBulk.objects.create(rows=[{"row": n} for n in range(100)], made_by=alice)
    grants = decide([Wish(f"u{n}", "", 9000, "test", "x", bulk=bulk, bulk_row=n) for n in range(1, 5)], by=alice)
    with CaptureQueriesContext(connections["default"]) as queries:
        page = client_of(bob).get(QUEUE)
        client_of(bob).get(grants[0].get_absolute_url())
    assert "selected users" in page.content.decode()
    assert not [query["sql"] for query in queries.captured_queries if '"rows"' in query["sql"]]


def test_who_decides_sees_the_last_day() -> None:
    decide([Wish("u1", "", 9_000, "goodwill", "x", expires_on=date(2026, 3, 1))], by=person("alice", SUPPORT))
    assert '<time datetime="2026-03-01">' in client_of(person("bob", BILLING)).get(QUEUE).content.decode()


def test_nobody_approves_their_own_by_a_second_login_of_the_same_email() -> None:
    alice, second = person("alice", SUPPORT, "Alice@Example.com"), person("alice2", BILLING, "alice@example.com")
    (grant,) = decide([Wish("u1", "", 9_000, "goodwill", "x")], by=alice)
    assert approve([grant.pk], by=second) == []
    assert "Nothing waits for you" in client_of(second).get(QUEUE).content.decode()
    assert approve([grant.pk], by=person("bob", BILLING)) == [grant]


def test_each_grant_says_why_in_omnichat_s_own_database() -> None:
    alice = person("alice", SUPPORT)
    wishes = [Wish(f"u{n}", "", 5, "outage", f"reason {n}", ticket="T-1" if n == 1 else "") for n in (1, 2)]
    apply(decide(wishes, by=alice))
    told = [row.metadata for row in AuditLog.objects.order_by("user_id")]
    assert [(row["reason"], row.get("ticket"), row["by"]["username"]) for row in told] == [
        ("reason 1", "T-1", "alice"),
        ("reason 2", None, "alice"),
    ]
    assert "reason" not in BatteryTransaction.objects.get(user_id="u1").metadata


def test_reasons_of_two_million_bytes_go_into_several_statements() -> None:
    alice = person("alice", BILLING)
    text = "\U0001f600" * 1000
    Account.objects.bulk_create([Account(id=f"v{n}", email=f"v{n}@example.com") for n in range(600)])
    grants = decide([Wish(f"v{n}", "", 5, "outage", text) for n in range(600)], by=alice)
    assert len(apply(grants)) == 600
    assert AuditLog.objects.filter(metadata__contains=text).count() == 600
