"""Keys and secrets of Stripe and Clerk are in no log, page, database or report of an error."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connections
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter

from chat.models import User as Account
from console import inbox, inbox_handling
from console.models import InboxEvent
from console.views import webhooks
from standins.stripe import StripeServer
from tests.console.test_webhooks import CLERK_SECRET, clerk_delivery, deliver

pytestmark = pytest.mark.django_db
SECRETS = ("sk_test_standin", "sk_test_refused", "whsec_test", "whsec_another", CLERK_SECRET, "sk_clerk_hidden")
#: What of Stripe's lets somebody pay: `pi_..._secret_...`.
CLIENT_SECRET = re.compile(r"_secret_[0-9a-zA-Z]{8,}")


@pytest.fixture
def everything(stripe: StripeServer, prices: None, settings: Any, caplog: pytest.LogCaptureFixture) -> StripeServer:
    """Events of all kinds, good ones and bad ones, worked off while Stripe falters, all logged."""
    caplog.set_level(logging.DEBUG)
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_another", "whsec_test"]
    settings.CLERK_WEBHOOK_SECRETS, settings.CLERK_SECRET_KEY = [CLERK_SECRET], "sk_clerk_hidden"
    Account.objects.create(id="user_alice", email="alice@example.com")
    alice = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    stripe.subscribe(alice, "starter")
    stripe.buy_pack(alice, 999, 5000)
    stripe.buy_pack(stripe.customer("bob@example.com", "Bob", user_id="user_bob"), 999, 5000)
    for event in stripe.events:
        assert deliver(stripe, event).status_code == 200
    deliver(stripe, stripe.events[0], secret="whsec_wrong")
    clerk_delivery({"id": "user_carol", "email_addresses": [], "updated_at": 1})
    stripe.fault("429", times=2)
    inbox.work_off()
    settings.STRIPE_SECRET_KEY = "sk_test_refused"
    InboxEvent.objects.update(state="received", next_at=None)
    assert "refuses the key" in inbox.work_off().stopped
    settings.STRIPE_SECRET_KEY = stripe.key
    return stripe


def assert_no_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []
    assert CLIENT_SECRET.findall(text) == []


def test_no_secret_is_in_a_database(everything: StripeServer):
    for alias in ("default", "omnichat"):
        for model in apps.get_models():
            if model._meta.managed == (alias == "default"):
                table = model._meta.db_table
                with connections[alias].cursor() as cursor:
                    cursor.execute(f'SELECT * FROM "{table}"')
                    assert_no_secret(repr(cursor.fetchall()))


def test_no_secret_is_in_a_log(everything: StripeServer, caplog: pytest.LogCaptureFixture):
    logged = "\n".join(record.getMessage() for record in caplog.get_records("setup"))
    assert "/v1/subscriptions" in logged
    assert_no_secret(logged)


def test_no_secret_is_on_a_page(everything: StripeServer):
    user = User.objects.create_user("operator", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name="Operator"))
    client = Client()
    client.force_login(user)
    pages = [reverse("admin:console_inboxevent_changelist"), "/admin/"]
    for event in InboxEvent.objects.all():
        pages += [event.get_absolute_url(), reverse("admin:console_inboxevent_replay", args=[event.pk])]
    for page in pages:
        answer = client.get(page)
        assert answer.status_code == 200
        assert_no_secret(answer.content.decode())


def test_no_secret_is_in_an_answer(everything: StripeServer):
    for event in everything.events[:2]:
        assert_no_secret(deliver(everything, event, secret="whsec_wrong").content.decode())


def report_of(function: Callable[..., Any], *arguments: Any) -> str:
    """What Django would send of the error that a function raises, without the frame of this test."""
    try:
        function(*arguments)
    except Exception as error:
        trace = error.__traceback__
        request = arguments[0] if isinstance(arguments[0], HttpRequest) else RequestFactory().get("/")
        report = ExceptionReporter(request, type(error), error, trace and trace.tb_next)
        return str(report.get_traceback_text() + report.get_traceback_html())
    raise AssertionError("nothing was raised")


def fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("broken", ["console.inbox.keep", "stripe.WebhookSignature.verify_header"])
def test_no_secret_is_in_the_report_of_an_error(everything: StripeServer, monkeypatch: pytest.MonkeyPatch, broken: str):
    monkeypatch.setattr(broken, fail)
    body, headers = everything.signed(everything.events[0])
    request = RequestFactory().post("/webhooks/stripe/", body, content_type="application/json", headers=headers)
    report = report_of(webhooks.stripe, request)
    assert "on purpose" in report
    assert_no_secret(report)
    assert headers["Stripe-Signature"] not in report


def test_no_secret_is_in_the_report_of_an_error_while_an_event_is_worked_off(
    everything: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stripe.StripeClient.raw_request", fail)
    report = report_of(inbox_handling.preview, InboxEvent.objects.filter(type="invoice.paid")[0])
    assert "RuntimeError" in report
    assert_no_secret(report)
