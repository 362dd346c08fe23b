"""Sign-in: the page, its throttle, sessions that end, and the fresh sign-in for what gives much away."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from chat.models import User as Account
from console.models import StaffEvent
from console.roles import BILLING, OPERATOR, SUPPORT
from console.signin import throttle
from console.signin.adapters import AccountAdapter
from console.signin.fresh import LARGE_GRANT
from console.signin.models import OwedPassword, SecondFactorRule, SignInAttempt
from database.backup_console import backed_up_models
from tests.signin_people import (
    INDEX,
    LOGIN,
    PASSWORD,
    WRONG,
    Clock,
    no_counts,
    pass_time,
    person,
    quick_passwords,
    sign_in,
    signed_in,
)  # fmt: skip

__all__ = ["no_counts", "pass_time", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]


@pytest.fixture
def alice() -> User:
    return person("alice", SUPPORT)


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


def test_the_page_is_never_kept_by_a_browser(client: Client) -> None:
    assert "no-store" in client.get(LOGIN)["Cache-Control"]


# The throttle


def test_five_wrong_passwords_shut_the_door_and_tell_for_how_long(alice: User, client: Client) -> None:
    for _ in range(5):
        assert sign_in(client, "alice", WRONG).status_code == 200
    answer = sign_in(client, "alice")
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 15 * 60 + 1
    assert "Try again in 15 minutes" in answer.content.decode()


def test_a_name_that_does_not_exist_is_throttled_just_so(client: Client) -> None:
    codes = [sign_in(client, "nobody", WRONG).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]


def test_who_is_throttled_locks_out_neither_colleagues_nor_themselves_elsewhere(alice: User) -> None:
    person("bob")
    for _ in range(6):
        sign_in(Client(), "alice", WRONG, REMOTE_ADDR="203.0.113.9")
    assert sign_in(Client(), "bob", REMOTE_ADDR="203.0.113.9").status_code == 302
    assert sign_in(Client(), "alice", REMOTE_ADDR="203.0.113.77").status_code == 302


def test_names_are_counted_whichever_case_they_are_typed_in(alice: User, client: Client) -> None:
    codes = [
        sign_in(client, name, WRONG).status_code for name in ("alice", "Alice", "ALICE", "aLice", "alicE", "alIce")
    ]
    assert codes[-1] == 429


def test_a_header_that_anybody_can_send_changes_no_address(alice: User) -> None:
    codes = [
        sign_in(Client(), "alice", WRONG, headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(6)
    ]
    assert codes[-1] == 429


def test_behind_a_proxy_that_is_known_the_client_is_counted_and_not_the_proxy(alice: User, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    codes = [
        # What the client itself claims stands left of what our proxy saw.
        sign_in(Client(), "alice", WRONG, headers={"X-Forwarded-For": f"10.9.8.{n}, 203.0.113.9"}).status_code
        for n in range(6)
    ]
    assert codes[-1] == 429
    assert sign_in(Client(), "alice", headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 302


def test_fewer_headers_than_proxies_and_a_socket_without_an_address_are_no_error(settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    make = RequestFactory()
    short = make.get("/", headers={"X-Forwarded-For": "203.0.113.9"}, REMOTE_ADDR="192.0.2.1")
    assert AccountAdapter().get_client_ip(short) == "192.0.2.1"
    assert AccountAdapter().get_client_ip(make.get("/", REMOTE_ADDR="")) == "0.0.0.0"


def test_one_address_of_the_internet_may_not_try_one_name_after_another() -> None:
    for n in range(50):
        assert not throttle.begin(f"name {n}", "8.8.8.8").wait
    assert throttle.begin("name 50", "8.8.8.8").wait
    # The same from a proxy's address within a house locks nobody out.
    for n in range(50):
        throttle.begin(f"name {n}", "10.0.0.1")
    assert not throttle.begin("name 50", "10.0.0.1").wait


def test_many_addresses_may_not_try_one_name_without_end() -> None:
    for n in range(50):
        assert not throttle.begin("name alice", f"203.0.113.{n}").wait
    assert throttle.begin("name alice", "203.0.113.99").wait


def test_an_ipv6_client_has_one_network_however_many_addresses_it_takes() -> None:
    for n in range(5):
        assert not throttle.begin("name alice", f"2001:db8:1:2::{n}").wait
    assert throttle.begin("name alice", "2001:db8:1:2:ffff::1").wait
    assert not throttle.begin("name alice", "2001:db8:1:3::1").wait


def test_tries_at_one_moment_count_each_other() -> None:
    """Each is written down before any of them is checked."""
    tries = [throttle.begin("name alice", "203.0.113.9") for _ in range(8)]
    assert [bool(one.wait) for one in tries] == [False] * 5 + [True] * 3


def test_a_refused_try_does_not_lengthen_the_wait() -> None:
    waits = [throttle.begin("name alice", "203.0.113.9").wait for _ in range(9)]
    assert SignInAttempt.objects.count() == 5
    assert waits[-1] <= waits[5]


def test_success_forgets_the_tries_and_what_was_typed_is_kept_nowhere(alice: User, client: Client) -> None:
    sign_in(client, "my password by mistake", WRONG)
    assert "my password" not in str(list(SignInAttempt.objects.values()))
    for _ in range(4):
        sign_in(client, "alice", WRONG)
    sign_in(client, "alice")
    assert SignInAttempt.objects.count() == 1


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
