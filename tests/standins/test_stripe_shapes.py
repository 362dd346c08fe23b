"""What the stand-in serves has the shape of Stripe's published examples and of the client's own types.

`stripe_fixtures.json` holds Stripe's published example of each kind served here (github.com/stripe/openapi).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe as real
from stripe._object_classes import get_object_class

from standins.stripe import LATEST, StripeServer

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parent / "stripe_fixtures.json").read_text())
# A hash of whatever keys the caller likes.
FREE = {"metadata", "data", "previous_attributes", "payment_method_options", "last_payment_error"}
PATHS = {
    "customer": "customers", "product": "products", "price": "prices", "coupon": "coupons",
    "subscription": "subscriptions", "invoice": "invoices", "invoice_payment": "invoice_payments",
    "invoiceitem": "invoiceitems", "payment_intent": "payment_intents", "charge": "charges", "refund": "refunds",
    "dispute": "disputes", "credit_note": "credit_notes",
    "checkout.session": "checkout/sessions", "balance_transaction": "balance_transactions",
    "event": "events", "payment_method": "payment_methods",
}  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Every object of a lively account, by its kind, as it comes over HTTP."""
    with StripeServer() as stripe:
        live(stripe)
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version=LATEST)
        yield {kind: list(everything(client, kind, path)) for kind, path in PATHS.items()}


def live(stripe: StripeServer) -> None:
    alice, bob = stripe.customer("alice@example.com", "Alice", "user_alice"), stripe.customer("bob@example.com")
    coupon = stripe.coupon(50)
    first = stripe.subscribe(alice, "starter", coupon=coupon)
    stripe.upgrade(first, "power")
    stripe.upgrade(first, "daily", behavior="create_prorations")
    second = stripe.subscribe(bob, "daily", trial_days=7, interval="year")
    stripe.cancel(second)
    pack = stripe.buy_pack(alice, 999, 5000)
    stripe.buy_pack(bob, 999, 5000, "session", async_payment=True)
    stripe.refund(pack, 300)
    stripe.close_dispute(stripe.dispute(stripe.all("invoice")[0]), won=True)
    stripe.credit_note(stripe.all("invoice")[1], 30, refund=10, credit=10, out_of_band=10)
    stripe.fail_payment(first)
    unpaid = stripe.subscribe(stripe.customer("carol@example.com", card=False), "starter")
    stripe.void_credit_note(stripe.credit_note(unpaid["latest_invoice"], 5))
    stripe.pay(unpaid, out_of_band=True)
    stripe.pause(second, status=True)
    stripe.delete_customer(bob)


def everything(client: real.StripeClient, kind: str, path: str) -> Iterator[dict[str, Any]]:
    given: dict[str, Any] = {"limit": 100} | ({"status": "all"} if kind == "subscription" else {})
    while True:
        page = json.loads(client.raw_request("get", f"/v1/{path}", **given).body)
        yield from page["data"]
        if not page["has_more"]:
            return
        given["starting_after"] = page["data"][-1]["id"]


