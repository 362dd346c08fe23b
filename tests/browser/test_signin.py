"""Second factors in a browser: an authenticator, recovery codes, a passkey; and the pages of security in each look."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from playwright.sync_api import Browser, BrowserContext, Page, expect

from omniops.variables import NAMES

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "merry-linnet-quay"
MAKE = """
from django.contrib.auth.models import Group, User
made = User.objects.create_user("{name}", "{name}@omnichat.example.com", "{password}", is_staff=True)
made.groups.add(Group.objects.get(name="Support"))
"""


@pytest.fixture
def make_login(site: Any) -> Callable[[str], None]:
    """A login of its own, so that what a test sets up is asked of no other."""

    def make(name: str) -> None:
        folder = site.omnichat.parent
        bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
        urls = {
            "CONSOLE_DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
            "OMNICHAT_DATABASE_URL": f"sqlite:///{site.omnichat}",
        }
        command = [sys.executable, "manage.py", "shell", "-c", MAKE.format(name=name, password=PASSWORD)]
        subprocess.run(command, cwd=ROOT, env={**bare, **urls}, check=True, capture_output=True, timeout=120)

    return make


@pytest.fixture
def local(chromium: Browser, site: Any, watch: Any) -> Iterator[Page]:
    """A browser at http://localhost, where passkeys are allowed without https."""
    context: BrowserContext = chromium.new_context(base_url=site.url.replace("127.0.0.1", "localhost"))
    context.set_default_timeout(60_000)
    page = context.new_page()
    watch.follow(page)
    yield page
    context.close()


def log_in(page: Page, name: str) -> None:
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login/" not in url)


def log_out(page: Page, name: str) -> None:
    page.locator("summary", has=page.get_by_label(f"Account of {name}")).or_(
        page.get_by_label(f"Account of {name}")
    ).first.click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are logged out").wait_for()


def code_of(key: str) -> str:
    return format_hotp_value(hotp_value(key, list(yield_hotp_counters_from_time())[1]))


def test_an_authenticator_is_set_up_and_its_recovery_code_lets_in(make_login: Any, local: Page, axe: Any) -> None:
    make_login("pat")
    log_in(local, "pat")
    local.goto("/admin/security/")
    local.get_by_role("link", name="Manage").click()
    local.get_by_role("link", name="Set up an authenticator").click()
    assert axe(local) == []
    local.get_by_role("textbox", name="code").fill(code_of(local.locator("#totp-key").inner_text()))
    local.get_by_role("button", name="Set up").click()
    expect(local.locator(".codes code")).to_have_count(10)
    code = local.locator(".codes code").first.inner_text()
    log_out(local, "pat")
    log_in(local, "pat")
    local.get_by_role("heading", name="Second factor").wait_for()
    assert axe(local) == []
    local.get_by_label("Code").fill(code)
    local.get_by_role("button", name="Log in").click()
    local.wait_for_url("**/admin/")


def test_a_passkey_signs_in_alone(make_login: Any, local: Page, axe: Any) -> None:
    make_login("kim")
    with_authenticator(local)
    log_in(local, "kim")
    local.goto("/admin/security/second-factor/webauthn/add/")
    assert axe(local) == []
    local.get_by_role("textbox", name="Name", exact=False).last.fill("This laptop")
    local.get_by_label("Passwordless").check()
    local.get_by_role("button", name="Add a passkey").click()
    local.get_by_role("heading", name="Recovery codes").wait_for()
    local.goto("/admin/security/second-factor/webauthn/")
    local.get_by_role("rowheader", name="This laptop").wait_for()
    log_out(local, "kim")
    local.goto("/admin/login/?next=/admin/chat/user/")
    local.get_by_role("button", name="Use a passkey").click()
    local.wait_for_url(local.url.partition("/admin/")[0] + "/admin/chat/user/")
    local.goto("/admin/security/")
    assert "1 passkey" in local.locator(".card").first.inner_text()


def with_authenticator(page: Page) -> None:
    """Chromium's own stand-in of a device that has a fingerprint reader."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


PAGES = ("", "second-factor/", "second-factor-policy/", "confirm/", "second-factor/webauthn/")


def test_the_pages_of_security_look_right(enter: Callable[..., Page], fits: Callable[..., None]) -> None:
    page = enter("operator")
    for path in PAGES:
        page.goto(f"/admin/security/{path}")
        fits(page)
