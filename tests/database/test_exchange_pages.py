"""The pages of export and import: who may, what is recorded, and that no error is a traceback."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connections
from django.urls import reverse

from chat.models import User
from console.roles import make_roles
from database import columns, exchange, exchange_admin, pending
from database.models import AuditLog

pytestmark = pytest.mark.django_db
OMNICHAT = "omnichat"
EXPORT, IMPORT = "admin:chat_user_export", "admin:chat_user_import"


def put(table, **cells):
    columns, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(cells.values()))


@pytest.fixture
def sam(client):
    """A member of staff who may look, change, export and import."""
    make_roles()
    user = get_user_model().objects.create_user("sam", is_staff=True)
    allow(user, "view_user", "change_user", "export_user", "import_user", "view_message", "export_message")
    client.force_login(user)
    return user


def allow(user, *names):
    user.user_permissions.add(*Permission.objects.filter(codename__in=names, content_type__app_label="chat"))


@pytest.fixture
def told():
    """What the pages say was done."""
    heard = []

    def hear(sender, **what):
        heard.append((what["action"], what["subject"], what["detail"]))

    exchange.exchanged.connect(hear)
    yield heard
    exchange.exchanged.disconnect(hear)


@pytest.fixture
def people():
    put("users", id="user_alice", email="alice@example.com", name="Alice", tier="paid")
    put("users", id="user_bob", email="bob@example.com", name="=Bob")


def upload(client, content, name="users.csv"):
    return client.post(reverse(IMPORT), {"file": SimpleUploadedFile(name, content)})


def token_of(page):
    return re.search('name="token" value="([^"]+)"', page.content.decode())[1]


def rows_of(response):
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_list_links_to_its_export_and_import(client, sam, people):
    page = client.get(reverse("admin:chat_user_changelist"), {"tier": "paid"}).content.decode()
    assert f'href="{reverse(EXPORT)}?tier=paid"' in page
    assert f'href="{reverse(IMPORT)}"' in page


def test_an_export_has_the_rows_of_the_list_as_filtered(client, sam, people, told):
    assert client.get(reverse(EXPORT), {"tier": "paid"}).status_code == 200
    assert told == []
    response = client.post(reverse(EXPORT) + "?tier=paid", {"format": "csv"})
    assert [row["id"] for row in rows_of(response)] == ["user_alice"]
    assert re.fullmatch(r'attachment; filename="users-\d{8}T\d{6}Z\.csv"', response["Content-Disposition"])
    ((action, subject, detail),) = told
    assert (action, subject, detail["format"], detail["filters"]) == ("export", "chat.user", "csv", "tier=paid")


def test_an_export_of_a_search_has_what_was_found(client, sam, people):
    response = client.post(reverse(EXPORT) + "?q=bob@", {"format": "csv"})
    assert [(row["id"], row["name"]) for row in rows_of(response)] == [("user_bob", "'=Bob")]


def test_messages_go_out_without_their_content(client, sam):
    put("messages", id="m1", role="user", content="my secret")
    response = client.post(reverse("admin:chat_message_export"), {"format": "csv"})
    (row,) = rows_of(response)
    assert row["id"] == "m1"
    assert not {"content", "metadata"} & set(row)


@pytest.mark.sqlite_only("the page is the same")
def test_an_export_takes_a_permission_of_its_own(client, sam, told):
    sam.user_permissions.remove(Permission.objects.get(codename="export_user"))
    assert client.get(reverse(EXPORT)).status_code == 403
    assert client.post(reverse(EXPORT), {"format": "csv"}).status_code == 403
    assert "Export" not in client.get(reverse("admin:chat_user_changelist")).content.decode()
    assert told == []


@pytest.mark.sqlite_only("the page is the same")
def test_an_import_takes_the_right_to_change_rows(client, sam):
    sam.user_permissions.remove(Permission.objects.get(codename="change_user", content_type__app_label="chat"))
    assert client.get(reverse(IMPORT)).status_code == 403
    assert upload(client, b"id\n").status_code == 403


@pytest.mark.sqlite_only("the page is the same")
def test_tables_that_nobody_imports_have_no_such_page(client, sam):
    assert client.get(reverse("admin:chat_message_import")).status_code == 403


def test_an_import_is_shown_then_made(client, sam, people, told):
    page = upload(client, b"id,name,tier\nuser_alice,<b>Alicia,paid\nuser_bob,'=Bob,free\n")
    text = page.content.decode()
    assert page.status_code == 200
    assert "2 rows: 1 would change (0 new), 1 would not, 0 problems." in text
    assert "<del>Alice</del>" in text
    assert "<ins>&lt;b&gt;Alicia</ins>" in text
    assert User.objects.get(pk="user_alice").name == "Alice"
    done = client.post(reverse(IMPORT), {"token": token_of(page)}, follow=True)
    assert "1 row of users.csv was written." in done.content.decode()
    assert User.objects.get(pk="user_alice").name == "<b>Alicia"
    assert AuditLog.objects.get().metadata["by"]["username"] == "sam"
    assert [(action, detail["changes"]) for action, _, detail in told] == [("preview import", 1), ("import", 1)]


def test_problems_are_shown_and_nothing_can_be_confirmed(client, sam, people):
    page = upload(client, b"id,name,email\nuser_alice,Alicia,nobody\nuser_new,N,n@example.com\n")
    text = page.content.decode()
    assert page.status_code == 400
    assert "Enter a valid email address." in text
    assert "you may not add one" in text
    assert 'name="token"' not in text


def test_rows_are_added_by_who_may_add(client, sam, people):
    allow(sam, "add_user")
    page = upload(client, b"id,email\nuser_new,n@example.com\n")
    client.post(reverse(IMPORT), {"token": token_of(page)})
    assert User.objects.get(pk="user_new").tier == "free"


def test_a_conflict_after_the_preview_is_told(client, sam, people):
    page = upload(client, b"id,name\nuser_alice,Alicia\n")
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'Else' WHERE id = 'user_alice'")
    refused = client.post(reverse(IMPORT), {"token": token_of(page)})
    assert refused.status_code == 400
    assert "name of user_alice has been changed since the preview" in refused.content.decode()
    assert User.objects.get(pk="user_alice").name == "Else"


def test_a_preview_is_confirmed_once_by_who_saw_it(client, sam, people):
    token = token_of(upload(client, b"id,name\nuser_alice,Alicia\n"))
    other = get_user_model().objects.create_user("otto", is_staff=True)
    allow(other, "view_user", "change_user", "import_user")
    client.force_login(other)
    assert "no longer there" in client.post(reverse(IMPORT), {"token": token}).content.decode()
    client.force_login(sam)
    assert client.post(reverse(IMPORT), {"token": token}).status_code == 302
    assert "no longer there" in client.post(reverse(IMPORT), {"token": token}).content.decode()
    assert AuditLog.objects.count() == 1


@pytest.mark.sqlite_only("the page is the same")
def test_a_preview_is_void_after_an_hour_and_its_file_goes(client, sam, people, monkeypatch):
    token = token_of(upload(client, b"id,name\nuser_alice,Alicia\n"))
    monkeypatch.setattr(pending, "KEPT", -1)
    assert "no longer there" in client.post(reverse(IMPORT), {"token": token}).content.decode()
    upload(client, b"id,name\nuser_bob,B\n")
    assert len(list(pending._folder().iterdir())) == 1


@pytest.mark.sqlite_only("the page is the same")
def test_a_preview_that_another_process_took_this_moment_stops_nobody(client, sam, people):
    (pending._folder() / "listed, and gone").symlink_to("nowhere")
    assert token_of(upload(client, b"id,name\nuser_alice,Alicia\n"))


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(pending.tempfile, "gettempdir", lambda: str(tmp_path))


@pytest.mark.sqlite_only("the page is the same")
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"id,name\nuser_1,\xff\n", "is not UTF-8"),
        ("a.csv", b"name\nAlice\n", "no column “id”"),
        ("a.exe", b"MZ", "Only files that end in"),
        ("a.xlsx", b"nothing", "no Excel workbook"),
    ],
)
def test_a_bad_file_is_told_on_the_page(client, sam, name, content, words):
    page = upload(client, content, name)
    assert page.status_code == 400
    assert words in page.content.decode()


@pytest.mark.sqlite_only("the page is the same")
def test_no_file_and_a_forged_token_are_told(client, sam):
    assert "Choose a file first." in client.post(reverse(IMPORT)).content.decode()
    assert "no longer there" in client.post(reverse(IMPORT), {"token": "forged"}).content.decode()


@pytest.mark.sqlite_only("the page is the same")
def test_a_database_that_is_locked_is_told(client, sam, people, monkeypatch):
    page = upload(client, b"id,name\nuser_alice,Alicia\n")

    def locked(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr(exchange_admin, "write_import", locked)
    refused = client.post(reverse(IMPORT), {"token": token_of(page)})
    assert refused.status_code == 400
    assert "Another program is writing" in refused.content.decode()


def test_the_pages_have_no_inline_script_or_style(client, sam, people):
    pages = [client.get(reverse(EXPORT)), client.get(reverse(IMPORT)), upload(client, b"id,name\nuser_alice,A\n")]
    for page in pages:
        text = page.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=", text)


@pytest.mark.sqlite_only("the page is the same")
def test_the_permissions_are_those_that_the_roles_have(sam):
    names = set(Permission.objects.values_list("codename", flat=True))
    assert {"export_user", "import_user", "export_message", "import_subscriptionplan"} <= names


@pytest.mark.sqlite_only("a test there changes no tables")
def test_a_table_that_lacks_a_column_goes_out_and_comes_in_without_it(client, sam, people):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("ALTER TABLE users DROP COLUMN avatarUrl")
        cursor.execute("ALTER TABLE users DROP COLUMN updatedAt")
    (row, _) = rows_of(client.post(reverse(EXPORT), {"format": "csv"}))
    assert "avatarUrl" not in row
    page = upload(client, b"id,name,avatarUrl\nuser_alice,Alicia,https://example.com\n")
    assert "Not imported: avatarUrl" in page.content.decode()
    client.post(reverse(IMPORT), {"token": token_of(page)})
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("SELECT name FROM users WHERE id = 'user_alice'")
        assert cursor.fetchall() == [("Alicia",)]


@pytest.fixture(autouse=True)
def nothing_learned():
    columns.forget()
    yield
    columns.forget()
