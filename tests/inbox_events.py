"""Events of Stripe in the inbox, and what became of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.models import BatteryTransaction
from chat.models import User
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxEvent
from standins.stripe import StripeServer

Thing = dict[str, Any]


@pytest.fixture
def alice(stripe: StripeServer, prices: None) -> Thing:
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")
    return stripe.customer("alice@example.com", "Alice", user_id="user_alice")


def keep(stripe: StripeServer, *types: str, **cells: Any) -> list[Thing]:
    """Keep the events of these types, or all."""
    events = [{**event, **cells} for event in stripe.events if not types or event["type"] in types]
    inbox.keep([arrival_of_stripe(event) for event in events])
    return events


def states() -> dict[str, int]:
    rows = InboxEvent.objects.values_list("state", flat=True)
    return {state: list(rows).count(state) for state in set(rows)}


def credited() -> list[int]:
    return sorted(BatteryTransaction.objects.values_list("amount", flat=True))


def wake() -> None:
    InboxEvent.objects.exclude(next_at=None).update(next_at=timezone.now())
