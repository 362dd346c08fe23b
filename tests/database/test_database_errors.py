"""A page for what a database refuses: status 503 and a sentence, whichever database, whatever the error."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.utils import ConnectionHandler
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path

from d1.errors import OutcomeUnknown, RateLimited
from database.failures import sentence
from database.migrations import read_migrations
from database.router import CONSOLE, OMNICHAT
from omniops.environment import sqlite
from omniops.urls import urlpatterns as console
from standins.d1 import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

#: What the view of these tests raises.
ERROR: list[Exception] = []


def failing(request: HttpRequest) -> HttpResponse:
    raise ERROR[0]


def failing_late(request: HttpRequest) -> TemplateResponse:
    """Fails as the admin's lists do: while the page is rendered."""

    class Rows:
        def __iter__(self) -> Iterator[Any]:
            raise ERROR[0]

    return TemplateResponse(request, "admin/app_list.html", {"app_list": Rows()})


urlpatterns = [path("failing/", failing), path("late/", failing_late), *console]


def answer(client: Client, error: Exception, address: str = "/failing/") -> tuple[HttpResponse, str]:
    ERROR[:] = [error]
    response: Any = client.get(address)
    return response, response.content.decode()


def of_a_file(error: Exception, words: str) -> Any:
    return pytest.param(error, words, marks=pytest.mark.sqlite_only("only a file meets this"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("no such table: users"), "has no table users. manage.py verify_database tells what else"),
        (DatabaseError("Table users does not exist (empty pragma)."), "has no table users. manage.py verify_database"),
        (OperationalError("no such column: users.tier"), "has no column users.tier"),
        (OperationalError("table users has no column named tier"), "has no column tier. manage.py verify_database"),
        of_a_file(DatabaseError("file is not a database"), "is no SQLite database: name another file"),
        of_a_file(DatabaseError("database disk image is malformed"), "is damaged: restore a backup"),
        of_a_file(OperationalError("database is locked"), "Another program is writing to"),
        of_a_file(OperationalError("unable to open database file"), "cannot be opened: its folder is missing"),
        of_a_file(OperationalError("attempt to write a readonly database"), "may not be written to"),
        (OperationalError("No connection to D1: refused"), "Cloudflare cannot be reached: look at the network"),
        (OperationalError("D1 did not answer within 35 seconds"), "try again in a minute"),
        (OperationalError("something new"), "The database says: something new"),
        (InterfaceError("connection already closed"), "The database says: connection already closed"),
    ],
)
def test_each_error_is_a_sentence_and_never_a_500(client: Client, error: Exception, words: str) -> None:
    response, text = answer(client, error)
    assert response.status_code == 503
    assert words in text
    assert "Traceback" not in text


def test_the_file_of_the_database_that_refused_is_named_and_no_other(tmp_path: Path) -> None:
    console = tmp_path / "console.sqlite3"
    console.write_bytes(b"a letter, and no database " * 200)
    with pytest.raises(DatabaseError) as caught:
        ConnectionHandler({"default": sqlite(console)})["default"].cursor()
    assert sentence(caught.value, connections[OMNICHAT]).startswith(f"{console} is no SQLite database")


def test_an_error_while_the_page_is_rendered_is_told_too(client: Client) -> None:
    response, text = answer(client, OperationalError("no such table: users"), "/late/")
    assert (response.status_code, "has no table users" in text) == (503, True)


def test_an_unknown_outcome_says_so_and_how_to_find_out(client: Client) -> None:
    response, text = answer(client, OutcomeUnknown("D1 did not answer"))
    assert response.status_code == 503
    assert "Nobody knows whether this was saved" in text
    assert "The outcome is unknown" in text
    assert "Open the row again in a minute" in text


def test_a_rate_limit_says_how_long_to_wait(client: Client) -> None:
    response, text = answer(client, RateLimited(89.5))
    assert (response.status_code, response["Retry-After"]) == (503, "90")
    assert "try again in 90 seconds" in text


