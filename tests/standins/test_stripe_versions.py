"""The shapes of API versions: one row of the table of changes is one test."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe as real

from standins.stripe import LATEST, StripeServer

OLD = "2024-06-20"
ACACIA = "2025-02-24.acacia"
BASIL = "2025-03-31.basil"


@pytest.fixture
def sub(stripe: StripeServer) -> dict[str, Any]:
    alice = stripe.customer("alice@example.com", user_id="user_alice")
    return stripe.subscribe(alice, "starter", coupon=stripe.coupon(50, "forever"))


def get(stripe: StripeServer, version: str, path: str, **given: Any) -> Any:
    client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version=version)
    answer = client.raw_request("get", f"/v1/{path}", **given)
    assert answer.headers["Stripe-Version"] == version
    return json.loads(answer.body)


@pytest.mark.parametrize("version", [OLD, ACACIA])
def test_the_period_stood_on_the_subscription(stripe: StripeServer, sub: dict[str, Any], version: str) -> None:
    old = get(stripe, version, f"subscriptions/{sub['id']}")
    new = get(stripe, LATEST, f"subscriptions/{sub['id']}")
    item = new["items"]["data"][0]
    assert old["current_period_start"] == item["current_period_start"]
    assert old["current_period_end"] == item["current_period_end"]
    assert "current_period_end" not in old["items"]["data"][0]
    assert "current_period_end" not in new


@pytest.mark.parametrize("version", [OLD, ACACIA])
def test_the_invoice_named_its_subscription_and_payment(
    stripe: StripeServer, sub: dict[str, Any], version: str
) -> None:
    old = get(stripe, version, f"invoices/{sub['latest_invoice']}")
    new = get(stripe, LATEST, f"invoices/{sub['latest_invoice']}", expand=["payments"])
    details = new["parent"]["subscription_details"]
    assert old["subscription"] == details["subscription"] == sub["id"]
    assert old["subscription_details"]["metadata"] == details["metadata"] == {"userId": "user_alice"}
    assert old["payment_intent"] == new["payments"]["data"][0]["payment"]["payment_intent"]
    assert old["charge"].startswith("ch_")
    assert not {"parent", "payments"} & old.keys()
    assert not {"subscription", "payment_intent", "charge", "paid"} & new.keys()


def test_a_line_carried_its_price(stripe: StripeServer, sub: dict[str, Any]) -> None:
    stripe.upgrade(sub, "power")
    old = get(stripe, OLD, "invoices", subscription=sub["id"])["data"][0]["lines"]["data"]
    new = get(stripe, LATEST, "invoices", subscription=sub["id"])["data"][0]["lines"]["data"]
    assert [each["price"]["id"] for each in old] == [each["pricing"]["price_details"]["price"] for each in new]
    assert all(each["proration"] and each["subscription"] == sub["id"] for each in old)
    assert not {"parent", "pricing"} & old[0].keys()


def test_a_payment_and_a_charge_named_their_invoice(stripe: StripeServer, sub: dict[str, Any]) -> None:
    assert get(stripe, OLD, "payment_intents")["data"][0]["invoice"] == sub["latest_invoice"]
    assert get(stripe, OLD, "charges")["data"][0]["invoice"] == sub["latest_invoice"]
    assert "invoice" not in get(stripe, LATEST, "payment_intents")["data"][0]
    stripe.buy_pack(sub["customer"], 999, 5000)
    assert get(stripe, OLD, "payment_intents")["data"][0]["invoice"] is None


@pytest.mark.parametrize(("version", "holds"), [(OLD, "coupon"), (BASIL, "coupon"), (LATEST, "source")])
def test_a_discount_held_its_coupon(stripe: StripeServer, sub: dict[str, Any], version: str, holds: str) -> None:
    found = get(stripe, version, f"subscriptions/{sub['id']}", expand=["discounts"])["discounts"][0]
    assert holds in found
    assert ("coupon" in found) is (holds == "coupon")


def test_basil_has_the_new_shapes_already(stripe: StripeServer, sub: dict[str, Any]) -> None:
    assert "current_period_end" not in get(stripe, BASIL, f"subscriptions/{sub['id']}")
    assert "parent" in get(stripe, BASIL, f"invoices/{sub['latest_invoice']}")


def test_an_event_has_the_shape_of_its_endpoints_version(stripe: StripeServer, sub: dict[str, Any]) -> None:
    paid = next(event for event in stripe.events if event["type"] == "invoice.paid")
    old, new = stripe.event(paid["id"], version=OLD), stripe.event(paid["id"])
    assert (old["api_version"], new["api_version"]) == (OLD, LATEST)
    assert old["data"]["object"]["subscription"] == sub["id"]
    assert "subscription" not in new["data"]["object"]
    assert stripe.event(paid["id"])["data"] == paid["data"], "rendering leaves the event as it is"
    # Over HTTP an event keeps the version it was made in, whatever the caller's.
    assert get(stripe, OLD, f"events/{paid['id']}")["api_version"] == LATEST


def test_the_previous_attributes_are_old_as_well(stripe: StripeServer, sub: dict[str, Any]) -> None:
    stripe.advance(days=31)
    renewed = [event for event in stripe.events if "items" in event["data"].get("previous_attributes", {})][-1]
    old = stripe.event(renewed["id"], version=OLD)["data"]["previous_attributes"]
    new = stripe.event(renewed["id"])["data"]["previous_attributes"]
    assert old["current_period_end"] == new["items"]["data"][0]["current_period_end"]
    assert "items" not in old


def test_an_account_of_an_older_version_makes_old_events() -> None:
    with StripeServer(api_version=OLD) as stripe:
        sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
        paid = next(event for event in stripe.events if event["type"] == "invoice.paid")
        assert get(stripe, LATEST, f"events/{paid['id']}")["data"]["object"]["subscription"] == sub["id"]
        assert stripe.event(paid["id"])["data"]["object"]["subscription"] == sub["id"]
