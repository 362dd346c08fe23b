"""The stand-in of Stripe, driven by the real client over HTTP: the walk through everything, in short."""

from __future__ import annotations

import pytest
import stripe as real

from standins.stripe import StripeServer


def types(stripe: StripeServer) -> list[str]:
    return [event["type"] for event in stripe.events]


def test_it_subscribes_through_checkout_and_pays(stripe: StripeServer, client: real.StripeClient) -> None:
    alice = stripe.customer("alice@example.com", "Alice", "user_alice")
    made = stripe.subscribe(alice, "starter")
    sub = client.v1.subscriptions.retrieve(made["id"], {"expand": ["latest_invoice.payments"]})
    assert (sub.status, sub.metadata["userId"]) == ("active", "user_alice")
    assert sub.latest_invoice.billing_reason == "subscription_create"
    intent = client.v1.payment_intents.retrieve(sub.latest_invoice.payments.data[0].payment.payment_intent)
    assert (intent.status, intent.amount_received) == ("succeeded", 499)
    wanted = {"customer.subscription.created", "invoice.paid", "checkout.session.completed"}
    assert wanted <= set(types(stripe))


def test_it_renews_when_the_clock_moves_on(stripe: StripeServer, client: real.StripeClient) -> None:
    sub = stripe.subscribe(stripe.customer("alice@example.com"), "starter")
    stripe.advance(days=32)
    found = client.v1.invoices.list({"subscription": sub["id"]}).data
    assert [invoice.billing_reason for invoice in found] == ["subscription_cycle", "subscription_create"]
    assert found[0].status == "paid"


def test_it_signs_deliveries_as_stripe_does(stripe: StripeServer) -> None:
    stripe.customer("alice@example.com")
    body, headers = stripe.signed(stripe.events[-1])
    event = real.Webhook.construct_event(body, headers["Stripe-Signature"], stripe.secret)
    assert event.type == "customer.created"


def test_a_missing_object_is_stripes_own_error(client: real.StripeClient) -> None:
    with pytest.raises(real.InvalidRequestError) as raised:
        client.v1.customers.retrieve("cus_none")
    assert (raised.value.code, raised.value.http_status) == ("resource_missing", 404)
    assert str(raised.value.request_id).startswith("req_")
