"""Second factors: set up, asked for, required by role, lost; and how they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from console.models import StaffEvent
from console.roles import AUDITOR, OPERATOR, SUPPORT
from console.signin import encryption, gate
from console.signin.policy import require_of
from tests.pages import addresses, browser_of, login_of, make_rows, undone
from tests.signin_people import (
    INDEX,
    LOGIN,
    SECRET,
    Clock,
    alice,
    code,
    no_counts,
    pass_time,
    person,
    quick_passwords,
    sign_in,
    signed_in,
    with_totp,
)  # fmt: skip

__all__ = ["alice", "no_counts", "pass_time", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]


@pytest.fixture
def olga() -> User:
    return person("olga", OPERATOR)


@pytest.fixture(autouse=True)
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """allauth tells of a factor once it is committed, which the block around a test never is."""
    monkeypatch.setattr(transaction, "on_commit", lambda then, **rest: then())


def prove(client: Client, given: str, page: str = "mfa_authenticate") -> Any:
    return client.post(reverse(page), {"code": given})


# Asked for


def test_who_has_a_second_factor_is_not_in_before_giving_it(alice: User, client: Client) -> None:
    with_totp(alice)
    answer = sign_in(client, "alice")
    assert answer.url == reverse("mfa_authenticate")
    assert client.get(INDEX).url.startswith(LOGIN)
    assert client.get(reverse("security")).url.startswith(LOGIN)
    assert "recovery codes" in client.get(answer.url).content.decode()
    assert prove(client, code()).url == INDEX
    assert client.get(INDEX).status_code == 200


def test_the_way_to_where_one_wanted_to_go_survives_the_second_factor(alice: User, client: Client) -> None:
    with_totp(alice)
    wanted = reverse("admin:chat_user_changelist")
    sign_in(client, "alice", path=f"{LOGIN}?next={wanted}")
    assert prove(client, code()).url == wanted


def test_a_code_is_good_once(alice: User) -> None:
    with_totp(alice)
    one, two = Client(), Client()
    given = code()
    sign_in(one, "alice")
    assert prove(one, given).status_code == 302
    sign_in(two, "alice")
    assert prove(two, given).status_code == 200
    assert prove(two, code(1)).status_code == 302


def test_five_wrong_codes_shut_the_door_also_for_who_starts_anew(alice: User) -> None:
    with_totp(alice)
    codes = []
    for _ in range(6):
        client = Client()
        sign_in(client, "alice")
        codes.append(prove(client, "000000").status_code)
    assert codes == [200] * 5 + [429]


def test_a_recovery_code_is_good_once(alice: User) -> None:
    with_totp(alice)
    given = RecoveryCodes.activate(alice).get_unused_codes()[0]
    for expected in (302, 200):
        client = Client()
        sign_in(client, "alice")
        assert prove(client, given).status_code == expected


def test_a_sign_in_that_waits_for_its_factor_can_be_given_up(alice: User, client: Client) -> None:
    with_totp(alice)
    sign_in(client, "alice")
    assert client.post(reverse("account_logout")).url == LOGIN
    assert client.get(reverse("mfa_authenticate")).url == LOGIN


def test_a_session_from_before_the_factor_has_to_prove_it(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    with_totp(alice)
    pass_time(61)
    client.get(INDEX)
    answer = client.get(reverse("security"))
    assert answer.url.startswith(reverse("mfa_reauthenticate"))
    # Not by the password alone, nor by adding or removing factors.
    shut = ("account_reauthenticate", "mfa_deactivate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes")
    for page in shut:
        assert client.get(reverse(page)).url.startswith(reverse("mfa_reauthenticate")), page
    assert prove(client, code(), "mfa_reauthenticate").status_code == 302
    assert client.get(reverse("security")).status_code == 200


# Required


def test_a_role_that_needs_a_factor_opens_nothing_before_one_is_set_up(alice: User, olga: User) -> None:
    require_of([SUPPORT], by=olga)
    client = signed_in(alice)
    for page in (
        INDEX,
        "/admin/find/",
        reverse("admin:chat_user_changelist"),
        "/admin/account/u1/",
        reverse("security"),
    ):
        assert client.get(page).url == reverse("mfa_index"), page
    assert client.post(reverse("admin:console_grant_add")).url == reverse("mfa_index")
    assert "Your role needs a second factor" in client.get(reverse("mfa_index")).content.decode()
    set_up(client)
    assert client.get(INDEX).status_code == 200
    assert signed_in(olga).get(INDEX).status_code == 200


@pytest.mark.parametrize(
    ("debt", "paid_at", "is_open"),
    [
        ({"needs_factor": True}, "mfa_index", gate.SETTING_UP),
        ({"needs_factor": True, "has_factor": True}, "mfa_reauthenticate", gate.PROVING),
        ({"owes_password": True}, "own_password", gate.CHANGING_PASSWORD),
    ],
)
def test_a_session_that_owes_opens_no_address_but_where_it_pays(
    debt: dict[str, bool], paid_at: str, is_open: set[str]
) -> None:
    """Neither a superuser's, nor by POST."""
    make_rows()
    client = browser_of(login_of(is_superuser=True))
    session = client.session
    session["signin"] = {**session["signin"], **debt}
    session.save()
    opened, seen = set(), 0
    for address in addresses():
        for send in (client.get, client.post) if address.url.startswith("/admin/") else ():
            with undone(client):
                answer = send(address.url)
            seen += 1
            if not answer.headers.get("Location", "").startswith(reverse(paid_at)):
                opened.add(answer.wsgi_request.resolver_match.view_name)
    assert opened <= is_open | gate.LEAVING
    assert seen > 250


