"""OpenID Connect, against a small issuer on loopback: who comes in, and who does not."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.roles import SUPPORT
from omniops.sign_in import PROVIDER, provider
from tests.signin_people import INDEX, LOGIN, alice, code, no_counts, person, quick_passwords, with_totp

__all__ = ["alice", "no_counts", "quick_passwords"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]

START = f"/admin/sign-in/{PROVIDER}/"
CALLBACK = f"{START}callback/"


class Issuer:
    """Gives `claims` to whom brings the code, the client's secret and the proof of the one who asked for the code."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.info: dict[str, Any] | None = None
        self.challenge = ""
        self.broken = False
        issuer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if issuer.broken:
                    self.answer(500, {})
                elif self.path == "/.well-known/openid-configuration":
                    self.answer(200, issuer.configuration())
                elif self.path == "/userinfo" and self.headers["Authorization"] == "Bearer opaque":
                    self.answer(200, issuer.token() if issuer.info is None else issuer.info)
                else:
                    self.answer(404, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked = {name: values[0] for name, values in parse_qs(body).items()}
                if issuer.accepts(asked):
                    signed = jwt.encode(issuer.token(), "k" * 32, algorithm="HS256")
                    self.answer(200, {"access_token": "opaque", "token_type": "Bearer", "id_token": signed})
                else:
                    self.answer(400, {"error": "invalid_grant"})

            def answer(self, status: int, told: dict[str, Any]) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def configuration(self) -> dict[str, Any]:
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{name}_endpoint": f"{self.url}/{path}" for name, path in ends.items()},
        }

    def token(self) -> dict[str, Any]:
        now = int(time.time())
        usual = {"iss": self.url, "aud": "console", "sub": "42", "iat": now, "exp": now + 300, "auth_time": now}
        return {**usual, **self.claims}

    def accepts(self, asked: dict[str, str]) -> bool:
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.challenge
        return proven and (asked["code"], asked["client_id"], asked["client_secret"]) == ("c0de", "console", "s3cret")


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    made = Issuer()
    settings.OIDC_ISSUER = made.url
    settings.SOCIALACCOUNT_PROVIDERS = provider(made.url, "console", "s3cret")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def come(issuer: Issuer) -> Callable[..., Any]:
    """`come(client, email="...")` goes to the issuer and comes back with what it says; gives the answer to that."""

    def go(client: Client, path: str = START, **claims: Any) -> Any:
        away = client.get(path)
        assert away.url.startswith(f"{issuer.url}/authorize?")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(away.url).query).items()}
        assert asked["redirect_uri"] == f"http://testserver{CALLBACK}"
        assert asked["max_age"] == "28800"
        issuer.challenge = asked["code_challenge"]
        issuer.claims = {"email_verified": True, **claims}
        return client.get(CALLBACK, {"code": "c0de", "state": asked["state"]})

    return go


def told(client: Client) -> str:
    return client.get(LOGIN).content.decode()


def test_staff_with_a_verified_email_come_in(alice: User, client: Client, come: Any) -> None:
    assert START in told(client)
    answer = come(client, f"{START}?next=/admin/chat/user/", email="Alice@example.com")
    assert answer.url == "/admin/chat/user/"
    assert client.get(INDEX).status_code == 200
    # The email decides each time: nothing that outlives it is stored, and the password is untouched.
    assert not SocialAccount.objects.exists()
    alice.refresh_from_db()
    assert alice.has_usable_password()


def test_roles_are_not_taken_from_claims(alice: User, client: Client, come: Any) -> None:
    come(client, email="alice@example.com", groups=["Operator"], roles=["admin"], is_superuser=True)
    alice.refresh_from_db()
    assert not alice.is_superuser
    assert [group.name for group in alice.groups.all()] == [SUPPORT]


@pytest.mark.parametrize("verified", [False, None, "false", "no", 0])
def test_an_email_that_is_not_verified_is_nobodys(alice: User, client: Client, come: Any, verified: Any) -> None:
    assert come(client, email="alice@example.com", email_verified=verified).url == LOGIN
    assert "has not verified your email" in told(client)
    assert client.get(INDEX).status_code == 302


