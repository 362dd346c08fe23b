"""After a restore: grants and events whose effect is gone are listed, and applied again under their old ids."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User as Login
from django.db import connections
from django.utils import timezone

from billing.models import BatteryTransaction, UserBattery
from chat.models import User
from console import grants, inbox, missing_effects
from console.grant_reversal import reverse
from console.inbox_arrivals import arrival_of_clerk, arrival_of_stripe
from console.models import Grant, InboxEvent
from database.after_restore import apply_again
from database.after_restore import missing_effects as missing
from database.models import AuditLog
from standins.stripe import StripeServer

pytestmark = pytest.mark.django_db


def alice() -> None:
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")


def restored_to_before() -> None:
    """As a restore of a backup from before everything leaves it."""
    BatteryTransaction.objects.all().delete()
    UserBattery.objects.update(total_balance=0)


def given(units: int, by: Any = "olga") -> Grant:
    (grant,) = grants.decide([grants.Wish("user_alice", "alice@example.com", units, "goodwill", "sorry")], by=by)
    grants.apply([grant])
    return Grant.objects.get(pk=grant.pk)


def balance() -> int:
    return int(UserBattery.objects.get(pk="user_alice").total_balance or 0)


def test_nothing_is_missing_where_all_is_there() -> None:
    alice()
    given(500)
    assert missing() == []


def test_a_grant_whose_entry_is_gone_is_listed_and_given_again_once() -> None:
    alice()
    grant, kept = given(500), given(70)
    BatteryTransaction.objects.filter(pk=grant.entry_id).delete()
    UserBattery.objects.update(total_balance=70)
    (found,) = missing()
    assert (found.kind, found.id, found.text) == ("grant", str(grant.pk), "500 units for alice@example.com")
    assert apply_again([found, found]) == (2, [])
    assert (missing(), balance()) == ([], 570)
    assert BatteryTransaction.objects.filter(pk__in=(grant.entry_id, kept.entry_id)).count() == 2
    grant.refresh_from_db()
    assert grant.state == Grant.State.APPLIED


def test_what_was_taken_back_is_taken_back_again_after_it_was_given() -> None:
    alice()
    olga = Login.objects.create_superuser("olga")
    grant = given(500, olga)
    assert reverse(grant, 300, by=olga, text="twice") == 300
    old = given(100)
    Grant.objects.filter(pk=old.pk).update(expiry_units=40, expired_units=40, expired_at=timezone.now())
    restored_to_before()
    assert [each.kind for each in missing()] == ["grant", "grant", "grant reversal", "grant expiry"]
    assert apply_again(missing()) == (4, [])
    assert (missing(), balance()) == ([], 260)


def test_a_grant_to_a_user_who_is_gone_is_told_and_stops_no_other() -> None:
    alice()
    gone, there = given(500), given(70)
    Grant.objects.filter(pk=gone.pk).update(user_id="user_gone")
    restored_to_before()
    done, problems = apply_again(missing())
    assert (done, balance()) == (1, 70)
    assert problems == [f"grant {gone.pk}: The ledger says of {gone.entry_id}: unknown user."]
    assert BatteryTransaction.objects.filter(pk=there.entry_id).exists()


def test_a_payment_whose_credit_is_gone_is_listed_and_credited_again(stripe: StripeServer, prices: None) -> None:
    alice()
    customer = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    stripe.subscribe(customer, "starter")
    stripe.buy_pack(customer, 999, 5000)
    inbox.keep([arrival_of_stripe(event) for event in stripe.events])
    inbox.work_off()
    assert balance() == 11_000
    assert missing() == []
    restored_to_before()
    found = missing()
    assert {each.kind for each in found} == {"payment event"}
    paid = InboxEvent.objects.get(type="invoice.paid")
    assert any(each.id == paid.event_id and "invoice:" in each.text for each in found)
    assert apply_again(found) == (len(found), [])
    assert (missing(), balance()) == ([], 11_000)


def test_an_event_that_fails_again_is_told(stripe: StripeServer, prices: None) -> None:
    alice()
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "starter")
    inbox.keep([arrival_of_stripe(event) for event in stripe.events])
    inbox.work_off()
    restored_to_before()
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("UPDATE user_battery SET total_balance = 'many'")
    paid = InboxEvent.objects.get(type="invoice.paid")
    _, problems = apply_again(each for each in missing() if each.id == paid.event_id)
    assert len(problems) == 1
    assert problems[0].startswith(f"payment event {paid.event_id}: ")


def clerk(kind: str, id: str) -> None:
    data: dict[str, Any] = {"id": "user_2bob"}
    if kind != "user.deleted":
        data |= {"email_addresses": [{"id": "e", "email_address": "bob@example.com"}], "primary_email_address_id": "e"}
    inbox.keep([arrival_of_clerk({"type": kind, "data": data}, id)])
    inbox.work_off()


def test_a_user_who_signed_up_since_is_listed_and_made_again(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    clerk("user.created", "msg_1")
    UserBattery.objects.all().delete()
    AuditLog.objects.all().delete()
    User.objects.all().delete()
    assert [(each.kind, each.id, each.text) for each in missing()] == [
        ("user event", "msg_1", "user.created, user_2bob")
    ]
    assert apply_again(missing()) == (1, [])
    assert User.objects.get(pk="user_2bob").email == "bob@example.com"
    assert missing() == []


def test_a_user_who_left_since_is_marked_again(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    clerk("user.created", "msg_1")
    clerk("user.deleted", "msg_2")
    assert missing() == []
    AuditLog.objects.filter(pk="deleted:user_2bob").delete()
    assert [each.id for each in missing()] == ["msg_2"]
    assert apply_again(missing()) == (1, [])
    assert AuditLog.objects.filter(pk="deleted:user_2bob").exists()


def test_a_console_that_was_never_set_up_knows_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_effects, "_is_set_up", lambda model: False)
    alice()
    given(500)
    restored_to_before()
    assert missing() == []