def set_up(client: Client) -> Any:
    page = client.get(reverse("mfa_activate_totp"))
    session = client.session
    session["mfa.totp.secret"] = SECRET
    session.save()
    assert "<svg" in page.content.decode()
    return client.post(reverse("mfa_activate_totp"), {"code": code()})


def test_a_rule_reaches_sessions_that_are_open_within_a_minute(alice: User, olga: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    require_of([SUPPORT, AUDITOR], by=olga)
    assert client.get(INDEX).status_code == 200
    pass_time(61)
    assert client.get(INDEX).url == reverse("mfa_index")


def test_superusers_can_be_required_too(olga: User) -> None:
    require_of(["superuser"], by=olga)
    root = person("root", is_superuser=True)
    assert signed_in(root).get(INDEX).url == reverse("mfa_index")


def test_one_can_always_log_out(alice: User, olga: User) -> None:
    require_of([SUPPORT], by=olga)
    client = signed_in(alice)
    assert client.post(reverse("admin:logout")).status_code == 200
    assert client.get(INDEX).url.startswith(LOGIN)


# Set up and taken away


def test_setting_up_gives_recovery_codes_once_and_leaves_events(alice: User) -> None:
    client = signed_in(alice)
    answer = set_up(client)
    assert answer.url == reverse("mfa_view_recovery_codes")
    shown = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()
    assert len(shown) == 10
    assert shown[0] in client.get(answer.url).content.decode()
    assert shown[0] not in client.get(answer.url).content.decode()
    assert client.get(INDEX).status_code == 200
    assert StaffEvent.objects.filter(action="sign_in.factor_added", staff=alice).count() == 2


def test_setting_up_asks_for_a_fresh_sign_in(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    pass_time(11 * 60)
    for page in ("mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(page)).url.startswith(reverse("account_reauthenticate"))


def test_a_second_factor_confirms_as_a_password_does(alice: User, pass_time: Clock) -> None:
    with_totp(alice)
    client = Client()
    sign_in(client, "alice")
    prove(client, code())
    pass_time(11 * 60)
    page = reverse("mfa_generate_recovery_codes")
    assert client.get(page).status_code == 302
    prove(client, code(), "mfa_reauthenticate")
    assert client.get(page).status_code == 200


def test_the_last_factor_takes_the_recovery_codes_along(alice: User) -> None:
    client = signed_in(alice)
    set_up(client)
    client.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.exists()
    assert StaffEvent.objects.filter(action="sign_in.factor_removed").exists()


def test_an_operator_removes_factors_of_who_lost_them(alice: User, olga: User) -> None:
    with_totp(alice)
    theirs = Client()
    sign_in(theirs, "alice")
    prove(theirs, code())
    client = signed_in(olga)
    page = reverse("remove_factors", args=[alice.pk])
    assert "alice" in client.get(page).content.decode()
    client.post(page)
    assert not Authenticator.objects.exists()
    assert theirs.get(INDEX).status_code == 302
    assert StaffEvent.objects.get(action="staff.second_factor_removed").subject == "alice"


def test_nobody_removes_factors_without_the_right_nor_their_own_nor_a_superusers(alice: User, olga: User) -> None:
    root = person("root", is_superuser=True)
    assert signed_in(alice).post(reverse("remove_factors", args=[olga.pk])).status_code == 403
    assert signed_in(olga).post(reverse("remove_factors", args=[olga.pk])).status_code == 403
    assert signed_in(olga).post(reverse("remove_factors", args=[root.pk])).status_code == 403


# Stored


def test_a_stored_secret_is_not_in_the_clear(alice: User) -> None:
    with_totp(alice)
    RecoveryCodes.activate(alice)
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM mfa_authenticator")
        stored = " ".join(str(row[0]) for row in cursor.fetchall())
    assert SECRET not in stored
    assert "gAAAA" in stored


def test_an_older_secret_key_still_reads_it_and_another_fits_no_code(alice: User, settings: Any) -> None:
    with_totp(alice)
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another" * 8
    settings.SECRET_KEY_FALLBACKS = [old]
    assert encryption.decrypt(Authenticator.objects.get().data["secret"]) == SECRET
    settings.SECRET_KEY_FALLBACKS = []
    client = Client()
    sign_in(client, "alice")
    assert prove(client, code()).status_code == 200
    assert client.get(INDEX).status_code == 302


# Hostile


@pytest.mark.parametrize(
    "given",
    ["", "{}", "[]", "null", '{"id": 1}', '{"id":"x","response":{}}', json.dumps({"response": {"userHandle": "ü"}})],
)
def test_what_is_no_passkey_is_refused_without_an_error(client: Client, given: str) -> None:
    answer = client.post(reverse("mfa_login_webauthn"), {"credential": given})
    assert (answer.status_code, answer.url) == (302, LOGIN)


def test_a_passkey_of_one_device_signs_in_alone(client: Client) -> None:
    """That it does is shown in a browser; here, that the options name nobody."""
    answer = client.get(reverse("mfa_login_webauthn"), headers={"Accept": "application/json"})
    assert answer.json()["request_options"]["publicKey"]["allowCredentials"] == []


def test_the_page_of_a_login_leads_to_the_removal_where_one_may(alice: User, olga: User) -> None:
    link = reverse("remove_factors", args=[alice.pk])
    pages = [reverse("admin:auth_user_change", args=[one.pk]) for one in (alice, olga)]
    client = signed_in(olga)
    assert link in client.get(pages[0]).content.decode()
    assert "/remove/" not in client.get(pages[1]).content.decode()
    assert link not in signed_in(person("ann", AUDITOR)).get(pages[0]).content.decode()