def differing(ours: Any, example: Any, path: str) -> Iterator[str]:
    """Where both have a value and the two are of different types."""
    if ours is None or example is None:
        return
    if isinstance(ours, dict) and isinstance(example, dict):
        for key in ours.keys() & example.keys() - FREE:
            yield from differing(ours[key], example[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(example, list):
        for each in ours:
            yield from differing(each, example[0] if example else None, f"{path}[]")
    elif type(ours) is not type(example) and {type(ours), type(example)} != {int, float}:
        yield f"{path}: {type(ours).__name__} is {type(example).__name__} with Stripe"


def invented(ours: Any, example: Any, typed: type | None, path: str) -> Iterator[str]:
    """Keys that neither Stripe's example nor the client's type of it has."""
    if isinstance(ours, list):
        inner = example[0] if isinstance(example, list) and example else None
        for each in ours:
            yield from invented(each, inner, typed, f"{path}[]")
    if not isinstance(ours, dict):
        return
    if "object" in ours:
        typed = get_object_class("V1", ours["object"])
        example = EXAMPLES.get(ours["object"], example)
    example = example if isinstance(example, dict) else {}
    annotated = keys_of(typed)
    inner_types = getattr(typed, "_inner_class_types", {})
    for key, value in ours.items():
        if (example or annotated) and key not in example and key not in annotated:
            yield f"{path}.{key}"
        elif key not in FREE or (key == "data" and ours.get("object") == "list"):
            yield from invented(value, example.get(key), inner_types.get(key), f"{path}.{key}")


def keys_of(typed: type | None) -> set[str]:
    return {key.rstrip("_") for each in getattr(typed, "__mro__", ()) for key in getattr(each, "__annotations__", {})}


@pytest.mark.parametrize("kind", sorted(PATHS))
def test_it_serves_the_types_of_stripes_example(served: dict[str, list[dict[str, Any]]], kind: str) -> None:
    assert served[kind], f"the walk made no {kind}"
    assert {found for each in served[kind] for found in differing(each, EXAMPLES[kind], kind)} == set()


@pytest.mark.parametrize("kind", sorted(PATHS))
def test_it_invents_no_key(served: dict[str, list[dict[str, Any]]], kind: str) -> None:
    typed = get_object_class("V1", kind)
    assert {found for each in served[kind] for found in invented(each, EXAMPLES[kind], typed, kind)} == set()


@pytest.mark.parametrize("kind", sorted(PATHS))
def test_it_leaves_out_no_key_that_stripe_always_sends(served: dict[str, list[dict[str, Any]]], kind: str) -> None:
    # Kept by the examples from versions before, and absent today; or there only when asked for by expand.
    not_sent = {
        "invoice": {"subscription"}, "charge": {"refunds"},
    }.get(kind, set())  # fmt: skip
    assert set(EXAMPLES[kind]) - not_sent - set.union(*(set(each) for each in served[kind])) == set()


def test_the_account_itself_has_the_shape_of_stripes_example() -> None:
    with StripeServer() as stripe:
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version=LATEST)
        own = json.loads(client.raw_request("get", "/v1/account").body)
        assert json.loads(client.raw_request("get", f"/v1/accounts/{own['id']}").body) == own
        with pytest.raises(real.PermissionError):
            client.raw_request("get", "/v1/accounts/acct_another")
    assert set(differing(own, EXAMPLES["account"], "account")) == set()
    assert set(invented(own, EXAMPLES["account"], get_object_class("V1", "account"), "account")) == set()
    assert set(EXAMPLES["account"]) == set(own)


def test_it_has_no_connected_accounts_and_its_customers_no_sources() -> None:
    with StripeServer() as stripe:
        client = real.StripeClient(stripe.key, base_addresses={"api": stripe.url}, stripe_version=LATEST)
        alice = stripe.customer("alice@example.com")["id"]
        assert client.v1.accounts.list().data == client.v1.customers.payment_sources.list(alice).data == []
        with pytest.raises(real.InvalidRequestError):
            client.v1.customers.payment_sources.list("cus_nobody")


@pytest.mark.parametrize(
    ("within", "kind"),
    [("subscription", "subscription_item"), ("invoice", "line_item"), ("credit_note", "credit_note_line_item")],
)
def test_what_lives_inside_another_is_compared_as_well(
    served: dict[str, list[dict[str, Any]]], within: str, kind: str
) -> None:
    place = "items" if within == "subscription" else "lines"
    inner = [each for outer in served[within] for each in outer[place]["data"]]
    assert {found for each in inner for found in differing(each, EXAMPLES[kind], kind)} == set()
    assert set(EXAMPLES[kind]) - {"subscription"} <= set(inner[0]) | {"subscription"}
    assert {found for each in inner for found in invented(each, EXAMPLES[kind], None, kind)} == set()


def test_the_snapshots_in_events_have_the_same_shapes(served: dict[str, list[dict[str, Any]]]) -> None:
    found = set()
    for event in served["event"]:
        thing = event["data"]["object"]
        example = EXAMPLES.get(thing["object"], {})
        found |= set(differing(thing, example, thing["object"])) | set(invented(thing, example, None, thing["object"]))
    assert found == set()
