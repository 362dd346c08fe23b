"""The cases that docs/webhooks.md lists: each has its tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from billing.models import BatteryTransaction, UserSubscription
from chat.models import User
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxEvent
from standins.stripe import StripeServer

TESTS = Path(__file__).resolve().parent.parent


def subscribed(stripe: StripeServer) -> dict[str, str]:
    """The customer of a user who subscribed."""
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")
    customer = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    stripe.subscribe(customer, "starter")
    return customer


def test_each_case_names_tests_that_are_there():
    page = (TESTS.parent / "docs" / "webhooks.md").read_text().split("## What has to hold", 1)[1]
    cases = [line for line in page.splitlines() if line.startswith("| ")][1:]
    there = {
        name for path in TESTS.glob("*/test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert len(cases) >= 25
    for case in cases:
        named = re.findall(r"`(test_\w+)`", case)
        assert named, case
        assert set(named) <= there, case


@pytest.mark.django_db
@pytest.mark.parametrize("version", ["2019-12-03", "2024-06-20", "2031-01-01.future", ""])
def test_an_event_of_any_api_version_ends_in_the_same(stripe: StripeServer, prices: None, version: str):
    subscribed(stripe)
    inbox.keep([arrival_of_stripe({**event, "api_version": version}) for event in stripe.events])
    assert inbox.work_off().count("failed", "parked") == 0
    assert set(InboxEvent.objects.values_list("api_version", flat=True)) == {version}
    assert list(BatteryTransaction.objects.values_list("amount", flat=True)) == [6000]


@pytest.mark.django_db
def test_the_inbox_keeps_the_status_that_omnichat_cannot_hold(stripe: StripeServer, prices: None):
    stripe.decline(subscribed(stripe))
    stripe.advance(days=70)
    inbox.keep([arrival_of_stripe(event) for event in stripe.events])
    inbox.work_off()
    assert UserSubscription.objects.get().status == "past_due"
    updates = InboxEvent.objects.filter(type="customer.subscription.updated")
    assert "unpaid" in {json.loads(event.payload)["data"]["object"]["status"] for event in updates}
