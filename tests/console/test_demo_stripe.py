"""The demo's Stripe: a newcomer lets something happen there, and sees its effect in the console."""

from __future__ import annotations

import http.cookiejar
import json
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from chat.models import User as Account
from console import demo_stripe
from console.demo_logins import PASSWORDS
from standins.stripe import StripeServer
from tests.console.test_run_demo import demo, rows

SECONDS = 600


class Browser:
    """Logs in, and posts forms with their token."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> str:
        with self._opener.open(self.address + path, timeout=SECONDS) as page:
            return str(page.read().decode())

    def post(self, path: str, **fields: str) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path))
        assert token
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token[1]}).encode()
        with self._opener.open(self.address + path, body, timeout=SECONDS) as page:
            return str(page.read().decode())


def control(url: str, name: str, **given: Any) -> Any:
    request = urllib.request.Request(f"{url}/_control/{name}", json.dumps(given).encode())
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def test_a_newcomer_buys_a_pack_at_the_stand_in_and_sees_it_credited(tmp_path: Path) -> None:
    with demo(tmp_path) as (_, said, address):
        url = re.search(r"its API: (http://[\d.:]+)", said)
        assert url, said
        browser = Browser(address)
        browser.post("admin/login/", username="billing", password=PASSWORDS["billing"])
        page = browser.get("admin/stripe-standin/")
        who = re.search(r'name="who" value="([^"]+)"', page)
        assert who
        assert "Stripe stand-in</a>" in page
        assert "It happened" in browser.post("admin/stripe-standin/", who=who[1], deed="pack")
        found: list[Any] = []
        until = time.monotonic() + SECONDS
        while not found and time.monotonic() < until:
            found = rows(tmp_path, "SELECT user_id, amount FROM battery_transactions WHERE id GLOB 'pi:*'")
            time.sleep(0.2)
        user = rows(tmp_path, f"SELECT id, stripeCustomerId FROM users WHERE email = '{who[1]}'")[0]
        assert found == [(user[0], 5000)]
        customers = rows(tmp_path, "SELECT stripeCustomerId FROM users WHERE stripeCustomerId IS NOT NULL")
        assert control(url[1], "state")["objects"]["customer"] == len(customers)
        assert "payment_intent.succeeded" in browser.get("admin/console/inboxevent/")


@pytest.fixture
def standin(stripe: StripeServer, settings: Any) -> StripeServer:
    settings.STRIPE_STANDIN = stripe.url
    return stripe


def client(role: str) -> Client:
    user = User.objects.create_user(role, password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    found = Client()
    found.force_login(user)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("deed", demo_stripe.DEEDS)
def test_each_deed_makes_events_or_says_what_is_missing(standin: StripeServer, prices: None, deed: str) -> None:
    alice = standin.customer("alice@example.com", "Alice")
    Account.objects.create(id="user_alice", email="alice@example.com", stripe_customer_id=alice["id"], tier="paid")
    before = len(standin.events)
    page = client("Billing").post("/admin/stripe-standin/", {"who": "user_alice", "deed": deed}, follow=True)
    text = page.content.decode()
    if deed in ("pack", "subscribe", "month"):
        assert "It happened" in text
        assert len(standin.events) > before or deed == "month"
    else:
        assert "let them buy or subscribe first" in text


@pytest.mark.django_db
def test_who_may_not_replay_may_not_act_at_the_stand_in(standin: StripeServer) -> None:
    support = client("Support")
    assert "Let it happen" not in support.get("/admin/stripe-standin/").content.decode()
    assert support.post("/admin/stripe-standin/", {"who": "x", "deed": "pack"}).status_code == 403


@pytest.mark.django_db
def test_without_a_stand_in_there_is_no_such_page_and_no_badge() -> None:
    billing = client("Billing")
    assert billing.get("/admin/stripe-standin/").status_code == 404
    assert "Stripe stand-in" not in billing.get("/admin/").content.decode()


@pytest.mark.django_db
def test_a_user_who_is_not_there_is_told(standin: StripeServer) -> None:
    page = client("Billing").post("/admin/stripe-standin/", {"who": "nobody", "deed": "pack"}, follow=True)
    assert "Choose what happens" in page.content.decode()


@pytest.mark.django_db
def test_a_stand_in_that_is_gone_is_told(stripe: StripeServer, settings: Any) -> None:
    settings.STRIPE_STANDIN = "http://127.0.0.1:9"
    Account.objects.create(id="user_alice", email="alice@example.com", stripe_customer_id="cus_1")
    page = client("Billing").post("/admin/stripe-standin/", {"who": "user_alice", "deed": "pack"}, follow=True)
    assert "does not answer" in page.content.decode()
