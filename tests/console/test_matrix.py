"""Who may open what: every address, as every role, as docs/matrix.md tells it. MATRIX=1 writes that page anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class
from django.template.backends.django import Template
from django.test import Client, RequestFactory
from django.urls import resolve

from console.roles import ROLES
from standins.stripe import StripeServer
from tests.pages import Address, Forms, addresses, login_of, make_rows, own_rows, stripe_rows, undone, with_factors

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sqlite_only(reason="rights are looked up in the console's own database"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"
VISITORS = ("nobody signed in", "staff without a role", *ROLES, "superuser")
#: Addresses that open to none of the visitors, and why.
NOWHERE = {
    "admin/(?P<url>.*)$": "what is not there",
    "admin/autocomplete/": "no field completes what one types",
    "admin/r/<path:rest>": "Django's jump to any row, switched off",
    "admin/security/second-factor/authenticate/": "only between password and second factor",
    "admin/security/second-factor/recovery-codes/download/": "codes are shown once",
    "admin/security/second-factor/webauthn/login/": "what a script asks on the page of sign-in",
    "admin/sign-in/<slug:provider_id>/": "OpenID Connect is not configured",
    "admin/sign-in/<slug:provider_id>/callback/": "OpenID Connect is not configured",
    "admin/sign-in/oidc/not-finished/": "leads to the sign-in",
    "admin/stripe-standin/": "of the demo alone",
    "metrics": "no token is configured",
}
HEAD = """# Every address, and who may open it

Written by `MATRIX=1 pytest tests/console/test_matrix.py`, and compared by the same test, which sends a GET and a POST
to each address as each visitor, with a row behind it that is theirs where rows have owners.

*do*: GET opens it and shows a form, whose POST is let in. *look*: GET opens it, or leads on, and nothing more.
*POST*: it has no page and takes a POST. Empty: refused (403), or led to the sign-in. –: not found, or of no use to who
is signed in. [roles.md](roles.md) says the same in words.

Commands of `manage.py` are for whoever has the shell of the server: no role gives them, and what they do is recorded
as done at the command line.
"""
ACTIONS = """## What is done with rows marked in a list

| list | action | {} |
|---|---|{}"""
COMMANDS = """## Commands of `manage.py`

