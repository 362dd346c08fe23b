"""Decisions at Stripe with the console's tables on PostgreSQL, where two transactions run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from standins.stripe import StripeServer

# Three threads with connections of their own begin together; each line of their end is what one was told.
AT_ONCE = """
import json, sys, threading
from datetime import timedelta
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from billing import stripe_actions, stripe_refunds
from billing.models import BatteryTransaction, SubscriptionPlan, UserSubscription
from billing.stripe_actions import Refused
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import Needs, carry_out
from chat.models import User as Account
from console.models import StaffEvent
from console.stripe_decisions import Decision, SentBefore, perform

assert connections["default"].vendor == "postgresql"
stripe, by = stripe_of_settings(), User.objects.create_user("billing")
Account.objects.create(id="user_alice", email="alice@example.com", tier="free")
SubscriptionPlan.objects.filter(pk="starter").update(stripe_price_id_monthly=PRICE)
carry_out(stripe, Needs(CUSTOMER, subscriptions=True, payments={INTENT}))
looked_at, told = timezone.now(), []

def at_once(keys, work):
    start, failures = threading.Barrier(len(keys)), []
    def run(key):
        try:
            start.wait(60)
            work(key)
            told.append("done")
        except (Refused, SentBefore):
            told.append("told")
        except BaseException as failure:
            failures.append(repr(failure))
        finally:
            connections.close_all()
    threads = [threading.Thread(target=run, args=[key]) for key in keys]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures, failures

def refund(key):
    paid = stripe_refunds.look_at_payment(stripe, INTENT)
    perform(
        stripe, Decision("refund", "user_alice", INTENT, key, {"cents": 400}), by=by, looked_at=looked_at,
        act=lambda: stripe_refunds.refund(stripe, paid, 400, key=key),
        needs=lambda made: stripe_refunds.needs_of_refund(paid),
    )

def cancel(key):
    held = stripe_actions.look_at(stripe, SUBSCRIPTION)
    perform(
        stripe, Decision("cancel", "user_alice", SUBSCRIPTION, key), by=by, looked_at=looked_at,
        act=lambda: stripe_actions.cancel(stripe, held, key=key),
        needs=lambda after: stripe_actions.needs_of_subscription(held, after),
    )

def decisions():
    return list(StaffEvent.objects.filter(action__startswith="stripe.").order_by("id").values_list("action", flat=True))
"""
OTHERS = """
at_once(["one", "two", "three"], WORK)
print(json.dumps([sorted(told), decisions()]))
"""
# The one who came first died between Stripe's answer and the end: the others are held off, the same form ends it.
DIED = """
from console import stripe_decisions
usual, stripe_decisions._end = stripe_decisions._end, lambda *given: sys.exit()
try:
    WORK("one")
except SystemExit:
    stripe_decisions._end = usual
at_once(["two", "three"], WORK)
WORK("one")
print(json.dumps([sorted(told), decisions()]))
"""


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer(frozen=True) as server:
        yield server


@pytest.mark.parametrize(("work", "script"), [("refund", OTHERS), ("cancel", DIED)])
def test_of_several_who_decide_at_once_one_does_it(
    manage: Callable, postgresql_database: Callable[..., str], stripe: StripeServer, work: str, script: str
) -> None:
    alice = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    sub, session = stripe.subscribe(alice, "starter"), stripe.buy_pack(alice, 1000, 1000)
    marks = {
        "PRICE": stripe.prices["starter", "month"], "CUSTOMER": alice["id"], "SUBSCRIPTION": sub["id"],
        "INTENT": stripe.get(session)["payment_intent"],
    }  # fmt: skip
    given = "".join(f"{name} = {value!r}\n" for name, value in marks.items())
    variables = {
        "CONSOLE_DATABASE_URL": postgresql_database(), "STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url,
    }  # fmt: skip
    done = manage("setup_database", "--json", **variables)
    assert done.returncode == 0, done.stderr
    done = manage("shell", "-v0", "-c", given + AT_ONCE + script.replace("WORK", work), **variables)
    assert done.returncode == 0, done.stderr
    told = ["told", "told"] if script == DIED else ["done", "told", "told"]
    assert done.stdout.strip() == f'[{told!r}, ["stripe.{work}", "stripe.{work}.done"]]'.replace("'", '"')
    changed = [event for event in stripe.events if event["type"] == "customer.subscription.updated"]
    ended = [each for each in changed if "cancel_at_period_end" in each["data"]["previous_attributes"]]
    assert (len(stripe.all("refund")), len(ended)) == ((1, 0) if work == "refund" else (0, 1))
