"""Clerk's events: who signs up gets a row, a battery and a Stripe customer; who leaves is marked."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from billing import clerk_events
from billing.models import BatteryTransaction, UserBattery
from chat.models import User
from console import inbox, inbox_handling
from console.inbox_arrivals import arrival_of_clerk
from console.models import InboxEvent
from console.person import NOBODY, made_up_email
from database.models import AuditLog
from standins.stripe import StripeServer

pytestmark = pytest.mark.django_db


def person(email: str = "alice@example.com", first: str = "Alice", at: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": "user_alice",
        "first_name": first,
        "last_name": "Liddell",
        "image_url": "https://img.example.com/a.png",
        "primary_email_address_id": "idn_2",
        "email_addresses": [
            {"id": "idn_1", "email_address": "old@example.com"},
            {"id": "idn_2", "email_address": email},
        ],
        "updated_at": 1795348800000 + at,
        **more,
    }


def arrive(type: str, data: dict[str, Any], id: str = "") -> None:
    event = {"type": f"user.{type}", "data": data, "object": "event"}
    inbox.keep([arrival_of_clerk(event, id or f"msg_{type}_{data.get('updated_at')}")])


def work() -> None:
    inbox.work_off()
    assert not InboxEvent.objects.filter(state__in=("failed", "received")).exists()


def alice() -> User:
    return User.objects.get(pk="user_alice")


def test_who_signs_up_gets_a_row_a_battery_and_a_stripe_customer(stripe: StripeServer):
    arrive("created", person())
    work()
    user = alice()
    assert (user.email, user.name, user.avatar_url) == (
        "alice@example.com",
        "Alice Liddell",
        "https://img.example.com/a.png",
    )
    assert (user.tier, user.subscription_status) == ("free", "inactive")
    assert UserBattery.objects.get(pk="user_alice").total_balance == 0
    (customer,) = stripe.all("customer")
    assert (customer["id"], customer["email"], customer["name"]) == (user.stripe_customer_id, user.email, user.name)
    assert customer["metadata"] == {"userId": "user_alice"}
    entry = AuditLog.objects.get(action="users.create")
    assert entry.metadata["by"] == {"name": "clerk"}


def test_one_whom_the_app_has_made_already_keeps_what_is_there(stripe: StripeServer):
    User.objects.create(id="user_alice", email="alice@example.com", tier="paid", stripe_customer_id="cus_app")
    UserBattery.objects.create(user_id="user_alice", total_balance=70, daily_allowance=5)
    arrive("created", person())
    work()
    assert (alice().tier, alice().stripe_customer_id, alice().name) == ("paid", "cus_app", "Alice Liddell")
    assert UserBattery.objects.get().total_balance == 70
    assert stripe.all("customer") == []


def test_the_same_sign_up_twice_makes_one_customer(stripe: StripeServer):
    arrive("created", person(), "msg_1")
    arrive("created", person(), "msg_2")
    work()
    arrive("created", person(), "msg_3")
    work()
    assert len(stripe.all("customer")) == 1


def test_email_and_name_follow_clerk(stripe: StripeServer):
    arrive("created", person())
    work()
    arrive("updated", person("new@example.com", "Alicia", at=2))
    work()
    assert (alice().email, alice().name) == ("new@example.com", "Alicia Liddell")
    change = AuditLog.objects.filter(action="users.update", user_id="user_alice").exclude(metadata__contains="cus_")[0]
    assert change.metadata["before"] == {"email": "alice@example.com", "name": "Alice Liddell"}


def test_in_any_order_the_newest_counts(stripe: StripeServer):
    events = [("created", person()), ("updated", person(first="Bea", at=2)), ("updated", person(first="Cara", at=3))]
    for order in itertools.permutations(events):
        InboxEvent.objects.all().delete()
        User.objects.filter(pk="user_alice").update(name="nobody")
        for type, data in order:
            arrive(type, data)
            work()
        assert alice().name == "Cara Liddell"


def test_who_leaves_is_marked_and_nothing_is_deleted(stripe: StripeServer):
    arrive("created", person())
    work()
    BatteryTransaction.objects.create(id="1", user_id="user_alice", type="bonus", amount=5, balance_after=5)
    arrive("deleted", {"id": "user_alice", "deleted": True}, "msg_9")
    work()
    mark = AuditLog.objects.get(action=clerk_events.DELETED)
    assert (mark.user_id, mark.metadata["by"]) == ("user_alice", {"name": "clerk"})
    assert (alice().email, BatteryTransaction.objects.count()) == ("alice@example.com", 1)


def test_a_stale_update_after_the_deletion_changes_nothing(stripe: StripeServer):
    arrive("created", person())
    work()
    arrive("deleted", {"id": "user_alice", "deleted": True}, "msg_9")
    work()
    arrive("updated", person(first="Late", at=9))
    work()
    assert alice().name == "Alice Liddell"
    assert AuditLog.objects.filter(action=clerk_events.DELETED).count() == 1


def test_one_who_was_deleted_here_gets_no_name_again(stripe: StripeServer):
    arrive("created", person())
    work()
    User.objects.update(email=made_up_email("user_alice"), name=NOBODY, stripe_customer_id=None)
    arrive("updated", person(first="Late", at=9))
    work()
    assert (alice().email, alice().name) == (made_up_email("user_alice"), NOBODY)
    assert len(stripe.all("customer")) == 1
    arrive("deleted", {"id": "user_alice", "deleted": True}, "msg_9")
    work()
    assert AuditLog.objects.filter(action=clerk_events.DELETED).count() == 1


def test_one_who_left_before_the_sign_up_came_is_not_made(stripe: StripeServer):
    arrive("deleted", {"id": "user_alice", "deleted": True}, "msg_9")
    work()
    arrive("created", person())
    work()
    assert not User.objects.exists()
    assert stripe.all("customer") == []


def test_an_email_that_another_user_has_is_parked(stripe: StripeServer):
    User.objects.create(id="user_bob", email="alice@example.com")
    arrive("created", person())
    work()
    event = InboxEvent.objects.get()
    assert event.state == "parked"
    assert event.error.startswith("Another user, user_bob, has the email address of user_alice")
    assert User.objects.count() == 1


@pytest.mark.parametrize("data", [{"id": "nobody"}, {"id": "user_alice", "email_addresses": []}, {"id": 7}])
def test_a_user_that_omnichat_cannot_hold_is_parked(stripe: StripeServer, data: dict[str, Any]):
    arrive("created", data, "msg_1")
    work()
    assert InboxEvent.objects.get().state == "parked"
    assert not User.objects.exists()


def test_while_stripe_is_down_the_user_is_there_and_the_customer_follows(
    stripe: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    client = inbox_handling.stripe_of_settings()
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    stripe.fault("500", times=50)
    arrive("created", person())
    assert inbox.work_off().stopped
    assert alice().stripe_customer_id is None
    stripe.faults.clear()
    InboxEvent.objects.update(next_at=None)
    work()
    assert alice().stripe_customer_id == stripe.all("customer")[0]["id"]


def test_without_a_key_of_stripe_the_user_is_made_all_the_same(stripe: StripeServer, settings: Any):
    settings.STRIPE_SECRET_KEY = ""
    arrive("created", person())
    work()
    assert alice().stripe_customer_id is None
    assert any("create_stripe_customers" in line for line in InboxEvent.objects.get().effect)


def test_observing_makes_nobody(stripe: StripeServer, settings: Any):
    settings.STRIPE_EFFECTS = "observe"
    arrive("created", person())
    work()
    assert not User.objects.exists()
    assert any("users user_alice: made" in line for line in InboxEvent.objects.get().effect)
