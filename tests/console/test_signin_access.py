"""Cloudflare Access: whose token is good, and that nothing else lets anybody in. The keys are made here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import StaffEvent
from console.roles import OPERATOR, SUPPORT
from console.signin import access
from console.signin.policy import require_of
from tests.signin_people import INDEX, LOGIN, Clock, alice, no_counts, pass_time, person, quick_passwords, sign_in

__all__ = ["alice", "no_counts", "pass_time", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]

AUDIENCE = "a1" * 32
Token = Callable[..., dict[str, str]]


def make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


OURS, THEIRS = make_key(), make_key()


class Team:
    """A team of Access: its public keys by their ids, at `url`, and how often they were asked for."""

    def __init__(self) -> None:
        self.keys = {"one": OURS}
        self.asked = 0
        self.broken = False
        team = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                team.asked += 1
                found = self.path == "/cdn-cgi/access/certs" and not team.broken
                self.send_response(200 if found else 500)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": team.public()}).encode() if found else b"")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def public(self) -> list[dict[str, Any]]:
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        return [
            {**to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "RS256", "use": "sig"}
            for kid, key in self.keys.items()
        ]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def team(settings: Any) -> Iterator[Team]:
    made = Team()
    settings.CLOUDFLARE_ACCESS_TEAM, settings.CLOUDFLARE_ACCESS_AUD = "acme", AUDIENCE
    settings.CLOUDFLARE_ACCESS_URL = made.url
    access.keys_at.cache_clear()
    yield made
    made.close()


@pytest.fixture
def token(team: Team) -> Token:
    """`token("alice@example.com")` are the headers of a request that came through Access."""

    def make(email: str | None, key: Any = OURS, kid: str = "one", algorithm: str = "RS256", **claims: Any) -> Any:
        now = int(time.time())
        usual = {"aud": [AUDIENCE], "iss": team.url, "iat": now, "exp": now + 3600, "sub": "s", "email": email}
        told = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return {access.HEADER: jwt.encode(told, key, algorithm=algorithm, headers={"kid": kid})}

    return make


def test_who_comes_through_access_signs_in_by_one_click_and_needs_no_password(alice: User, token: Token) -> None:
    client, headers = Client(), token("Alice@Example.com")
    page = client.get(LOGIN, headers=headers).content.decode()
    assert "Log in as Alice@Example.com" in page
    assert 'name="password"' not in page
    answer = client.post(f"{LOGIN}?next=/admin/chat/user/", headers=headers)
    assert answer.url == "/admin/chat/user/"
    assert client.get(INDEX, headers=headers).status_code == 200


def test_the_header_with_an_email_is_worth_nothing(alice: User, team: Team) -> None:
    headers = {"Cf-Access-Authenticated-User-Email": "alice@example.com"}
    assert Client().get(LOGIN, headers=headers).status_code == 403
    assert Client().post(LOGIN, headers=headers).status_code == 403


def test_a_password_alone_lets_nobody_in(alice: User, team: Team) -> None:
    assert sign_in(Client(), "alice").status_code == 403


def test_each_request_needs_a_token_also_of_who_is_signed_in(alice: User, token: Token) -> None:
    client = Client()
    client.post(LOGIN, headers=token("alice@example.com"))
    assert client.get(INDEX).status_code == 403
    assert client.get(INDEX, headers=token("alice@example.com", exp=int(time.time()) - 1)).status_code == 403
    assert client.get(INDEX, headers=token("alice@example.com")).status_code == 200


BAD: dict[str, dict[str, Any]] = {
    "another audience": {"aud": ["b2" * 32]},
    "no audience": {"aud": None},
    "another team": {"iss": "https://evil.cloudflareaccess.com"},
    "no team": {"iss": None},
    "expired": {"exp": 1_000_000_000},
    "without an end": {"exp": None},
    "of the future": {"nbf": 4_000_000_000},
    "another key": {"key": THEIRS},
    "a key that is not known": {"kid": "two"},
    "signed by what is public": {"key": "x" * 32, "algorithm": "HS256"},
    "not signed": {"key": None, "algorithm": "none"},
    "an email that is no text": {"email": ["alice@example.com"]},
}


@pytest.mark.parametrize("wrong", BAD.values(), ids=BAD)
def test_a_token_that_is_not_good_is_refused(alice: User, token: Token, wrong: dict[str, Any]) -> None:
    headers = token(**{"email": "alice@example.com", **wrong})
    assert Client().post(LOGIN, headers=headers).status_code == 403


@pytest.mark.parametrize("text", ["x", "a.b.c", "....", "é", "e30.e30.", "x" * 5000])
def test_what_is_no_token_is_refused(team: Team, text: str) -> None:
    assert Client().get(LOGIN, headers={access.HEADER: text}).status_code == 403


def test_a_service_of_access_is_nobody_of_the_staff(token: Token) -> None:
    assert Client().get(LOGIN, headers=token(None, common_name="robot")).status_code == 403


def test_who_is_not_of_the_staff_or_switched_off_or_twice_is_refused(token: Token) -> None:
    person("bob", is_staff=False)
    person("carol", is_active=False)
    person("dan"), User.objects.create_user("dan2", "DAN@example.com", is_staff=True)
    for name in ("nobody", "bob", "carol", "dan"):
        assert Client().post(LOGIN, headers=token(f"{name}@example.com")).status_code == 403, name
    assert not User.objects.filter(email="nobody@example.com").exists()


def test_another_persons_token_ends_the_session(alice: User, token: Token) -> None:
    person("olga", OPERATOR)
    client = Client()
    client.post(LOGIN, headers=token("alice@example.com"))
    assert client.get(INDEX, headers=token("olga@example.com")).url.startswith(LOGIN)
    assert client.get(INDEX, headers=token("alice@example.com")).url.startswith(LOGIN)


def test_keys_are_kept_and_a_new_one_is_looked_for_once_a_minute(
    alice: User, team: Team, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        Client().get(LOGIN, headers=token("alice@example.com"))
    assert team.asked == 1
    team.keys = {"two": THEIRS}
    turned = token("alice@example.com", key=THEIRS, kid="two")
    for _ in range(3):
        assert Client().get(LOGIN, headers=turned).status_code == 403
    assert team.asked == 1
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + access.AGAIN)
    assert Client().get(LOGIN, headers=turned).status_code == 200
    # The one that was withdrawn is good no longer.
    assert Client().get(LOGIN, headers=token("alice@example.com")).status_code == 403
    assert team.asked == 2


def test_keys_that_cannot_be_had_shut_the_door_and_known_ones_keep_it_open(
    alice: User, team: Team, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.broken = True
    answer = Client().get(LOGIN, headers=token("alice@example.com"))
    assert answer.status_code == 503
    assert "CLOUDFLARE_ACCESS_TEAM" in answer.content.decode()
    team.broken = False
    assert Client().get(LOGIN, headers=token("alice@example.com")).status_code == 200
    team.broken = True
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + access.LIFETIME)
    assert Client().get(LOGIN, headers=token("alice@example.com")).status_code == 200


def test_a_token_of_an_hour_ago_is_no_fresh_sign_in(alice: User, token: Token) -> None:
    alice.set_unusable_password()
    alice.save()
    client, old = Client(), token("alice@example.com", iat=int(time.time()) - 3000)
    client.post(LOGIN, headers=old)
    answer = client.get(reverse("mfa_activate_totp"), headers=old)
    assert answer.url.startswith(reverse("sign_in_elsewhere"))
    assert "/cdn-cgi/access/logout" in client.get(answer.url, headers=old).content.decode()
    new = token("alice@example.com")
    client.post(reverse("admin:logout"), headers=new)
    client.post(LOGIN, headers=new)
    assert client.get(reverse("mfa_activate_totp"), headers=new).status_code == 200


def test_a_session_behind_access_ends_as_any_other(alice: User, token: Token, pass_time: Clock) -> None:
    client, headers = Client(), token("alice@example.com", exp=int(time.time()) + 86400)
    client.post(LOGIN, headers=headers)
    pass_time(31 * 60)
    assert client.get(INDEX, headers=headers).url.startswith(LOGIN)


def test_a_factor_that_a_role_needs_is_needed_behind_access_too(alice: User, token: Token) -> None:
    require_of([SUPPORT], by=person("olga", OPERATOR))
    client, headers = Client(), token("alice@example.com")
    client.post(LOGIN, headers=headers)
    assert client.get(INDEX, headers=headers).url == reverse("mfa_index")


def test_webhooks_need_no_token(team: Team) -> None:
    assert Client().post("/webhooks/stripe/").status_code == 503


def test_what_is_turned_away_is_kept_and_no_storm_of_it(alice: User, token: Token) -> None:
    someone = {"REMOTE_ADDR": "203.0.113.9"}
    for headers in ({}, token("alice@example.com", key=THEIRS), token("carol@example.com")):
        for _ in range(8):
            assert Client().get(INDEX, headers=headers, **someone).status_code == 403
    kept = StaffEvent.objects.filter(action="sign_in.failed").order_by("number")
    assert [(event.subject, event.detail["what"]) for event in kept] == [
        *[("", "access: the request has no Cf-Access-Jwt-Assertion")] * 5,
        *[("", "access: the token is not good (InvalidSignatureError)")] * 5,
        *[("carol@example.com", "access: no staff")] * 5,
    ]
    assert {event.detail["address"] for event in kept} == {"203.0.113.9"}
    # Who is staff comes in from there all the same.
    assert Client().post(LOGIN, headers=token("alice@example.com"), **someone).status_code == 302
