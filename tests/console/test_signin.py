"""Sign-in: the page, its throttle, sessions that end, and the fresh sign-in for what gives much away."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from chat.models import User as Account
from console.models import StaffEvent
from console.roles import BILLING, OPERATOR
from console.signin.fresh import LARGE_GRANT
from console.signin.models import OwedPassword, SecondFactorRule
from database.backup_console import backed_up_models
from tests.signin_people import (
    INDEX,
    LOGIN,
    PASSWORD,
    WRONG,
    Clock,
    alice,
    no_counts,
    pass_time,
    person,
    quick_passwords,
    sign_in,
    signed_in,
)  # fmt: skip

__all__ = ["alice", "no_counts", "pass_time", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]


# The page


def test_a_name_and_a_password_lead_to_where_one_wanted_to_go(alice: User, client: Client) -> None:
    wanted = reverse("admin:chat_user_changelist")
    asked = client.get(wanted)
    assert asked.url.startswith(LOGIN)
    answer = sign_in(client, "alice", path=asked.url)
    assert (answer.status_code, answer.url) == (302, wanted)
    assert client.get(wanted).status_code == 200


def test_nobody_is_sent_elsewhere_after_signing_in(alice: User, client: Client) -> None:
    answer = client.post(LOGIN, {"username": "alice", "password": PASSWORD, "next": "https://evil.example/"})
    assert answer.url == INDEX


def test_the_answer_is_the_same_whoever_does_not_exist_may_not_or_mistyped(alice: User, client: Client) -> None:
    person("bob", is_active=False)
    person("carol", is_staff=False)
    tries = [("alice", WRONG), ("nobody", WRONG), ("bob", PASSWORD), ("carol", PASSWORD)]
    answers = [sign_in(client, *one) for one in tries]
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(answer.context["form"].non_field_errors()) for answer in answers}) == 1


def test_a_session_that_somebody_else_planted_is_not_the_one_that_signs_in(alice: User, client: Client) -> None:
    planted = client.session
    planted["x"] = "y"
    planted.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    assert sign_in(client, "alice").status_code == 302
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie.value != planted.session_key
    assert not Session.objects.filter(pk=planted.session_key).exists()
    assert (cookie["httponly"], cookie["samesite"], cookie["domain"]) == (True, "Lax", "")


def test_the_page_is_never_kept_by_a_browser(client: Client) -> None:
    assert "no-store" in client.get(LOGIN)["Cache-Control"]


# Sessions


def test_a_session_ends_after_half_an_hour_without_use(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    pass_time(29 * 60)
    assert client.get(INDEX).status_code == 200
    pass_time(29 * 60)
    assert client.get(INDEX).status_code == 200
    pass_time(31 * 60)
    answer = client.get(reverse("admin:chat_user_changelist"))
    assert answer.url == f"{LOGIN}?next=%2Fadmin%2Fchat%2Fuser%2F"
    assert "30 minutes" in client.get(answer.url).content.decode()


def test_a_session_ends_after_eight_hours_however_much_it_is_used(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    for _ in range(23):
        pass_time(20 * 60)
        assert client.get(INDEX).status_code == 200
    pass_time(20 * 60 + 1)
    assert client.get(INDEX).status_code == 302


def test_what_a_page_asks_for_by_itself_is_no_use(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    pass_time(20 * 60)
    assert client.get(INDEX, headers={"Sec-Fetch-Mode": "cors"}).status_code == 200
    pass_time(11 * 60)
    assert client.get(INDEX).status_code == 302


def test_a_session_without_facts_has_ended(alice: User) -> None:
    client = signed_in(alice)
    session = client.session
    del session["signin"]
    session.save()
    assert client.get(INDEX).url.startswith(LOGIN)


def test_one_sees_ones_own_sessions_and_ends_any_of_them(alice: User) -> None:
    here, there, stranger = signed_in(alice), signed_in(alice), signed_in(person("bob"))
    page = here.get(reverse("security"))
    assert [one.is_this for one in page.context["sessions"]] == [True, False]
    other = UserSession.objects.get(session_key=there.session.session_key)
    here.post(reverse("end_session", args=[other.pk]))
    assert there.get(INDEX).status_code == 302
    bobs = UserSession.objects.get(session_key=stranger.session.session_key)
    here.post(reverse("end_session", args=[bobs.pk]))
    assert stranger.get(INDEX).status_code == 200
    assert here.get(reverse("end_session", args=[bobs.pk])).status_code == 405


@pytest.mark.parametrize(
    ("agent", "browser"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36", "Chrome, Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0", "Edge, Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Firefox, Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1", "Safari, iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
    ],
)  # fmt: skip
def test_a_session_is_known_by_its_browser(alice: User, agent: str, browser: str) -> None:
    client = signed_in(alice)
    UserSession.objects.update(user_agent=agent)
    assert browser in client.get(reverse("security")).content.decode()


def test_all_others_end_at_once(alice: User) -> None:
    here, *there = (signed_in(alice) for _ in range(3))
    here.post(reverse("end_other_sessions"))
    assert [client.get(INDEX).status_code for client in (here, *there)] == [200, 302, 302]


def test_a_change_of_ones_password_ends_the_others_and_keeps_this(alice: User) -> None:
    here, there = signed_in(alice), signed_in(alice)
    form = {"old_password": PASSWORD, "new_password1": "a-new-otter-9", "new_password2": "a-new-otter-9"}
    assert here.post(reverse("admin:password_change"), form).status_code == 302
    assert here.get(INDEX).status_code == 200
    assert there.get(INDEX).status_code == 302
    assert len(here.get(reverse("security")).context["sessions"]) == 1
    assert StaffEvent.objects.filter(action="sign_in.password", staff=alice).count() == 1


def test_a_password_of_eleven_characters_is_refused(alice: User) -> None:
    form = {"old_password": PASSWORD, "new_password1": "otter-ferry", "new_password2": "otter-ferry"}
    answer = signed_in(alice).post(reverse("admin:password_change"), form)
    assert answer.status_code == 200
    assert "at least 12 characters" in answer.content.decode()


def test_the_old_password_cannot_be_guessed_from_an_open_session(alice: User) -> None:
    here = signed_in(alice)
    form = {"old_password": WRONG, "new_password1": "a-new-otter-9", "new_password2": "a-new-otter-9"}
    codes = [here.post(reverse("admin:password_change"), form).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]


def test_logging_out_leaves_nothing(alice: User) -> None:
    here = signed_in(alice)
    key = here.session.session_key
    here.post(reverse("admin:logout"))
    assert here.get(INDEX).status_code == 302
    assert not here.session.exists(key)


def test_a_session_costs_no_query_but_its_own_and_the_person(alice: User, django_assert_num_queries: Any) -> None:
    client = signed_in(alice)
    with django_assert_num_queries(2):
        client.get(reverse("admin:jsi18n"))


# A password that somebody else set


def test_a_password_that_another_set_has_to_be_changed_before_anything_else(alice: User) -> None:
    operator = signed_in(person("olga", OPERATOR))
    session = signed_in(alice)
    form = {"password1": "given-by-olga-1", "password2": "given-by-olga-1", "usable_password": "true"}
    assert operator.post(reverse("admin:auth_user_password_change", args=[alice.pk]), form).status_code == 302
    assert session.get(INDEX).status_code == 302
    alice_again = Client()
    sign_in(alice_again, "alice", "given-by-olga-1")
    answer = alice_again.get(INDEX)
    assert answer.url == reverse("admin:password_change")
    own = {"old_password": "given-by-olga-1", "new_password1": "only-mine-77", "new_password2": "only-mine-77"}
    alice_again.post(answer.url, own)
    assert alice_again.get(INDEX).status_code == 200
    assert not OwedPassword.objects.exists()
    assert StaffEvent.objects.filter(action="staff.password", subject="alice").count() == 1


def test_the_password_of_a_new_login_has_to_be_changed_too() -> None:
    operator = signed_in(person("olga", OPERATOR))
    form = {"username": "nora", "password1": "first-day-77", "password2": "first-day-77", "usable_password": "true"}
    assert operator.post(reverse("admin:auth_user_add"), form).status_code == 302
    User.objects.filter(username="nora").update(is_staff=True)
    nora = Client()
    sign_in(nora, "nora", "first-day-77")
    assert nora.get(INDEX).url == reverse("admin:password_change")


# A fresh sign-in


def test_after_ten_minutes_rights_and_passwords_ask_who_it_is(alice: User, pass_time: Clock) -> None:
    client = signed_in(person("olga", OPERATOR))
    pages = [
        reverse("admin:auth_user_password_change", args=[alice.pk]),
        reverse("admin:auth_user_change", args=[alice.pk]),
    ]
    assert client.get(pages[0]).status_code == 200
    pass_time(10 * 60 + 1)
    assert client.get(pages[0]).url.startswith(reverse("account_reauthenticate"))
    assert client.get(pages[1]).status_code == 200
    answer = client.post(pages[1], {}, headers={"Referer": f"http://testserver{pages[1]}"})
    assert answer.url.startswith(reverse("account_reauthenticate"))
    page = client.get(answer.url).content.decode()
    assert "Nothing was done yet" in page
    assert answer.wsgi_request.path == pages[1]
    back = client.post(answer.url, {"password": PASSWORD, "next": pages[1]})
    assert (back.status_code, back.url) == (302, pages[1])
    assert client.get(pages[0]).status_code == 200


def test_a_wrong_password_confirms_nothing_and_is_throttled(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    pass_time(11 * 60)
    codes = [client.post(reverse("account_reauthenticate"), {"password": WRONG}).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    assert client.get(reverse("mfa_activate_totp")).url.startswith(reverse("account_reauthenticate"))


def test_one_is_not_sent_to_another_site_after_confirming(alice: User, pass_time: Clock) -> None:
    client = signed_in(alice)
    pass_time(11 * 60)
    back = client.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": "https://evil.example/"})
    assert back.url == INDEX


def test_who_has_neither_password_nor_factor_is_told_what_to_do(alice: User, pass_time: Clock) -> None:
    alice.set_unusable_password()
    alice.save()
    client = Client()
    client.force_login(alice)
    pass_time(11 * 60)
    answer = client.get(reverse("mfa_activate_totp"))
    assert answer.url.startswith(reverse("sign_in_elsewhere"))
    assert "neither" in client.get(answer.url).content.decode()


# What is kept


def test_no_second_factor_and_no_session_is_in_a_backup() -> None:
    labels = {model._meta.label for model in backed_up_models()}
    assert not {label for label in labels if label.split(".")[0] in ("mfa", "account", "socialaccount", "usersessions")}
    assert "signin.SecondFactorRule" in labels
    assert not labels & {"signin.SignInAttempt", "signin.OwedPassword", "sessions.Session"}


def test_no_page_shows_what_allauth_keeps(admin_client: Client) -> None:
    paths = ("mfa/authenticator/", "usersessions/usersession/", "socialaccount/socialapp/", "account/emailaddress/")
    assert [admin_client.get(f"/admin/{path}").status_code for path in paths] == [404] * len(paths)


def test_rules_are_of_operators_and_leave_an_event(alice: User) -> None:
    support, operator = signed_in(alice), signed_in(person("olga", OPERATOR))
    page = reverse("factor_policy")
    assert support.get(page).status_code == 403
    assert support.post(page, {"role": "Support"}).status_code == 403
    assert operator.post(page, {"role": ["Support", "no such role"]}).status_code == 302
    assert list(SecondFactorRule.objects.values_list("pk", flat=True)) == ["Support"]
    event = StaffEvent.objects.get(action="sign_in.policy")
    assert event.detail == {"before": [], "after": ["Support"]}


GUARDED = {
    "a list as a file": ("/admin/chat/user/export/", {"format": "csv"}),
    "grants as a file": ("/admin/console/grant/export/", {}),
    "a ledger as a file": ("/admin/billing/batterytransaction/ledger/u1/export/", {}),
    "a person's data": ("/admin/account/u1/export/", {}),
    "a person's deletion": ("/admin/account/u1/delete/", {"email": "u1@example.com"}),
    "roles of somebody": ("/admin/auth/user/1/change/", {}),
    "a new login": ("/admin/auth/user/add/", {}),
    "grants from a file": ("/admin/console/grant/bulk/", {}),
    "who needs a second factor": ("/admin/security/second-factor-policy/", {"role": "Support"}),
}


@pytest.mark.parametrize(("page", "form"), GUARDED.values(), ids=GUARDED)
def test_what_gives_much_away_asks_for_a_fresh_sign_in(
    alice: User, pass_time: Clock, page: str, form: dict[str, str]
) -> None:
    Account.objects.create(id="u1", email="u1@example.com")
    client = signed_in(person("root", is_superuser=True))
    before = StaffEvent.objects.count()
    pass_time(10 * 60 + 1)
    answer = client.post(page, form)
    assert answer.status_code == 302
    assert answer.url.startswith(reverse("account_reauthenticate"))
    assert StaffEvent.objects.count() == before
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    again = client.post(page, form)
    assert not getattr(again, "url", "").startswith(reverse("account_reauthenticate"))


@pytest.mark.parametrize(("units", "is_asked"), [(LARGE_GRANT, False), (LARGE_GRANT + 1, True)])
def test_a_large_grant_asks_for_a_fresh_sign_in(pass_time: Clock, units: int, is_asked: bool) -> None:
    Account.objects.create(id="u1", email="u1@example.com")
    client = signed_in(person("bill", BILLING))
    pass_time(10 * 60 + 1)
    page = reverse("admin:console_grant_add")
    form = {
        "user": "u1",
        "units": units,
        "category": "goodwill",
        "text": "They waited for a week.",
        "key": str(uuid4()),
    }
    answer = client.post(page, form)
    assert getattr(answer, "url", "").startswith(reverse("account_reauthenticate")) == is_asked
