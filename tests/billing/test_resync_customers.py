"""Customers of whom OmniChat and Stripe disagree: missing, of somebody else, several of one person's."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.models import UserSubscription
from billing.resync.run import Wish
from chat.models import User
from standins.stripe import StripeServer
from tests.resyncs import brought, own_folder, set_user, subscribed, without_search
from tests.resyncs import resync_alike as resync
from tests.stripe_deliveries import Thing, alice, deliver

__all__ = ["alice", "own_folder", "subscribed"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


def test_a_customer_that_only_names_its_user_is_linked(stripe: StripeServer, alice: Thing):
    assert brought(resync()) == {("customer_not_linked", "repaired")}
    assert User.objects.get().stripe_customer_id == alice["id"]


def test_a_customer_that_stripe_does_not_have_is_left(stripe: StripeServer):
    User.objects.create(id="user_bob", email="b@example.com", tier="free", stripe_customer_id="cus_NoneAtAll00")
    assert brought(resync()) == {("customer_missing_in_stripe", "left")}
    assert brought(resync(Wish(("user_bob",)))) == {("customer_missing_in_stripe", "left")}


def test_a_wrong_key_takes_nobodys_tier(stripe: StripeServer, subscribed: Thing):
    stripe.reset(seed=99)
    found = resync()
    assert ("customer_missing_in_stripe", "left") in brought(found)
    assert not any(each.action == "repaired" for each in found)
    assert User.objects.get().tier == "paid"


def test_a_customer_of_nobody_here_is_left(stripe: StripeServer):
    stripe.customer("c@example.com", "Charlie", user_id="user_charlie")
    (found,) = resync()
    assert (found.kind, found.user_id, found.action) == ("customer_unknown_here", "user_charlie", "left")


def test_an_email_that_differs_is_told(stripe: StripeServer, subscribed: Thing):
    set_user(email="alice@new.example.com")
    assert brought(resync()) == {("email_differs", "left")}
    set_user(email="ALICE@example.com")
    assert resync() == []


def test_several_users_with_one_customer_and_other_names_are_left(
    stripe: StripeServer, subscribed: Thing, alice: Thing
):
    User.objects.create(id="user_bob", email="alice@EXAMPLE.com", tier="free", stripe_customer_id=alice["id"])
    kinds = {(each.kind, each.user_id) for each in resync()}
    assert ("customer_shared", "user_alice") in kinds
    assert ("customer_of_other_user", "user_bob") in kinds


@pytest.mark.parametrize("searches", [True, False])
def test_two_customers_of_one_person_are_told(
    stripe: StripeServer, subscribed: Thing, monkeypatch: pytest.MonkeyPatch, searches: bool
):
    """By any email where Stripe searches, and by the user's where it does not."""
    stripe.customer("A@example.com" if searches else "alice@example.com", "Alice", user_id="user_alice")
    if searches:
        stripe.advance(seconds=90)
    else:
        without_search(monkeypatch)
    assert brought(resync()) == {("two_customers", "left")}


@pytest.mark.parametrize("is_whole", [True, False])
def test_who_pays_by_another_customer_is_not_made_free(
    stripe: StripeServer, subscribed: Thing, alice: Thing, is_whole: bool
):
    second = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    other = stripe.subscribe(second, "power")
    UserSubscription.objects.create(
        id="s2", user_id="user_alice", plan_id="power", stripe_customer_id=second["id"], status="active",
        stripe_subscription_id=other["id"], current_period_start=timezone.now(), current_period_end=timezone.now(),
    )  # fmt: skip
    set_user(subscription_id=other["id"])
    stripe.cancel(subscribed, at_period_end=False)
    wish = Wish() if is_whole else Wish(("user_alice",))
    assert ("tier_left_paid", "repaired") not in brought(resync(wish))
    assert (User.objects.get().tier, User.objects.get().subscription_id) == ("paid", other["id"])
    assert not UserSubscription.objects.exclude(id="s2").filter(status="active").exists()
    deliver(stripe, "customer.subscription.deleted")
    assert User.objects.get().tier == "paid"
    stripe.cancel(other, at_period_end=False)
    assert ("tier_left_paid", "repaired") in brought(resync(wish))


def test_two_subscriptions_in_force_are_told(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    stripe.subscribe(alice, "power")
    deliver(stripe)
    (found,) = resync()
    assert (found.kind, found.action) == ("two_subscriptions", "left")


def test_who_pays_by_two_customers_is_told_with_amounts(stripe: StripeServer, subscribed: Thing):
    second = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    other = stripe.subscribe(second, "power", interval="year")
    found = {each.kind: each for each in resync()}
    assert {(each.kind, each.action) for each in found.values()} == {
        ("two_customers", "left"),
        ("two_subscriptions", "left"),
    }
    cents = [stripe.get(stripe.prices[price])["unit_amount"] for price in (("starter", "month"), ("power", "year"))]
    assert found["two_subscriptions"].found == (
        f"starter, {cents[0] / 100:.2f} USD a month ({subscribed['id']}, active, {subscribed['customer']}); "
        f"power, {cents[1] / 100:.2f} USD a year ({other['id']}, active, {second['id']})"
    )
    assert f"OmniChat goes by {subscribed['id']}" in found["two_subscriptions"].reason
    assert User.objects.get().subscription_id == subscribed["id"]
    stripe.cancel(other, at_period_end=False)
    assert brought(resync()) == {("two_customers", "left")}


def test_who_pays_by_a_customer_that_only_omnichat_knows_is_told(stripe: StripeServer, subscribed: Thing):
    """Its customer names nobody, but the subscription does, and OmniChat has its row."""
    other = stripe.subscribe(stripe.customer("a@example.com", "A"), "power", metadata={"userId": "user_alice"})
    UserSubscription.objects.create(
        id="s2", user_id="user_alice", plan_id="power", stripe_customer_id=other["customer"], status="active",
        stripe_subscription_id=other["id"], current_period_start=timezone.now(), current_period_end=timezone.now(),
    )  # fmt: skip
    found = {each.kind: each for each in resync()}
    assert other["id"] in str(found["two_subscriptions"].found)


def test_a_tier_that_a_customer_who_is_not_linked_pays_is_not_from_nowhere(stripe: StripeServer, alice: Thing):
    set_user(stripe_customer_id=alice["id"], tier="paid")
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "power")
    assert brought(resync()) == {("two_customers", "left")}


def test_who_pays_by_a_customer_of_whom_omnichat_knows_nothing_is_left(stripe: StripeServer, alice: Thing):
    ended = stripe.subscribe(alice, "starter")
    deliver(stripe)
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "power")
    stripe.cancel(ended, at_period_end=False)
    assert {each.kind for each in resync() if each.action == "left"} == {"two_customers"}
    assert User.objects.get(pk="user_alice").tier == "paid"
