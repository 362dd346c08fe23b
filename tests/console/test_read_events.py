"""Who opened a page about a person leaves a trace of it, on whichever of its pages."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from billing.ledger_page import ledger_url
from chat.models import User
from console.models import StaffEvent
from database import cells

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db: None) -> str:
    return str(User.objects.create(id="user_alice", email="alice@example.com").pk)


def reads() -> list[tuple[str, str]]:
    found = StaffEvent.objects.filter(action="account.read").order_by("number")
    return [(event.subject, event.detail.get("page", "")) for event in found]


def test_the_form_and_the_ledger_of_a_user_leave_a_trace_each(admin_client: Client, alice: str) -> None:
    for url, page in ((cells.form_url(User, alice), "profile"), (ledger_url(alice), "ledger")):
        before = reads()
        assert admin_client.get(url).status_code == 200
        assert reads() == [*before, (alice, page)]


def test_what_was_not_shown_leaves_no_trace(client: Client, admin_client: Client, alice: str) -> None:
    """Nobody signed in, no such user, and the list, which shows no one person."""
    client.get(cells.form_url(User, alice))
    client.get(ledger_url(alice))
    admin_client.get(cells.form_url(User, "user_nobody"))
    assert admin_client.get(ledger_url("user_nobody")).status_code == 404
    assert admin_client.get(reverse("admin:chat_user_changelist")).status_code == 200
    assert reads() == []
