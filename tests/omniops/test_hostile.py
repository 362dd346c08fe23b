"""What anybody may send, or have written into the database: answered without a stack, and shown as text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.http import QueryDict
from django.test import Client
from django.test.signals import template_rendered
from django.urls import Resolver404, resolve, reverse
from django.utils.functional import cached_property

from billing.models import SubscriptionPlan
from database.import_files import MAX_UNPACKED
from standins.stripe import StripeServer
from tests.hostile_values import SCRIPT, VALUES
from tests.pages import (
    Address,
    Forms,
    addresses,
    all_rows,
    browser_of,
    login_of,
    make_rows,
    own_rows,
    signed_in,
    stripe_rows,
    undone,
    with_factors,
)
from tests.signin_people import PASSWORD, person, quick_passwords, with_totp
from tests.stripe_account import prices, stripe

__all__ = ["prices", "quick_passwords", "stripe"]

pytestmark = pytest.mark.django_db

#: Judged before a query, or by queries whose values are bound: the same on both engines, and many requests on D1.
ONCE = pytest.mark.sqlite_only("what is judged here is no query; the longest and the largest values go to D1 as well")
#: What makes a parser stumble the most, for each field alone: with the others as they are shown.
WORST = (VALUES["unicode"] + VALUES["huge"], ["", VALUES["big"]])
#: For all fields at once; the others are in WORST.
AT_ONCE = [kind for kind in VALUES if kind not in ("unicode", "huge", "big")]
#: Templates with a form that no address of the console shows here.
NOT_MET = {"admin/console/standin.html"}
#: Fields that say what a form does.
STEPS = ("action", "_save", "_continue", "step", "decision", "select_across", "_selected_action", "key")
#: Parameters that Django's admin or ours read on any page.
PARAMETERS = (
    "q", "p", "o", "all", "e", "_changelist_filters", "_popup", "_to_field", "_facets", "before", "after", "last",
    "days", "user", "inside", "order", "count", "plan", "model", "period", "since", "until", "type", "state", "tier",
    "state__exact", "action", "id__in", "user__id__exact", "app_label", "model_name", "field_name", "term", "next",
)  # fmt: skip


def queried(html: str) -> set[str]:
    """The parameters by which links of a page lead on."""
    return set(re.findall(r"[?&;]([a-z_]+)=", html))


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call leaves this machine, and pages are laid out without the sidebar, which takes most of the time."""
    monkeypatch.setattr(settings, "STRIPE_SECRET_KEY", "")
    monkeypatch.setattr("console.context.navigation", lambda request: [])


@pytest.fixture
def boss(db: Any) -> Client:
    make_rows()
    return signed_in(is_superuser=True)


class Walker(NamedTuple):
    """A browser, and the pages that it has rows for."""

    client: Client
    pages: list[Address]


@pytest.fixture
def walkers(stripe: StripeServer, prices: None) -> list[Walker]:
    """Who together meet every form: a superuser with rows of their own and Stripe, one without factors, one half in."""
    make_rows()
    boss, fresh = login_of(is_superuser=True), person("fresh", "Support")
    own = {**stripe_rows(stripe), **own_rows(boss)}
    half = Client(raise_request_exception=False)
    session_of(half, with_totp(person("halfway")))
    every = list(pages(own))
    return [
        Walker(with_factors(boss), every),
        Walker(browser_of(fresh), [each for each in every if "/second-factor/" in each.url or "/confirm/" in each.url]),
        Walker(half, [each for each in every if each.name in ("admin:login", "mfa_authenticate")]),
    ]


def session_of(client: Client, login: User) -> None:
    assert client.post(reverse("admin:login"), {"username": login.username, "password": PASSWORD}).status_code == 302


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


