"""Who came in and who did not is kept as events of staff, without what was typed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import StaffEvent
from console.signin import events
from console.signin.models import SignInAttempt
from console.staff_events import verify_chain
from tests.signin_people import (
    LOGIN,
    PASSWORD,
    WRONG,
    alice,
    code,
    no_counts,
    person,
    quick_passwords,
    sign_in,
    with_totp,
)  # fmt: skip

__all__ = ["alice", "no_counts", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]


def kept() -> list[str]:
    return [str(action) for action in StaffEvent.objects.order_by("number").values_list("action", flat=True)]


def test_a_sign_in_is_kept_with_the_person_the_address_and_the_way(alice: User) -> None:
    assert sign_in(Client(), "alice", REMOTE_ADDR="203.0.113.9").status_code == 302
    event = StaffEvent.objects.get()
    assert (event.action, event.staff, event.subject) == ("sign_in.done", alice, "alice")
    assert event.detail == {"address": "203.0.113.9", "ways": ["password"]}


def test_who_has_a_second_factor_is_in_when_it_is_given(alice: User, client: Client) -> None:
    with_totp(alice)
    sign_in(client, "alice")
    assert kept() == []
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    failure = StaffEvent.objects.get()
    assert (failure.action, failure.detail["what"], failure.detail["login"]) == ("sign_in.failed", "proof", alice.pk)
    client.post(reverse("mfa_authenticate"), {"code": code()})
    assert kept() == ["sign_in.failed", "sign_in.done"]
    assert StaffEvent.objects.get(action="sign_in.done").detail["ways"] == ["password", "totp"]


def test_a_failure_is_kept_with_the_hashed_name_alone(client: Client) -> None:
    sign_in(client, "my password by mistake", WRONG)
    event = StaffEvent.objects.get()
    assert (event.action, event.staff, event.subject) == ("sign_in.failed", None, SignInAttempt.objects.get().subject)
    assert "mistake" not in str(list(StaffEvent.objects.values()))
    assert WRONG not in str(list(StaffEvent.objects.values()))


def test_the_failure_that_shuts_the_door_is_kept_once(alice: User, client: Client) -> None:
    for _ in range(8):
        sign_in(client, "alice", WRONG)
    assert kept() == ["sign_in.failed"] * 5 + ["sign_in.shut_out"]
    shut = StaffEvent.objects.get(action="sign_in.shut_out")
    assert shut.subject == StaffEvent.objects.filter(action="sign_in.failed")[0].subject
    assert 0 < shut.detail["seconds"] <= 15 * 60 + 1
    assert verify_chain().faults == []


def test_who_may_not_come_in_with_a_good_password_has_failed(client: Client) -> None:
    person("carol", is_staff=False)
    client.post(LOGIN, {"username": "carol", "password": PASSWORD})
    assert kept() == ["sign_in.failed"]


def test_a_flood_of_failures_fills_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time another name, from a proxy's address that is not counted alone."""
    monkeypatch.setattr(events, "MOST_AN_HOUR", 10)
    for n in range(30):
        sign_in(Client(), f"name {n}", WRONG, REMOTE_ADDR="10.0.0.1")
    assert kept() == ["sign_in.failed"] * 10 + ["sign_in.flood"]
    # It does not cover up that somebody tries one name: that is kept for itself.
    for _ in range(5):
        sign_in(Client(), "alice", WRONG, REMOTE_ADDR="10.0.0.1")
    assert kept()[11:] == ["sign_in.shut_out"]
    StaffEvent.objects.update(at=timezone.now() - timedelta(hours=1, seconds=1))
    sign_in(Client(), "another", WRONG, REMOTE_ADDR="10.0.0.1")
    assert kept()[12:] == ["sign_in.failed"]
