"""What anybody may send, or have written into the database: answered without a stack, and shown as text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from database.import_files import MAX_UNPACKED
from tests.hostile_values import SCRIPT, VALUES
from tests.pages import Address, addresses, all_rows, make_rows, signed_in

pytestmark = pytest.mark.django_db

#: Judged before a query, or by queries whose values are bound: the same on both engines, and many requests on D1.
ONCE = pytest.mark.sqlite_only("what is judged here is no query; the longest and the largest values go to D1 as well")
#: What makes a parser stumble the most, for each field alone: with the others as they are shown.
WORST = (VALUES["unicode"] + VALUES["huge"], ["", VALUES["big"]])
#: Fields that say what a form does.
STEPS = ("action", "_save", "_continue", "step", "decision", "select_across", "_selected_action", "key")
#: Parameters that Django's admin or ours read on any page.
PARAMETERS = (
    "q", "p", "o", "all", "e", "_changelist_filters", "_popup", "_to_field", "_facets", "before", "after", "last",
    "days", "user", "inside", "order", "count", "plan", "model", "period", "since", "until", "type", "state", "tier",
    "state__exact", "action", "id__in", "user__id__exact", "app_label", "model_name", "field_name", "term", "next",
)  # fmt: skip


class Fields(HTMLParser):
    """The forms of a page that POST: their addresses, and their fields with the values that they show."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._open = (given.get("method") or "").lower() == "post"
            if self._open:
                self.forms.append((given.get("action") or "", {}))
        elif self._open and tag in ("input", "select", "textarea", "button") and given.get("name"):
            self.forms[-1][1][str(given["name"])] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "form"


def queried(html: str) -> set[str]:
    """The parameters by which links of a page lead on."""
    return set(re.findall(r"[?&;]([a-z_]+)=", html))


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "STRIPE_SECRET_KEY", "")


@pytest.fixture
def boss(db: Any) -> Client:
    make_rows()
    return signed_in(is_superuser=True)


def assert_harmless(response: Any, what: object) -> None:
    assert response.status_code < 500, what
    if response.streaming:
        b"".join(response.streaming_content)
        return
    text = response.content.decode(errors="replace")
    assert "Traceback (most recent" not in text, what
    assert settings.SECRET_KEY not in text, what
    if response.headers["Content-Type"].startswith("text/html"):
        assert SCRIPT not in text, what
        assert "onerror=alert(1)>" not in text, what


def pages() -> Iterator[Address]:
    return (each for each in addresses() if each.name not in ("admin:logout", "admin:jsi18n"))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("huge", "big") else ONCE)
        for kind in VALUES
        if kind not in ("path", "formula", "json")
    ],
)
def test_no_query_makes_a_page_stumble(boss: Client, kind: str) -> None:
    """All parameters at once that the page knows of, each list and each form."""
    for address in pages():
        known = {*PARAMETERS}
        if address.name.endswith("_changelist"):
            known |= queried(boss.get(address.url).content.decode())
        assert_harmless(boss.get(address.url, dict.fromkeys(known, VALUES[kind])), (address.name, kind))


@ONCE
def test_no_single_parameter_makes_a_list_stumble(boss: Client) -> None:
    for address in pages():
        if not address.name.endswith(("_changelist", "ledger", "find", "autocomplete")):
            continue
        for name in {"q", "p", "o", "id__in"} | queried(boss.get(address.url).content.decode()):
            assert_harmless(boss.get(address.url, {name: VALUES["big"]}), (address.name, name))


@ONCE
@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind not in ("huge", "empty")])
def test_no_key_in_an_address_makes_a_page_stumble(boss: Client, kind: str) -> None:
    for address in pages():
        url = "/" + re.sub(r"<[^>]*>", quote(VALUES[kind], safe=""), address.pattern)
        if "<" in address.pattern and "(?P" not in address.pattern:
            assert_harmless(boss.get(url), (url, "GET"))
            assert_harmless(boss.post(url, {"_save": "1", "x": "y"}), (url, "POST"))


def forms_of(client: Client, address: Address) -> list[tuple[str, dict[str, str]]]:
    """The forms of a page that change something, with the address that each goes to."""
    response = client.get(address.url)
    if response.status_code != 200 or not response.headers["Content-Type"].startswith("text/html"):
        return []
    found = Fields()
    found.feed(response.content.decode())
    return [(urljoin(address.url, action), fields) for action, fields in found.forms if "logout" not in action]