| command | who may | what it does |
|---|---|---|"""
LISTS = tuple(f"/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry)


class Visitor:
    """Who opens all pages: their browser, and the keys of the rows that are theirs."""

    def __init__(self, login: User | None, keys: dict[str, Any]) -> None:
        self.login = login
        self.client = with_factors(login) if login else Client(raise_request_exception=False)
        self.addresses = {a.pattern: a for a in addresses({**keys, **(own_rows(login) if login else {})})}

    def told(self, pattern: str, has_form: bool) -> str:
        """What a GET and a POST come to, as a word of the matrix. What the POST did is undone."""
        url = self.addresses[pattern].url
        answer, done = self.client.get(url), self._posted(url)
        may_post = not self._is_refused(done)
        if answer.status_code in (403, 405) and done.status_code != 403:
            return "POST" if may_post else ""
        if self._is_refused(answer):
            return ""
        leads_to = answer.headers.get("Location")
        if answer.status_code >= 400 or (leads_to == "/admin/" and pattern):
            return "–"
        if leads_to:
            return "POST" if may_post and done.headers.get("Location") != leads_to else "look"
        return "do" if may_post and (has_form or done.status_code != 200) else "look"

    def _is_refused(self, answer: Any) -> bool:
        leads_to = answer.headers.get("Location", "")
        return answer.status_code in (401, 403, 405) or "/login/" in leads_to or (not self.login and bool(leads_to))

    def _posted(self, url: str) -> Any:
        with undone(self.client):
            return self.client.post(url)

    def has_form(self, pattern: str) -> bool:
        """Whether the page has a form that POSTs to itself. That of a list is of its actions, which have a table."""
        url = self.addresses[pattern].url
        answer = self.client.get(url)
        if answer.streaming or url.endswith(LISTS):
            return False
        return any(urljoin(url, action).split("?")[0] == url for action, _ in Forms(answer.text).found)


def visitors(keys: dict[str, Any]) -> dict[str, Visitor]:
    found = {"nobody signed in": Visitor(None, keys), "staff without a role": Visitor(login_of(), keys)}
    found |= {role: Visitor(login_of(role), keys) for role in ROLES}
    return {**found, "superuser": Visitor(login_of(is_superuser=True), keys)}


def walked() -> list[Address]:
    left_out = ("admin:logout", "account_logout")
    return [a for a in sorted(addresses()) if a.name not in left_out and not a.pattern.endswith("/<path:object_id>/")]


def matrix(people: dict[str, Visitor]) -> str:
    lines = [f"| address | {' | '.join(VISITORS)} |", f"|---|{'---|' * len(VISITORS)}"]
    visitor, boss = people["nobody signed in"], people["superuser"]
    forms = [(a.pattern, visitor.has_form(a.pattern) or boss.has_form(a.pattern)) for a in walked()]
    with pytest.MonkeyPatch.context() as patch:
        # Who may is decided before a page is laid out, which takes most of the time.
        patch.setattr(Template, "render", lambda *words, **named: "")
        for pattern, has_form in forms:
            cells = [people[name].told(pattern, has_form) for name in VISITORS]
            lines.append(f"| `/{pattern.replace('|', chr(92) + '|')}` | {' | '.join(cells)} |")
    names = VISITORS[1:]
    lines += [
        "",
        ACTIONS.format(" | ".join(names), "---|" * len(names)),
        *action_lines([people[name] for name in names]),
    ]
    return f"{HEAD}\n" + "\n".join(lines) + f"\n\n{COMMANDS}\n" + "\n".join(command_lines()) + "\n"


def action_lines(people: list[Visitor]) -> Iterator[str]:
    """A row for each action of a list. Django runs none that it does not offer."""
    for model, model_admin in sorted(admin.site._registry.items(), key=lambda one: one[0]._meta.label_lower):
        offered = [_actions(model_admin, visitor.login) for visitor in people]
        for action in sorted(set().union(*offered)):
            cells = ["yes" if action in some else "" for some in offered]
            yield f"| {model._meta.verbose_name_plural} | `{action}` | {' | '.join(cells)} |"


def _actions(model_admin: Any, login: User | None) -> set[str]:
    request = RequestFactory().get("/")
    request.user = login  # type: ignore[assignment]
    return set(model_admin.get_actions(request))


def command_lines() -> list[str]:
    """A row for each command of ours: what it says of itself. None asks for a role."""
    apps = ("database", "chat", "billing", "console")
    found = {name: load_command_class(str(app), name) for name, app in get_commands().items() if app in apps}
    return [f"| `{name}` | who has the shell | {command.help} |" for name, command in sorted(found.items())]


@pytest.mark.usefixtures("prices")
def test_each_address_opens_to_whom_the_matrix_says(stripe: StripeServer) -> None:
    make_rows()
    found = matrix(visitors(stripe_rows(stripe)))
    if os.environ.get("MATRIX"):
        PAGE.write_text(found)
    assert PAGE.read_text() == found, "look at what differs; is it meant, run this with MATRIX=1"


def rows() -> list[tuple[str, list[str]]]:
    """Each address of the page, and its cells."""
    lines = [line.replace("\\|", "¦").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `/")]
    return [
        (address.strip(" `")[1:].replace("¦", "|"), [cell.strip() for cell in cells]) for _, address, *cells in lines
    ]


def test_each_address_opens_to_somebody(db: None) -> None:
    """Else the walk has no row for a page, or a wrong key, and shows nothing of who may open it."""
    make_rows()
    closed = {address for address, cells in rows() if not {"look", "do", "POST"} & set(cells)}
    assert closed - {a.pattern for a in walked() if a.name.endswith(("_add", "_delete", "_import"))} == set(NOWHERE)


def test_each_key_leads_to_its_own_page() -> None:
    make_rows()
    strays = [a for a in walked() if resolve(a.url.split("?")[0]).route.replace("^", "") != a.pattern.replace("^", "")]
    assert strays == []


def test_no_row_opens_to_who_is_not_signed_in_or_has_no_role() -> None:
    opened = [address for address, cells in rows() if {"look", "do", "POST"} & set(cells[:2])]
    tables = tuple(f"admin/{room}/" for room in ("chat", "billing", "database", "console", "auth", "account"))
    assert [each for each in opened if each.startswith(tables)] == []
