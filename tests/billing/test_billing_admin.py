"""The pages of plans, subscriptions and the battery."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from billing.models import BatteryTransaction, SubscriptionPlan, UserBattery, UserSubscription
from chat.models import User
from database.models import AuditLog

pytestmark = pytest.mark.django_db


def change(name: str, pk: str) -> str:
    return reverse(f"admin:billing_{name}_change", args=[pk])


def listed(client: Client, name: str, **parameters: str) -> list[str]:
    response = client.get(f"{reverse(f'admin:billing_{name}_changelist')}?{urlencode(parameters)}")
    return [row.pk for row in response.context["cl"].result_list]


def inputs(response: Any) -> dict[str, str]:
    """What a browser would send of the page's form, untouched."""
    form = response.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    found = re.findall(r'<input type="hidden" name="(shown-[^"]+)" value="([^"]*)"', response.content.decode())
    values |= {name: html.unescape(value) for name, value in found}
    return {name: "" if value is None else str(value) for name, value in values.items()}


@pytest.fixture
def subscription(db: Any) -> UserSubscription:
    User.objects.create(id="user_1", email="alice@example.com")
    UserSubscription.objects.create(
        id="s1", user_id="user_1", plan_id="power", status="active", stripe_customer_id="cus_1",
        stripe_subscription_id="sub_1", current_period_end="2026-12-22T14:03:09.000Z",
    )  # fmt: skip
    return UserSubscription.objects.get(pk="s1")


def test_prices_are_money_and_batteries_have_their_unit(admin_client: Client) -> None:
    page = re.sub(
        r"<[^>]+>", "", admin_client.get(reverse("admin:billing_subscriptionplan_changelist")).content.decode()
    )
    for shown in ("$4.99", "$767.90", "150,000 units", "5,000 units"):
        assert shown in page


def test_a_plan_is_saved_with_its_entry(admin_client: Client) -> None:
    form = inputs(admin_client.get(change("subscriptionplan", "power")))
    response = admin_client.post(change("subscriptionplan", "power"), {**form, "price_monthly": "3099"})
    assert response.status_code == 302, response.context["errors"]
    assert SubscriptionPlan.objects.get(pk="power").price_monthly == 3099
    entry = AuditLog.objects.get()
    assert entry.metadata["before"] == {"price_monthly": 2999}
    assert entry.metadata["after"] == {"price_monthly": 3099}


@pytest.mark.parametrize(("plan", "name"), [("power", "stripe_price_id_annual"), ("daily", "stripe_price_id_monthly")])
def test_a_price_stands_at_one_plan_and_interval_alone(admin_client: Client, plan: str, name: str) -> None:
    SubscriptionPlan.objects.filter(pk="power").update(stripe_price_id_monthly="price_1")
    address = change("subscriptionplan", plan)
    form = inputs(admin_client.get(address))
    response = admin_client.post(address, {**form, name: "price_1"})
    assert "stands at another plan or interval already" in response.content.decode()
    assert admin_client.post(address, {**form, name: "price_2"}).status_code == 302
    assert getattr(SubscriptionPlan.objects.get(pk=plan), name) == "price_2"


def test_a_subscription_changes_its_plan_and_keeps_its_user(
    admin_client: Client, subscription: UserSubscription
) -> None:
    page = admin_client.get(change("usersubscription", "s1"))
    assert "user" not in page.context["adminform"].form.fields
    response = admin_client.post(change("usersubscription", "s1"), {**inputs(page), "plan": "daily", "user": "user_2"})
    assert response.status_code == 302, response.context["errors"]
    subscription.refresh_from_db()
    assert (subscription.plan_id, subscription.user_id) == ("daily", "user_1")
    assert AuditLog.objects.get().user_id == "user_1"