def pages(own: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Address]:
    return (each for each in addresses(own) if each.name not in ("admin:logout", "admin:jsi18n"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the parameters that a page reads; "*" for all of them at once."""
    names: set[str] = set()

    class Query(QueryDict):
        def __getitem__(self, name: str) -> Any:
            names.add(name)
            return super().__getitem__(name)

        def __contains__(self, name: object) -> bool:
            names.add(str(name))
            return super().__contains__(name)

        def lists(self) -> Any:
            names.add("*")
            return super().lists()

        def urlencode(self, safe: str | None = None) -> str:
            names.add("*")
            return super().urlencode(safe)

    def read(request: Any) -> Query:
        query = Query(request.META["QUERY_STRING"])
        names.clear()  # Django looks into it while it is made.
        return query

    shown = cached_property(read)
    shown.__set_name__(WSGIRequest, "GET")
    monkeypatch.setattr(WSGIRequest, "GET", shown)
    return names


#: Thrown at each page, the first two on D1 as well; the others are no other to a query.
QUERIED = ["huge", "big", "text", "null", "unicode", "negative", "infinite", "year", "empty"]
#: The one that Django's admin refuses before anything else is looked at, and those that it reads on pages of a row.
REFUSED, OF_ROWS = "_to_field", {"_to_field", "p", "_changelist_filters"}


@pytest.mark.parametrize("lists", [True, False])
def test_no_query_makes_a_page_stumble(boss: Client, asked: set[str], lists: bool) -> None:
    """All parameters at once that the page reads or leads to. Where it reads none, one value is as good as all."""
    for address in pages():
        asked.clear()
        if lists != address.name.endswith("_changelist") or (answer := boss.get(address.url)).status_code >= 400:
            continue
        usual = {"q", "o", "days", *queried(answer.content.decode())} if lists else PARAMETERS
        known = {*usual, *asked} - {REFUSED, "*"}
        for kind in QUERIED[:2] if settings.DATABASES["omnichat"]["ENGINE"] == "d1" else QUERIED:
            asked.clear()
            assert_harmless(boss.get(address.url, dict.fromkeys(known, VALUES[kind])), (address.name, kind))
            if asked <= {REFUSED} or (asked <= OF_ROWS and kind == "null"):
                break
        if REFUSED in asked:
            assert_harmless(boss.get(address.url, {REFUSED: VALUES["text"]}), (address.name, REFUSED))


@ONCE
def test_no_single_parameter_makes_a_list_stumble(boss: Client) -> None:
    """The largest number in each, and another value in turn."""
    kinds = cycle(VALUES)
    for address in pages():
        if address.name.endswith(("_changelist", "ledger", "find")):
            for name in sorted({"q", "p", "o", "id__in"} | queried(boss.get(address.url).content.decode())):
                for kind in ("big", next(kinds)):
                    assert_harmless(boss.get(address.url, {name: VALUES[kind]}), (address.name, name, kind))


@ONCE
@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind not in ("huge", "empty")])
def test_no_key_in_an_address_makes_a_page_stumble(boss: Client, kind: str) -> None:
    key = quote(VALUES[kind], safe="")
    urls = {"/" + re.sub(r"<[^>]*>", key, each.pattern): each.pattern for each in pages() if "(?P" not in each.pattern}
    # What no address takes gets one and the same answer.
    taken = [url for url, pattern in urls.items() if "<" in pattern and resolved(url) == pattern]
    for url in (*taken, f"/nothing/{key}/", f"/admin/nothing/{key}/"):
        assert_harmless(boss.get(url), (url, "GET"))
        if kind in ("text", "null", "big"):  # A POST looks its key up as a GET does.
            assert_harmless(boss.post(url, {"_save": "1", "x": "y"}), (url, "POST"))


def resolved(url: str) -> str:
    try:
        return resolve(unquote(url)).route
    except Resolver404:
        return ""


class Form(NamedTuple):
    """`fields` are without the token, which has a test of its own."""

    client: Client
    url: str
    fields: dict[str, str]


def forms_of(client: Client, url: str, answer: Any) -> Iterator[Form]:
    """The forms of a page that change something, with the address that each goes to."""
    if answer.status_code in (200, 400) and answer.headers["Content-Type"].startswith("text/html"):
        for action, fields in Forms(answer.content.decode()).found:
            if "logout" not in action:
                fields.pop("csrfmiddlewaretoken")
                yield Form(client, urljoin(url, action), fields)


def all_forms(walkers: list[Walker], part: str = "") -> list[Form]:
    """Each once: those of lists stand on every page of a row as well. And those that a form that is sent leads to."""
    found: dict[Any, Form] = {}
    for client, some in walkers:
        for page in some:
            if re.match(part, page.url):
                for form in forms_of(client, page.url, client.get(page.url)):
                    found.setdefault((form.url, frozenset(form.fields)), form)
    boss, urls = walkers[0].client, {page.pattern: page.url for page in walkers[0].pages}
    for url, answer in second_pages(boss, urls) if re.match(part, "/") else ():
        for form in forms_of(boss, url, answer):
            found.setdefault((form.url, frozenset(form.fields)), form)
    return list(found.values())


def second_pages(client: Client, urls: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """What a form that is filled in well leads to: the page that asks once more."""
    plan, refund = urls["admin/stripe/<str:id>/plan/"], urls["admin/stripe-refund/<str:intent>/"]
    yield plan, client.get(plan, {"price": SubscriptionPlan.objects.get(pk="power").stripe_price_id_monthly})
    asked = Forms(client.get(refund).text).found[-1][1]
    yield refund, client.post(refund, {**asked, "units": "keep", "reason": "duplicate", "text": "x"})
    reason = {"category": "goodwill", "text": "x"}
    grant, bulk = reverse("admin:console_grant_add"), reverse("admin:console_grant_bulk")
    yield grant, client.post(grant, {**reason, "user": "u1", "units": "5", "key": str(UUID(int=1))})
    yield bulk, client.post(bulk, {**reason, "file": SimpleUploadedFile("a.csv", b"user,units\nu1,5\n")})
    users = reverse("admin:chat_user_import")
    yield users, client.post(users, {"file": SimpleUploadedFile("a.csv", b"id,name\nu1,Other\n")})


def sent(form: Form, fields: dict[str, Any], what: object) -> None:
    """Post it, look at the answer, and take back what it did, so that the next one finds the same."""
    with undone(form.client):
        assert_harmless(form.client.post(form.url, fields), (form.url, what))


#: Beginnings of addresses that are walked together; the last has all others, and what a form that is sent leads to.
PARTS = [
    "/admin/(chat|billing|database)/",
    "/admin/(console|auth)/",
    "(?!/admin/(chat|billing|database|console|auth)/)",
]


@ONCE
@pytest.mark.parametrize("part", PARTS)
def test_no_value_makes_a_form_stumble(walkers: list[Walker], part: str) -> None:
    """Every field of each form at once, and those that name a step of it, left as they are; then each field alone."""
    for form in all_forms(walkers, part):
        steps = {name: shown for name, shown in form.fields.items() if name in STEPS}
        for kind in AT_ONCE if steps.keys() != form.fields.keys() else ():
            sent(form, {**dict.fromkeys(form.fields, VALUES[kind]), **steps}, kind)
        sent(form, dict.fromkeys(form.fields, VALUES["big"]), "big")
        for name in form.fields:
            for value in WORST:
                sent(form, {**form.fields, name: value}, (name, value))


@ONCE
def test_no_value_is_taken_for_the_token_of_a_form(boss: Client) -> None:
    careful = Client(enforce_csrf_checks=True, raise_request_exception=False)
    careful.cookies = boss.cookies.copy()
    careful.get(reverse("admin:console_grant_add"))
    for kind, value in VALUES.items():
        answer = careful.post(reverse("count_figures"), {"csrfmiddlewaretoken": value})
        assert_harmless(answer, kind)
        assert answer.status_code == 403, kind


@ONCE
def test_the_walk_meets_every_form(walkers: list[Walker]) -> None:
    """A template with a form that no walker is shown is a form that nothing hostile was thrown at."""
    shown: set[str] = set()

    def note(template: Any, **signal: Any) -> None:
        shown.add(str(template.name))

    template_rendered.connect(note)
    try:
        all_forms(walkers)
    finally:
        template_rendered.disconnect(note)
    folder = Path(settings.BASE_DIR) / "templates"
    forms = {str(page.relative_to(folder)) for page in folder.rglob("*.html") if 'method="post"' in page.read_text()}
    assert forms - shown == NOT_MET


@ONCE
def test_no_file_makes_an_upload_stumble(boss: Client) -> None:
    for name in ("admin:chat_user_import", "admin:console_grant_bulk"):
        for ending in ("../../x.csv", "x.xlsx", "x.json"):
            for kind, value in VALUES.items():
                file = SimpleUploadedFile(ending, value.encode(errors="replace"))
                sent = {"file": file, "import_file": file, "units": "5", "category": "test", "text": "x"}
                assert_harmless(boss.post(reverse(name), sent), (name, ending, kind))


HTML = f"\"'>{SCRIPT}<img src=x onerror=alert(1)>{{{{ 7|add:7 }}}}{{% debug %}}\u202e\U0001f9a8</script>"


#: But for sessions, and the traces that reading leaves; the summary holds the head of the traces.
LEFT = {
    f"default.{table}"
    for table in ("console_staffevent", "console_summary", "django_session", "usersessions_usersession")
}


@pytest.mark.parametrize("role", ["boss", pytest.param("Auditor", marks=ONCE)])
def test_what_stands_in_the_database_is_shown_as_text_and_opening_a_page_changes_nothing(db: Any, role: str) -> None:
    make_rows(HTML)
    client = signed_in(is_superuser=True) if role == "boss" else signed_in(role)
    shown = 0
    client.post(reverse("contents", args=["c1"]), {"reason": "A ticket about this"})
    before = all_rows()
    for address in pages():
        response = client.get(address.url, follow=True)
        assert_harmless(response, address)
        shown += "alert(1)&gt;" in getattr(response, "content", b"").decode() or "alert(1)&lt;" in response.text
    assert shown > 30, "the walk sees no rows"
    after = all_rows()
    assert {table for table in before if before[table] != after[table]} <= LEFT


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
