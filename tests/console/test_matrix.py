"""Who may open what: every address, as every role, as docs/matrix.md tells it. MATRIX=1 writes that page anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.test import Client

from console.roles import ROLES
from tests.pages import addresses, make_rows, signed_in

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sqlite_only(reason="rights are looked up in the console's own database"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"
VISITORS = ("nobody signed in", "staff without a role", *ROLES, "superuser")
HEAD = """# Every address, and who may open it

Written by `MATRIX=1 pytest tests/console/test_matrix.py`, and compared by the same test, which opens each address as
each visitor. *yes*: GET opens it, or leads on. *POST*: it only changes something, and was tried by POST. Empty: refused
(403), or led to the sign-in. –: not found. [roles.md](roles.md) says the same in words.

Commands of `manage.py` are for whoever has the shell of the server: no role gives them, and what they do is recorded
as done at the command line.
"""
COMMANDS = """## Commands of `manage.py`

| command | who may | what it does |
|---|---|---|"""


def told(client: Client, url: str) -> str:
    answer = client.get(url)
    if answer.status_code == 405:
        answer = client.post(url)
        return "POST" if answer.status_code not in (401, 403) and not asks_to_sign_in(answer) else ""
    if answer.status_code == 302 and answer["Location"] == "/admin/" and url != "/":
        return "–"
    if answer.status_code in (401, 403) or asks_to_sign_in(answer):
        return ""
    return "yes" if answer.status_code < 400 else "–"


def asks_to_sign_in(answer: Any) -> bool:
    return answer.status_code == 302 and "login" in answer["Location"]


def visitors() -> dict[str, Client]:
    found = {"nobody signed in": Client(raise_request_exception=False), "staff without a role": signed_in()}
    found |= {role: signed_in(role) for role in ROLES}
    return {**found, "superuser": signed_in(is_superuser=True)}


def matrix() -> str:
    lines = [f"| address | {' | '.join(VISITORS)} |", f"|---|{'---|' * len(VISITORS)}"]
    clients = visitors()
    for address in sorted(addresses()):
        if "logout" not in address.name and not address.pattern.endswith("/<path:object_id>/"):
            cells = [told(clients[name], address.url) for name in VISITORS]
            pattern = address.pattern.replace("|", "\\|")
            lines.append(f"| `/{pattern}` | {' | '.join(cells)} |")
    return f"{HEAD}\n" + "\n".join(lines) + f"\n\n{COMMANDS}\n" + "\n".join(command_lines()) + "\n"


def command_lines() -> list[str]:
    """A row for each command of ours: what it says of itself. None asks for a role."""
    apps = ("database", "chat", "billing", "console")
    found = {name: load_command_class(str(app), name) for name, app in get_commands().items() if app in apps}
    return [f"| `{name}` | who has the shell | {command.help} |" for name, command in sorted(found.items())]


def test_each_address_opens_to_whom_the_matrix_says(settings: Any) -> None:
    make_rows()
    found = matrix()
    if os.environ.get("MATRIX"):
        PAGE.write_text(found)
    assert PAGE.read_text() == found, "look at what differs; is it meant, run this with MATRIX=1"


def test_no_row_opens_to_who_is_not_signed_in_or_has_no_role() -> None:
    lines = [
        line.replace("\\|", "").split("|")[1:4] for line in PAGE.read_text().splitlines() if line.startswith("| `/")
    ]
    opened = [address for address, *cells in lines if any(cell.strip() in ("yes", "POST") for cell in cells)]
    tables = (
        "/admin/chat/",
        "/admin/billing/",
        "/admin/database/",
        "/admin/console/",
        "/admin/auth/",
        "/admin/account/",
    )
    assert [each for each in opened if any(table in each for table in tables)] == []