def test_what_a_database_says_is_escaped(client: Client) -> None:
    assert "<script>x" not in answer(client, OperationalError("near <script>x"))[1]


def test_another_error_is_left_to_django(client: Client) -> None:
    with pytest.raises(ValueError, match="a bug"):
        answer(client, ValueError("a bug"))


def test_the_page_asks_nothing_of_omnichats_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0, using=OMNICHAT):
        answer(client, OperationalError("no such table: users"))


def test_the_consoles_own_database_is_named_when_that_is_in_trouble(client: Client) -> None:
    def refuse(*args: Any) -> None:
        raise OperationalError("no such table: django_session")

    with connections[CONSOLE].execute_wrapper(refuse):
        response, text = answer(client, OperationalError("no such table: django_session"))
    assert response.status_code == 503
    assert "own database has no table django_session: run manage.py setup_database." in text


class TestOnTheRealD1:
    """The pages of an admin whose `omnichat` is D1, when D1 refuses."""

    @pytest.fixture
    def pages(self, admin_client: Client, d1_engine: Engine) -> Iterator[Client]:
        d1_engine.reset()
        d1_engine.empty_database()
        usual = connections[OMNICHAT], connections.settings[OMNICHAT]
        configured = {
            "ENGINE": "d1", "NAME": d1_engine.database, "USER": d1_engine.account, "PASSWORD": d1_engine.token,
            "OPTIONS": {"api_base": d1_engine.base, "attempts": 1, "timeout": 1},
        }  # fmt: skip
        connections.settings[OMNICHAT] = connections.configure_settings({"default": {}, OMNICHAT: configured})[OMNICHAT]
        connections[OMNICHAT] = connections.create_connection(OMNICHAT)
        yield admin_client
        d1_engine.clear_faults()
        connections[OMNICHAT].close()
        connections[OMNICHAT], connections.settings[OMNICHAT] = usual

    def test_a_database_without_tables(self, pages: Client) -> None:
        response = pages.get("/admin/chat/user/")
        assert response.status_code == 503
        assert "has no table users" in response.content.decode()

    def test_a_save_whose_answer_is_lost(self, pages: Client, d1_engine: Engine) -> None:
        for migration in read_migrations(settings.SQL_MIGRATIONS_DIR):
            d1_engine.execute(*migration.statements)
        d1_engine.execute("INSERT INTO users (id, email, name) VALUES ('user_1', 'alice@example.com', 'Alice')")
        form = pages.get("/admin/chat/user/user_1/change/").content.decode()
        inputs = re.findall(r'name="([\w-]+)"[^>]*value="([^"]*)"', form)
        typed = {name: html.unescape(value) for name, value in inputs} | {"name": "Alicia"}
        d1_engine.fault("cut_after", match="UPDATE")
        saved = pages.post("/admin/chat/user/user_1/change/", typed)
        assert saved.status_code == 503
        assert "Nobody knows whether this was saved" in saved.content.decode()
        d1_engine.clear_faults()
        (names,), (entries,) = d1_engine.execute("SELECT name FROM users", "SELECT count(*) FROM audit_logs")
        assert (names, entries) == (["Alicia"], [1])

    def test_nobody_at_the_other_end(self, pages: Client) -> None:
        connections[OMNICHAT].settings_dict["OPTIONS"]["api_base"] = "http://127.0.0.1:9/client/v4"
        response = pages.get("/admin/chat/user/")
        assert response.status_code == 503
        assert "Cloudflare cannot be reached" in response.content.decode()

    def test_a_token_that_is_refused(self, pages: Client, d1_engine: Engine) -> None:
        connections[OMNICHAT].settings_dict["PASSWORD"] = d1_engine.expired_token
        response = pages.get("/admin/chat/user/")
        assert response.status_code == 503
        assert "Cloudflare refused the API token" in response.content.decode()