def test_a_status_that_nobody_knows_is_refused(admin_client: Client, subscription: UserSubscription) -> None:
    form = inputs(admin_client.get(change("usersubscription", "s1")))
    response = admin_client.post(change("usersubscription", "s1"), {**form, "status": "dreaming"})
    assert response.status_code == 200
    assert response.context["errors"]
    assert not AuditLog.objects.exists()


@pytest.mark.sqlite_only("D1 always checks foreign keys")
def test_a_plan_that_is_gone_stays_when_the_status_is_saved(admin_client: Client, subscription: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("PRAGMA defer_foreign_keys = ON")
        cursor.execute("UPDATE user_subscriptions SET plan_id = 'gone'")
    page = admin_client.get(change("usersubscription", "s1"))
    assert page.status_code == 200
    response = admin_client.post(change("usersubscription", "s1"), {**inputs(page), "plan": "", "status": "canceled"})
    assert response.status_code == 302, response.context["errors"]
    subscription.refresh_from_db()
    assert (subscription.plan_id, subscription.status) == ("gone", "canceled")
    UserSubscription.objects.all().delete()


def test_the_ledger_and_balances_are_only_read(admin_client: Client) -> None:
    User.objects.create(id="user_1", email="alice@example.com")
    BatteryTransaction.objects.create(id="t1", user_id="user_1", type="usage", amount=-5, balance_after=95)
    UserBattery.objects.create(user_id="user_1", total_balance=95, daily_allowance=200)
    for name, pk in (("batterytransaction", "t1"), ("userbattery", "user_1")):
        page = admin_client.get(change(name, pk))
        assert page.status_code == 200
        assert not page.context["adminform"].form.fields
        assert 'type="submit" value="Save"' not in page.content.decode()
        assert admin_client.post(change(name, pk), {"amount": 5, "total_balance": 1000}).status_code == 403
    assert BatteryTransaction.objects.get().amount == -5
    assert UserBattery.objects.get().total_balance == 95


def test_transactions_are_found(admin_client: Client) -> None:
    User.objects.create(id="user_1", email="alice@example.com")
    BatteryTransaction.objects.create(
        id="t1", user_id="user_1", type="purchase", amount=5, stripe_payment_intent_id="pi_1"
    )
    BatteryTransaction.objects.create(id="t2", user_id="legacy-7", type="usage", amount=-1)
    for term in ("user_1", "pi_1", "t1", "alice@", "Alice@Example.com"):
        assert listed(admin_client, "batterytransaction", q=term) == ["t1"], term
    assert listed(admin_client, "batterytransaction", q="legacy-7") == ["t2"]
    assert listed(admin_client, "batterytransaction", type="usage") == ["t2"]
    assert listed(admin_client, "batterytransaction", q="user_1", type="usage") == []


def test_subscriptions_are_found(admin_client: Client, subscription: UserSubscription) -> None:
    for term in ("user_1", "cus_1", "sub_1", "s1", "alice@example.com"):
        assert listed(admin_client, "usersubscription", q=term) == ["s1"], term
    for name, value in (("plan", "power"), ("status", "active"), ("user", "user_1")):
        assert listed(admin_client, "usersubscription", **{name: value}) == ["s1"]
        assert listed(admin_client, "usersubscription", **{name: "x"}) == []


def test_batteries_are_found(admin_client: Client) -> None:
    User.objects.create(id="user_1", email="alice@example.com")
    UserBattery.objects.create(user_id="user_1", total_balance=95)
    assert listed(admin_client, "userbattery", q="user_1") == ["user_1"]
    assert listed(admin_client, "userbattery", q="alice@") == ["user_1"]
    assert listed(admin_client, "userbattery", q="user_2") == []


def test_a_plan_leads_to_its_subscriptions_and_back(admin_client: Client, subscription: UserSubscription) -> None:
    url = f"{reverse('admin:billing_usersubscription_changelist')}?plan=power"
    assert f'href="{url}"' in admin_client.get(change("subscriptionplan", "power")).content.decode()
    assert f'href="{change("subscriptionplan", "power")}"' in admin_client.get(url).content.decode()
