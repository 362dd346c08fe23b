"""The throttle of sign-in: who is shut out, for how long, and who is not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from console.signin import throttle
from console.signin.adapters import AccountAdapter
from console.signin.models import SignInAttempt
from tests.signin_people import (
    WRONG,
    alice,
    no_counts,
    pass_time,
    person,
    quick_passwords,
    sign_in,
)  # fmt: skip

__all__ = ["alice", "no_counts", "pass_time", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]


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
