"""What a command and a page say when D1 refuses, for each way in which it does: what is wrong, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.utils import quote
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from chat.models import User
from d1.rate import budget
from database import edit_form, migrator
from database.migrations import read_migrations
from database.router import OMNICHAT
from standins.d1 import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("it brings its own D1")]

TROUBLES = [
    ("overload", {}, "D1 is overloaded", "Try again in a minute"),
    ("exporting", {}, "D1 is being exported", "Try again in some minutes"),
    ("transient", {}, "Cloudflare does not find the database at this moment", "Try again in a minute"),
    ("error_before", {}, "Cloudflare answers with an error of its own", "https://www.cloudflarestatus.com"),
    ("cut_before", {}, "The connection to Cloudflare was lost", "try again"),
    ("hang_before", {}, "D1 did not answer in time", "try again in a minute"),
    ("expired_token", {}, "Cloudflare refused the API token: it has expired", "Make one in Cloudflare's dashboard"),
    ("rate_limit", {"retry_after": 90}, "try again in 90 seconds", "look for what else does"),
]


@pytest.fixture
def on_d1(request: pytest.FixtureRequest, d1_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """OmniChat's database is D1, with its tables and Alice, and is asked twice at the most."""
    d1_engine.reset()
    d1_engine.empty_database()
    monkeypatch.setattr(budget, "_told", None)
    usual = connections[OMNICHAT], connections.settings[OMNICHAT]
    configured = {
        "ENGINE": "d1", "NAME": d1_engine.database, "USER": d1_engine.account, "PASSWORD": d1_engine.token,
        "OPTIONS": {"api_base": d1_engine.base, "attempts": 2, "backoff": 0.001},
    }  # fmt: skip
    connections.settings[OMNICHAT] = connections.configure_settings({"default": {}, OMNICHAT: configured})[OMNICHAT]
    connections[OMNICHAT] = connections.create_connection(OMNICHAT)
    if "hang" in request.node.name:
        configured["OPTIONS"]["timeout"] = 0.5
    yield d1_engine
    d1_engine.clear_faults()
    connections[OMNICHAT].close()
    connections[OMNICHAT], connections.settings[OMNICHAT] = usual


@pytest.fixture
def alice(on_d1: Engine) -> str:
    for migration in read_migrations(settings.SQL_MIGRATIONS_DIR):
        on_d1.execute(*migration.statements)
    User.objects.create(id="user_1", email="alice@example.com", name="Alice")
    on_d1.reset()
    return reverse("admin:chat_user_change", args=[quote("user_1")])


