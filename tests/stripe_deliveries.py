"""Alice, who pays through the stand-in of Stripe, and what events about her brought about."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import BatteryTransaction, UserBattery
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import carry_out, needs_of
from chat.models import User
from standins.stripe import StripeServer

Thing = dict[str, Any]


@pytest.fixture
def alice(stripe: StripeServer) -> Thing:
    """A user, and her customer at Stripe, whom nothing links yet but the customer's metadata."""
    User.objects.create(id="user_alice", email="alice@example.com", tier="free", subscription_status="inactive")
    return stripe.customer("alice@example.com", "Alice", user_id="user_alice")


def work(event: Thing) -> Any:
    return carry_out(stripe_of_settings(), needs_of(event))


def deliver(stripe: StripeServer, *types: str, version: str | None = None, start: int = 0) -> list[Any]:
    """Work off all events since `start`, or those of the types, one after the other."""
    events = [stripe.event(event, version) for event in stripe.events[start:]]
    chosen = [event for event in events if not types or event["type"] in types]
    assert chosen
    return [work(event) for event in chosen]


def user() -> tuple[Any, ...]:
    found = User.objects.get(pk="user_alice")
    return found.tier, found.subscription_status, found.subscription_id


def ledger() -> dict[str, int]:
    return dict(BatteryTransaction.objects.order_by("id").values_list("id", "amount"))


def credited() -> list[int]:
    return sorted(ledger().values())


def balance() -> int:
    return sum(UserBattery.objects.values_list("total_balance", flat=True))


def intent_of(stripe: StripeServer, session: Thing) -> str:
    return str(stripe.get(session)["payment_intent"])
