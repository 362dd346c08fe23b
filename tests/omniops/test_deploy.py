"""How strict the console is where it is reached from elsewhere, and that it stays usable on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from omniops.hardening import is_public, transport

PRODUCTION = {
    "DJANGO_ALLOWED_HOSTS": "ops.example.com",
    "DJANGO_SECRET_KEY": "a-Long-key-of-50-characters-0123456789-abcdefghijkl",
}
SECRETS = {
    "DJANGO_SECRET_KEY": "hush-1-key-of-50-characters-0123456789-abcdefghijkl",
    "CONSOLE_DATABASE_URL": "postgres://console:hush-2@127.0.0.1:1/console",
    "STRIPE_SECRET_KEY": "sk_test_hush3",
    "STRIPE_WEBHOOK_SECRET": "whsec_hush4",
    "CLOUDFLARE_API_TOKEN": "hush-5",
    "CLERK_SECRET_KEY": "sk_test_hush-6",
}


def test_the_check_for_production_finds_nothing(manage: Callable) -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout + done.stderr


def test_a_name_of_this_machine_alone_is_served_without_tls() -> None:
    assert not is_public(False, ["127.0.0.1", "localhost", "[::1]"])
    assert not is_public(True, ["ops.example.com"])
    assert is_public(False, ["127.0.0.1", "ops.example.com"])
    assert transport(False) == {}
    assert settings.ALLOWED_HOSTS[0] == "127.0.0.1" or not settings.PUBLIC


@override_settings(**transport(True), ALLOWED_HOSTS=["ops.example.com"])
def test_in_public_plain_http_leads_to_https_and_cookies_stay_there(client: Client) -> None:
    there = client.get("/admin/login/?next=/admin/", HTTP_HOST="ops.example.com")
    assert (there.status_code, there["Location"]) == (301, "https://ops.example.com/admin/login/?next=/admin/")
    page = client.get("/admin/login/", HTTP_HOST="ops.example.com", HTTP_X_FORWARDED_PROTO="https")
    assert page.status_code == 200
    assert page["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    for cookie in page.cookies.values():
        assert (cookie["secure"], cookie["samesite"]) == (True, "Lax"), cookie


def test_every_page_says_what_a_browser_may_do_with_it(client: Client) -> None:
    page = client.get("/admin/login/")
    rules = dict(part.strip().partition(" ")[::2] for part in page["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "form-action", "connect-src")} == {"'self'"}
    assert (rules["frame-ancestors"], rules["base-uri"]) == ("'none'", "'none'")
    assert "unsafe" not in page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "DENY"
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in page["Cache-Control"]


@pytest.mark.django_db
@pytest.mark.sqlite_only("headers are the same whatever the database")
@pytest.mark.parametrize(
    ("method", "url", "status", "host"),
    [
        ("get", "/static/omniops/css/django.css", 200, "localhost"),
        ("get", "/nothing/", 404, "localhost"),
        ("get", "/healthz", 200, "localhost"),
        ("get", "/metrics", 404, "localhost"),
        ("post", "/admin/login/", 403, "localhost"),
        ("post", "/webhooks/stripe/", 503, "localhost"),
        ("get", "/webhooks/clerk/", 405, "localhost"),
        ("get", "/admin/security/second-factor/authenticate/", 302, "localhost"),
        ("get", "/admin/login/", 400, "evil.example"),
    ],
)
def test_every_answer_has_the_rules_errors_and_files_as_well(method: str, url: str, status: int, host: str) -> None:
    answer = Client(enforce_csrf_checks=True).generic(method.upper(), url, HTTP_HOST=host)
    answer.close()
    assert answer.status_code == status
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
@pytest.mark.sqlite_only("headers are the same whatever the database")
def test_an_error_that_shows_who_is_signed_in_is_not_kept(admin_client: Client) -> None:
    for url, status in (("/admin/nothing/", 404), ("/admin/auth/group/add/", 403), ("/admin/logout/", 405)):
        answer = admin_client.get(url)
        assert (answer.status_code, "no-store" in answer.get("Cache-Control", "")) == (status, True)


def test_a_report_of_an_error_shows_no_secret() -> None:
    names = {"BACKUP_AGE_IDENTITY": "hush", "BACKUP_STORAGE": "s3://b?secret_key=hush", "STRIPE_SECRET_KEY": "hush"}
    asked = RequestFactory().get(
        "/", HTTP_COOKIE="sessionid=hush", HTTP_AUTHORIZATION="Bearer hush", HTTP_SVIX_SIGNATURE="hush",
        HTTP_STRIPE_SIGNATURE="hush", HTTP_CF_ACCESS_JWT_ASSERTION="hush", OMNICHAT_DATABASE_URL="postgres://a:hush@b/c",
    )  # fmt: skip
    with override_settings(**names, CONNECTION={"PASSWORD": "hush", "OPTIONS": {"read_token": "hush"}}):
        reporter = ExceptionReporter(asked, ValueError, ValueError("x"), None)
        assert "hush" not in reporter.get_traceback_text()
        assert "hush" not in reporter.get_traceback_html()


def test_no_secret_is_in_what_a_page_or_the_log_says(manage: Callable) -> None:
    """A page that fails, in a process with secrets of every kind."""
    shown = """
from django.test import Client
client = Client(SERVER_NAME="localhost", raise_request_exception=False)
for page in ("/admin/", "/admin/login/", "/admin/nothing/", "/webhooks/stripe/"):
    answer = client.get(page)
    print(answer.status_code, answer.content.decode(), dict(answer.headers))
client.cookies["sessionid"] = "x" * 32
print(client.get("/admin/").status_code)
"""
    done = manage("shell", "-v0", "-c", shown, **SECRETS)
    assert "503" in done.stdout, done.stderr
    for secret in ("hush-1", "hush-2", "hush3", "hush4", "hush-5", "hush-6"):
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


@pytest.mark.django_db
def test_a_session_that_cannot_be_saved_is_told_as_trouble_of_the_database(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_user_model: Any
) -> None:
    django_user_model.objects.create_user("alice", password="plain-walnut-boat", is_staff=True)

    def locked(*words: Any, **named: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(SessionStore, "save", locked)
    client.raise_request_exception = False
    told = {"username": "alice", "password": "plain-walnut-boat"}
    answers = [client.post("/admin/login/", told), client.get("/admin/login/")]
    assert [answer.status_code for answer in answers][:1] == [503]
    assert "database" in answers[0].text
    assert "Traceback" not in answers[0].text


def test_what_nobody_foresaw_is_a_page_without_a_stack(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any) -> None:
        raise ValueError("hush")

    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.has_permission", broken)
    client.raise_request_exception = False
    answer = client.get("/admin/")
    assert answer.status_code == 500
    assert "hush" not in answer.text
    assert "Something broke" in answer.text