@pytest.fixture
def command(on_d1: Engine, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """`command("verify_database")` gives the exit code, the JSON and what stands on stderr."""

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        code = 0
        capsys.readouterr()
        try:
            call_command(*words, "--json", skip_checks=True)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    return run


@pytest.mark.parametrize(("fault", "options", "what", "remedy"), TROUBLES)
def test_a_command_says_what_is_wrong_and_what_to_do(
    on_d1: Engine, command: Any, fault: str, options: dict[str, int], what: str, remedy: str
) -> None:
    on_d1.fault(fault, **options)
    code, data, _ = command("verify_database")
    assert code == 1
    assert what in data["error"]
    assert remedy in data["error"]


@pytest.mark.parametrize(("fault", "options", "what", "remedy"), TROUBLES)
def test_a_page_says_what_is_wrong_and_what_to_do(
    admin_client: Client, on_d1: Engine, fault: str, options: dict[str, int], what: str, remedy: str
) -> None:
    on_d1.fault(fault, **options)
    response = admin_client.get("/admin/chat/user/")
    text = response.content.decode().replace("&#x27;", "'")
    assert response.status_code == 503
    assert what in text
    assert remedy in text
    assert "Traceback" not in text


def test_each_sentence_has_its_place_in_the_way_to_production() -> None:
    page = " ".join((settings.BASE_DIR / "docs" / "production.md").read_text().split())
    for words in [what for _, _, what, _ in TROUBLES if "seconds" not in what]:
        assert words.removesuffix(": it has expired") in page, words


@pytest.mark.parametrize("fault", ["cut_after", "error_after", "network_lost_after", "cut_before", "error_before"])
def test_a_save_whose_answer_is_lost_leads_to_the_row_and_its_audit_log(
    admin_client: Client, on_d1: Engine, alice: str, fault: str
) -> None:
    typed = _form(admin_client, alice)
    on_d1.fault(fault, match="UPDATE", count=1)
    response = admin_client.post(alice, {**typed, "name": "Alicia"})
    text = response.content.decode()
    assert response.status_code == 503
    assert "Nobody knows whether this was saved" in text
    assert "object at 0x" not in text
    assert "Error" not in text.partition("errornote")[2]
    links = re.findall(r'<a href="([^"]+)">(?:The row as it is now|Its audit log)</a>', text)
    assert links == [alice, "/admin/database/auditlog/?q=user_1"]
    on_d1.clear_faults()
    saved = fault.endswith("after")
    row, log = (admin_client.get(link).content.decode() for link in links)
    assert ("Alicia" in row) is saved
    assert ("1 entry" in log or "/admin/database/auditlog/" in log.partition("<tbody")[2]) is saved


def _form(client: Client, page: str) -> dict[str, str]:
    form = client.get(page).context["adminform"].form
    values = {name: form[name].value() or "" for name in form.fields}
    return values | {form.carrier(name): edit_form.carry(cell) for name, cell in form.shown.items()}


@pytest.mark.parametrize("fault", ["cut_after", "cut_before"])
def test_a_migration_that_cannot_be_looked_up_is_told_as_unknown(
    on_d1: Engine, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (tmp_path / "0001_make_a.sql").write_text("CREATE TABLE a (x);")
    look, looks = migrator.read_log, []

    def look_amid_an_overload(connection: Any) -> Any:
        looks.append(connection)
        if len(looks) > 1:
            on_d1.fault("overload")
        return look(connection)

    monkeypatch.setattr(migrator, "read_log", look_amid_an_overload)
    on_d1.fault(fault, count=1, match="CREATE TABLE a")
    code, data, _ = command("migrate_database", "--directory", str(tmp_path))
    assert code == 1
    assert data["error"].startswith("Nobody knows whether 0001_make_a.sql was applied: D1's answer was lost")
    assert "D1 is overloaded" in data["error"]
    assert "run the command again" in data["error"]
    monkeypatch.undo()
    on_d1.reset()
    code, data, _ = command("migrate_database", "--directory", str(tmp_path))
    assert (code, data["version"]) == (0, 1)


def test_a_migration_without_a_bookmark_says_so(on_d1: Engine, command: Any, tmp_path: Path) -> None:
    (tmp_path / "0001_make_a.sql").write_text("CREATE TABLE a (x);")
    on_d1.fault("error_before", match="/time_travel/")
    code, data, said = command("migrate_database", "--directory", str(tmp_path))
    assert (code, data["bookmark"]) == (0, None)
    assert "D1 gave no bookmark" in said


def test_a_passing_error_does_not_cost_the_bookmark(on_d1: Engine, command: Any, tmp_path: Path) -> None:
    (tmp_path / "0001_make_a.sql").write_text("CREATE TABLE a (x);")
    on_d1.fault("error_before", match="/time_travel/", count=1)
    code, data, said = command("migrate_database", "--directory", str(tmp_path))
    assert code == 0
    assert data["bookmark"] in said


def test_an_import_whose_answer_is_lost_says_that_the_file_may_be_given_again(
    admin_client: Client, on_d1: Engine, alice: str
) -> None:
    page = reverse("admin:chat_user_import")

    def shown() -> str:
        file = SimpleUploadedFile("users.csv", b"id,name\nuser_1,Alicia\n")
        return admin_client.post(page, {"file": file}).content.decode()

    token = re.search('name="token" value="([^"]+)"', shown())
    assert token
    on_d1.fault("cut_after", match="UPDATE", count=1)
    text = admin_client.post(page, {"token": token[1]}).content.decode()
    assert "The outcome is unknown" in text
    assert "Give the same file again" in text
    on_d1.clear_faults()
    assert 'name="token"' not in shown(), "nothing is left to be changed"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_command_says_on_stderr_that_it_waits_and_how_long(
    on_d1: Engine, alice: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(budget, "clock", clock)
    monkeypatch.setattr(budget, "sleep", clock.sleep)
    monkeypatch.setattr(budget, "limit", 1200)
    budget._sent.clear()
    budget.tell("0", retry_after=42)
    code, _, said = command("migrate_database")
    assert code == 0
    assert "Waiting 42 seconds: Cloudflare's API allows 1,200 requests in 5 minutes" in said
    assert clock.now == 1042
    budget._sent.clear()
