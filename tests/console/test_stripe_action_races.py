"""Several members of staff, or one form several times, at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from billing import stripe_refunds
from billing.models import SubscriptionPlan, UserBattery
from billing.stripe_actions import Refused
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import Needs, carry_out
from billing.stripe_refunds import needs_of_refund
from chat.models import User as Account
from console.models import StaffEvent
from console.stripe_decisions import Decision, SentBefore, perform
from standins.stripe import StripeServer


def balance() -> int:
    return int(UserBattery.objects.get().total_balance)


def actions() -> list[str]:
    return list(StaffEvent.objects.filter(action__startswith="stripe.").order_by("id").values_list("action", flat=True))


def refund_at_once(keys: list[str]) -> list[str]:
    """What each of two members of staff, in a thread and connection each, is told."""
    told: list[str] = []
    both = threading.Barrier(len(keys))

    def one(key: str) -> None:
        try:
            stripe = stripe_of_settings()
            paid = stripe_refunds.payments_of(stripe, "user_alice").rows[0]
            looked_at, by = timezone.now(), User.objects.get()
            both.wait(60)
            perform(
                stripe, Decision("refund", "user_alice", paid.id, key, {"cents": 400}), by=by, looked_at=looked_at,
                act=lambda: stripe_refunds.refund(stripe, paid, 400, key=key), needs=lambda made: needs_of_refund(paid),
            )  # fmt: skip
            told.append("done")
        except (Refused, SentBefore):
            told.append("told")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(told)


@pytest.mark.parametrize("keys", [["one", "one", "one"], ["one", "other", "third"]])
def test_several_at_once_are_one_refund(files: Path, stripe: StripeServer, keys: list[str]):
    for plan in SubscriptionPlan.objects.all():
        SubscriptionPlan.objects.filter(pk=plan.pk).update(stripe_price_id_monthly=stripe.prices[plan.pk, "month"])
    User.objects.create_user("billing")
    Account.objects.create(id="user_alice", email="alice@example.com", tier="free")
    customer = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    intent = stripe.get(stripe.buy_pack(customer, 1000, 1000))["payment_intent"]
    carry_out(stripe_of_settings(), Needs(customer["id"], payments={intent}))
    told = refund_at_once(keys)
    assert "done" in told
    assert len(told) == 3
    if len(set(keys)) > 1:
        assert told == ["done", "told", "told"]
    assert [each["amount"] for each in stripe.all("refund")] == [400]
    assert balance() == 600
    assert actions() == ["stripe.refund", "stripe.refund.done"]