def test_nobody_is_made_and_who_is_no_active_staff_stays_out(client: Client, come: Any) -> None:
    person("bob", is_staff=False)
    person("carol", is_active=False)
    before = User.objects.count()
    for email in ("nobody@example.com", "bob@example.com", "carol@example.com", "", None):
        answer = come(client, email=email)
        assert answer.url == LOGIN, email
        assert "not known here" in told(client)
    assert User.objects.count() == before


def test_an_email_of_two_logins_is_neithers(alice: User, client: Client, come: Any) -> None:
    User.objects.create_user("alice2", "ALICE@example.com", is_staff=True)
    assert come(client, email="alice@example.com").url == LOGIN


def test_a_second_factor_is_asked_for_after_the_issuer(alice: User, client: Client, come: Any) -> None:
    with_totp(alice)
    assert come(client, email="alice@example.com").url == reverse("mfa_authenticate")
    assert client.get(INDEX).status_code == 302
    client.post(reverse("mfa_authenticate"), {"code": code()})
    assert client.get(INDEX).status_code == 200


def test_another_issuer_another_audience_and_an_old_token_are_refused(alice: User, client: Client, come: Any) -> None:
    for wrong in ({"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1_000_000_000}):
        answer = come(client, email="alice@example.com", **wrong)
        assert answer.status_code == 401, wrong
        assert client.get(INDEX).status_code == 302


def test_halves_of_two_subjects_do_not_make_one_answer(alice: User, client: Client, come: Any, issuer: Issuer) -> None:
    issuer.info = {"sub": "another", "email": "alice@example.com", "email_verified": True}
    assert come(client, email="mallory@example.com").url == LOGIN
    assert "do not belong together" in told(client)


def test_a_code_without_the_state_of_this_browser_is_refused(alice: User, come: Any, issuer: Issuer) -> None:
    mallory, victim = Client(), Client()
    away = mallory.get(START).url
    state = parse_qs(urlsplit(away).query)["state"][0]
    for given in ({"code": "c0de", "state": state}, {"code": "c0de"}, {"code": "c0de", "state": "x"}, {}):
        assert victim.get(CALLBACK, given).status_code in (302, 401)
        assert victim.get(INDEX).status_code == 302


def test_who_cancels_at_the_issuer_comes_back_to_the_page(client: Client, issuer: Issuer) -> None:
    state = parse_qs(urlsplit(client.get(START).url).query)["state"][0]
    answer = client.get(CALLBACK, {"error": "access_denied", "state": state}, follow=True)
    assert "was not finished" in answer.content.decode()


def test_an_issuer_that_does_not_answer_is_told_and_no_error(client: Client, issuer: Issuer) -> None:
    issuer.broken = True
    assert client.get(START).url == LOGIN
    assert "cannot be reached" in told(client)


def test_an_account_cannot_be_connected_for_later(alice: User, client: Client, come: Any) -> None:
    client.force_login(alice)
    assert come(client, f"{START}?process=connect", email="alice@example.com").url == LOGIN
    assert not SocialAccount.objects.exists()


@pytest.mark.parametrize("seen", [{"auth_time": 1_700_000_000}, {"auth_time": None}])
def test_a_sign_in_of_long_ago_at_the_issuer_is_not_fresh(
    alice: User, client: Client, come: Any, seen: dict[str, Any]
) -> None:
    come(client, email="alice@example.com", **seen)
    assert client.get(INDEX).status_code == 200
    assert client.get(reverse("mfa_activate_totp")).url.startswith(reverse("account_reauthenticate"))


def test_a_sign_in_of_now_at_the_issuer_is_fresh(alice: User, client: Client, come: Any) -> None:
    come(client, email="alice@example.com")
    assert client.get(reverse("mfa_activate_totp")).status_code == 200


def test_nothing_is_offered_or_served_where_it_is_not_configured(client: Client) -> None:
    assert START not in told(client)
    assert client.get(START).status_code == 404
    assert client.get(CALLBACK).status_code == 404