def all_forms(client: Client) -> list[tuple[str, dict[str, str]]]:
    """Each once: those of lists stand on every page of a row as well."""
    found = {(url, frozenset(fields)): fields for each in pages() for url, fields in forms_of(client, each)}
    return [(url, fields) for (url, _), fields in found.items()]


@ONCE
def test_no_value_makes_a_form_stumble(boss: Client) -> None:
    """Every field of each form at once, and those that name a step of it, left as they are."""
    for url, fields in all_forms(boss):
        for kind, value in VALUES.items():
            sent = {name: shown if name in STEPS else value for name, shown in fields.items()}
            assert_harmless(boss.post(url, sent), (url, kind))
        assert_harmless(boss.post(url, dict.fromkeys(fields, VALUES["big"])), url)


@ONCE
def test_no_single_field_makes_a_form_stumble(boss: Client) -> None:
    for url, fields in all_forms(boss):
        for name in fields:
            for value in WORST:
                assert_harmless(boss.post(url, {**fields, name: value}), (url, name, value))


@ONCE
def test_no_file_makes_an_upload_stumble(boss: Client) -> None:
    for name in ("admin:chat_user_import", "admin:console_grant_bulk"):
        for ending in ("../../x.csv", "x.xlsx", "x.json"):
            for kind, value in VALUES.items():
                file = SimpleUploadedFile(ending, value.encode(errors="replace"))
                sent = {"file": file, "import_file": file, "units": "5", "category": "test", "text": "x"}
                assert_harmless(boss.post(reverse(name), sent), (name, ending, kind))


HTML = f"\"'>{SCRIPT}<img src=x onerror=alert(1)>{{{{ 7|add:7 }}}}{{% debug %}}\u202e\U0001f9a8</script>"


@pytest.mark.parametrize("role", [pytest.param("boss", marks=ONCE), "Auditor"])
def test_what_stands_in_the_database_is_shown_as_text(db: Any, role: str) -> None:
    make_rows(HTML)
    client = signed_in(is_superuser=True) if role == "boss" else signed_in(role)
    shown = 0
    client.post(reverse("contents", args=["c1"]), {"reason": "A ticket about this"})
    for address in pages():
        response = client.get(address.url, follow=True)
        assert_harmless(response, address)
        shown += "alert(1)&gt;" in getattr(response, "content", b"").decode() or "alert(1)&lt;" in response.text
    assert shown > 30, "the walk sees no rows"


def test_opening_every_page_changes_nothing(boss: Client) -> None:
    """But for sessions, and the traces that reading leaves."""
    # The summary holds the head of the traces.
    ours = ("default.console_staffevent", "default.console_summary", "default.django_session")
    ours += ("default.usersessions_usersession",)
    before = all_rows()
    for address in pages():
        boss.get(address.url)
    after = all_rows()
    changed = [table for table in before if before[table] != after[table] and table not in ours]
    assert changed == []


@ONCE
def test_every_change_needs_the_token_of_a_form(boss: Client) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = boss.cookies
    before = all_rows()
    refused = {}
    for address in pages():
        response = careful.post(address.url, {"_save": "1", "step": "give"})
        refused[address.url] = response.status_code
    assert {url: code for url, code in refused.items() if code not in (403, 405) and "/webhooks/" not in url} == {}
    assert all_rows() == before


def bomb() -> bytes:
    """A workbook of some hundred kilobytes that comes to more than MAX_UNPACKED."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/worksheets/sheet1.xml", bytes(MAX_UNPACKED + 1024 * 1024))
    return file.getvalue()


@ONCE
def test_a_workbook_that_swells_is_refused_before_it_is_read(boss: Client) -> None:
    content = bomb()
    assert len(content) < 1024 * 1024
    for name, field in (("admin:chat_user_import", "file"), ("admin:console_grant_bulk", "file")):
        file = SimpleUploadedFile("x.xlsx", content)
        sent = {field: file, "import_file": file, "units": "5", "category": "test", "text": "x"}
        answer = boss.post(reverse(name), sent)
        assert answer.status_code in (200, 400)
        assert "too large when unpacked" in answer.text, name


@ONCE
def test_a_workbook_that_lies_about_its_size_is_not_unpacked(boss: Client) -> None:
    """What its list of parts says is smaller than what they hold."""
    content = bomb().replace((201 * 1024 * 1024).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    answer = boss.post(reverse("admin:chat_user_import"), {"file": SimpleUploadedFile("x.xlsx", content)})
    assert answer.status_code in (200, 400)
