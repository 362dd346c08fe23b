"""Notes on a user: who reads them, who writes them, and that nobody changes another's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User as Login
from django.test import Client
from django.urls import reverse

from chat.models import User
from console.account import account_url
from console.models import Note, StaffEvent
from console.notes import LONGEST
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from console.timeline import timeline

pytestmark = pytest.mark.django_db
ALICE = "user_alice"
NOTES = f"/admin/account/{ALICE}/notes/"


@pytest.fixture(autouse=True)
def alice() -> User:
    return User.objects.create(id=ALICE, email="alice@example.com", tier="free", subscription_status="inactive")


def page(client: Client) -> str:
    return client.get(account_url(ALICE)).content.decode()


@pytest.mark.parametrize("role", [SUPPORT, BILLING, OPERATOR])
def test_a_note_stands_on_the_account_with_its_author_and_in_the_timeline(enter: Any, role: str) -> None:
    client = enter(role)
    answer = client.post(NOTES, {"text": "Calls on <Mondays>"})
    assert answer["Location"].endswith("#notes")
    shown = page(client)
    assert "Calls on &lt;Mondays&gt;" in shown
    assert f"<strong>{role}</strong>" in shown
    (told,) = [row for row in timeline(ALICE, []) if "Calls on" in str(row.what)]
    assert (told.source, told.who) == ("staff", role)


def test_a_pinned_note_stands_on_top_of_each_part_and_before_newer_ones(enter: Any) -> None:
    client = enter(SUPPORT)
    client.post(NOTES, {"text": "the first", "pinned": "on"})
    client.post(NOTES, {"text": "the second"})
    assert "the first" in client.get(account_url(ALICE, "usage")).content.decode()
    assert "the second" not in client.get(account_url(ALICE, "usage")).content.decode()
    assert [note.text for note in Note.objects.all()] == ["the first", "the second"]
    client.post(reverse("note", args=(Note.objects.get(text="the first").pk,)), {"step": "unpin"})
    assert [note.text for note in Note.objects.all()] == ["the second", "the first"]


def test_an_auditor_reads_and_writes_none(enter: Any) -> None:
    enter(SUPPORT).post(NOTES, {"text": "for all to read"})
    auditor = enter(AUDITOR)
    assert "for all to read" in page(auditor)
    assert "<textarea" not in page(auditor)
    assert auditor.post(NOTES, {"text": "mine"}).status_code == 403


@pytest.mark.parametrize("step", ["save", "pin", "remove"])
def test_nobody_changes_what_another_wrote_superusers_included(enter: Any, step: str, admin_client: Client) -> None:
    enter(SUPPORT).post(NOTES, {"text": "mine"})
    note = Note.objects.get()
    for other in (enter(OPERATOR), enter(SUPPORT, "second"), admin_client):
        assert f'action="{reverse("note", args=(note.pk,))}"' not in page(other)
        answer = other.post(reverse("note", args=(note.pk,)), {"step": step, "text": "yours"})
        assert answer.status_code == 403
    assert (Note.objects.get().text, Note.objects.get().is_pinned) == ("mine", False)


def test_who_wrote_a_note_changes_and_removes_it_and_that_it_is_gone_is_kept(enter: Any) -> None:
    client = enter(SUPPORT)
    client.post(NOTES, {"text": "calls on Mondays"})
    own = reverse("note", args=(Note.objects.get().pk,))
    client.post(own, {"step": "save", "text": "calls on Tuesdays"})
    assert Note.objects.get().text == "calls on Tuesdays"
    client.post(own, {"step": "remove"})
    assert not Note.objects.exists()
    event = StaffEvent.objects.get(action="note.remove")
    assert (event.subject, event.detail) == (ALICE, {})


@pytest.mark.parametrize("text", ["", "  \n", "\0", "x" * (LONGEST + 1)])
def test_what_is_no_note_is_refused_in_words(enter: Any, text: str) -> None:
    client = enter(SUPPORT)
    answer = client.post(NOTES, {"text": text}, follow=True)
    assert not Note.objects.exists()
    assert 'class="error"' in answer.content.decode()


def test_notes_are_written_by_post_on_users_that_exist(enter: Any) -> None:
    client = enter(SUPPORT)
    assert client.get(NOTES).status_code == 405
    assert client.post("/admin/account/user_nobody/notes/", {"text": "x"}).status_code == 404
    assert client.post(reverse("note", args=(10**18,)), {"step": "remove"}).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(Login.objects.get(username=SUPPORT))
    assert strict.post(NOTES, {"text": "x"}).status_code == 403
