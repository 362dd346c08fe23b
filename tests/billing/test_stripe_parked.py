"""Events that nobody can settle by themselves: parked, without a credit and never with a guess."""

from __future__ import annotations

import pytest

from billing.models import SubscriptionPlan, UserSubscription
from billing.stripe_accounts import Parked
from billing.stripe_api import stripe_of_settings
from chat.models import User
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, deliver, ledger, user

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


def test_a_customer_that_no_user_has_is_parked(stripe: StripeServer):
    stripe.subscribe(stripe.customer("nobody@example.com", "Nobody"), "starter")
    with pytest.raises(Parked, match="name none"):
        deliver(stripe, "customer.subscription.created")


def test_a_user_who_is_not_known_yet_is_parked_without_credit(stripe: StripeServer):
    customer = stripe.customer("bob@example.com", "Bob", user_id="user_bob")
    stripe.subscribe(customer, "starter")
    stripe.buy_pack(customer, 999, 5000)
    for type in ("invoice.paid", "payment_intent.succeeded"):
        with pytest.raises(Parked, match="user_bob, who is not known"):
            deliver(stripe, type)
    assert ledger() == {}


def test_metadata_that_name_another_user_than_the_customers_are_parked(stripe: StripeServer, alice: Thing):
    User.objects.create(id="user_bob", email="bob@example.com")
    User.objects.filter(pk="user_alice").update(stripe_customer_id=alice["id"])
    stripe.buy_pack(alice, 999, 5000, metadata={"userId": "user_bob", "units": "5000"})
    with pytest.raises(Parked, match="belongs to user_alice, and metadata name user_bob"):
        deliver(stripe, "payment_intent.succeeded")
    stripe.change_customer(alice, metadata={"userId": "user_bob"})
    stripe.subscribe(alice, "starter", metadata={})
    with pytest.raises(Parked, match="belongs to user_alice"):
        deliver(stripe, "customer.subscription.created")
    assert ledger() == {}


def test_a_user_who_has_another_customer_is_parked(stripe: StripeServer, alice: Thing):
    User.objects.filter(pk="user_alice").update(stripe_customer_id="cus_other")
    stripe.subscribe(alice, "starter")
    with pytest.raises(Parked, match="who has cus_other"):
        deliver(stripe, "customer.subscription.created")


def test_a_customer_that_two_users_have_is_parked(stripe: StripeServer, alice: Thing):
    User.objects.create(id="user_bob", email="bob@example.com", stripe_customer_id=alice["id"])
    User.objects.filter(pk="user_alice").update(stripe_customer_id=alice["id"])
    stripe.subscribe(alice, "starter")
    with pytest.raises(Parked, match="Several users"):
        deliver(stripe, "invoice.paid")


def test_an_unknown_price_is_parked_and_never_a_default_plan(stripe: StripeServer, alice: Thing):
    SubscriptionPlan.objects.filter(pk="power").update(stripe_price_id_monthly=None)
    stripe.subscribe(alice, "power")
    for type in ("customer.subscription.created", "invoice.paid"):
        with pytest.raises(Parked, match="No plan has the price price_"):
            deliver(stripe, type)
    assert (ledger(), UserSubscription.objects.count(), user()[0]) == ({}, 0, "free")


@pytest.mark.parametrize("other", ["starter", "power"])
def test_a_price_that_stands_twice_is_parked_and_never_guessed(stripe: StripeServer, alice: Thing, other: str):
    monthly = stripe.prices["starter", "month"]
    SubscriptionPlan.objects.filter(pk=other).update(stripe_price_id_annual=monthly)
    stripe.subscribe(alice, "starter")
    for type in ("customer.subscription.created", "invoice.paid"):
        with pytest.raises(Parked, match=f"The price {monthly} stands at several"):
            deliver(stripe, type)
    assert (ledger(), user()[0]) == ({}, "free")


def test_one_that_ended_at_a_price_that_is_gone_stands_in_nobodys_way(stripe: StripeServer, alice: Thing):
    old = stripe.subscribe(alice, "power")
    stripe.cancel(old, at_period_end=False)
    SubscriptionPlan.objects.filter(pk="power").update(stripe_price_id_monthly=None)
    new = stripe.subscribe(alice, "starter")
    deliver(stripe, "customer.subscription.created")
    assert user() == ("paid", "active", new["id"])


def test_what_is_of_the_other_mode_is_parked(stripe: StripeServer, alice: Thing):
    stripe.buy_pack(alice, 999, 5000)
    client = stripe_of_settings()
    client.is_live = True
    try:
        with pytest.raises(Parked, match="other mode"):
            deliver(stripe, "payment_intent.succeeded")
    finally:
        client.is_live = False
