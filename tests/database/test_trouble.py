"""What staff read where a database refuses: what is wrong, and the way out; never a stack."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.urls import reverse

from chat.models import User
from d1.errors import OutcomeUnknown, RateLimited
from database import edit_form, edits

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("the refusals are made here")]


def refuse(error: Exception) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


@pytest.fixture
def alice(db: Any) -> str:
    User.objects.create(id="user_1", email="alice@example.com", name="Alice")
    return reverse("admin:chat_user_change", args=["user_1"])


def save(client: Client, page: str) -> Any:
    form = client.get(page).context["adminform"].form
    values = {name: form[name].value() or "" for name in form.fields}
    carried = {form.carrier(name): edit_form.carry(cell) for name, cell in form.shown.items()}
    return client.post(page, {**values, **carried, "name": "Alicia"})


def test_a_lost_answer_to_a_save_is_told_as_what_it_is(admin_client: Client, alice: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(edits.audit, "record", refuse(OutcomeUnknown("the connection was cut")))
    response = save(admin_client, alice)
    assert response.status_code == 503
    text = response.content.decode()
    assert "Nobody knows whether this was saved" in text
    assert "was changed successfully" not in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("database is locked"), "Another program is writing"),
        (OperationalError("file is not a database"), "is no SQLite database"),
        (OperationalError("no such table: users"), "has no table users"),
        (RateLimited(12), "try again in 12 seconds"),
    ],
)
def test_a_list_says_what_is_wrong(admin_client: Client, monkeypatch: Any, error: Exception, words: str) -> None:
    def wrapper(execute: Any, sql: str, *args: Any) -> Any:
        if "users" in sql:
            raise error
        return execute(sql, *args)

    with connections["omnichat"].execute_wrapper(wrapper):
        response = admin_client.get(reverse("admin:chat_user_changelist"))
    assert response.status_code == 503
    assert words in response.content.decode()
    assert "Traceback" not in response.content.decode()


def test_the_consoles_own_tables_have_their_own_way_out(client: Client) -> None:
    def wrapper(execute: Any, sql: str, *args: Any) -> Any:
        raise OperationalError("no such table: django_session")

    client.cookies["sessionid"] = "x" * 32
    client.raise_request_exception = False
    with connections["default"].execute_wrapper(wrapper):
        response = client.get(reverse("admin:index"))
    assert response.status_code == 503
    assert "manage.py setup_database" in response.content.decode()
