"""Histories at random: whatever people do, the books agree and the events tell it all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from standins.stripe import StripeServer
from standins.stripe.errors import StripeError

Deed = Callable[[StripeServer, random.Random], Any]
# What a customer's own counter is at is told by no event.
UNTOLD = {"customer": {"next_invoice_sequence"}}


@pytest.fixture(scope="module")
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


def of(stripe: StripeServer, kind: str, dice: random.Random) -> str:
    found = stripe.all(kind)
    return str(dice.choice(found)["id"]) if found else "none"


def sub(stripe: StripeServer, dice: random.Random) -> str:
    return of(stripe, "subscription", dice)


DEEDS: list[Deed] = [
    lambda s, d: s.subscribe(of(s, "customer", d), d.choice(list(s.prices.values()))),
    lambda s, d: s.subscribe(of(s, "customer", d), "power", d.choice([0, 7]), missing_payment_method="pause"),
    lambda s, d: s.subscribe(of(s, "customer", d), "daily", coupon=s.coupon(d.choice([50, 100]))),
    lambda s, d: s.upgrade(sub(s, d), d.choice(list(s.prices.values()))),
    lambda s, d: s.upgrade(sub(s, d), "starter", behavior="create_prorations"),
    lambda s, d: s.cancel(sub(s, d), by_portal=d.random() < 0.5),
    lambda s, d: s.cancel(sub(s, d), at_period_end=False),
    lambda s, d: s.pause(sub(s, d), status=d.random() < 0.5),
    lambda s, d: s.resume(sub(s, d)),
    lambda s, d: s.fail_payment(sub(s, d)),
    lambda s, d: s.pay(sub(s, d)),
    lambda s, d: s.buy_pack(of(s, "customer", d), 999, 5000, "both", async_payment=d.random() < 0.5),
    lambda s, d: s.settle(of(s, "checkout.session", d), d.random() < 0.5),
    lambda s, d: s.refund(of(s, "payment_intent", d), d.choice([None, 100])),
    lambda s, d: s.dispute(of(s, "payment_intent", d)),
    lambda s, d: s.close_dispute(of(s, "dispute", d), d.random() < 0.5),
    lambda s, d: s.decline(of(s, "customer", d)),
    lambda s, d: s.accept(of(s, "customer", d)),
    lambda s, d: s.advance(days=d.choice([1, 8, 31, 100])),
    lambda s, d: d.random() < 0.2 and s.delete_customer(of(s, "customer", d)),
]


def live(stripe: StripeServer, seed: int) -> None:
    """Thirty deeds of three customers; what Stripe refuses is left at that."""
    stripe.reset(seed)
    dice = random.Random(seed)
    for name in ("alice", "bob", "carol"):
        stripe.customer(f"{name}@example.com", name.capitalize(), f"user_{name}", card=name != "carol")
    for _ in range(30):
        try:
            dice.choice(DEEDS)(stripe, dice)
        except StripeError:
            continue


@pytest.mark.parametrize("seed", range(25))
def test_the_books_agree_after_any_history(stripe: StripeServer, seed: int) -> None:
    live(stripe, seed)
    for invoice in stripe.all("invoice"):
        discounts = sum(each["amount"] for each in invoice["total_discount_amounts"])
        assert invoice["total"] == sum(line["amount"] for line in invoice["lines"]["data"]) - discounts
        assert invoice["amount_due"] >= 0
        assert invoice["status"] != "paid" or invoice["amount_paid"] == invoice["amount_due"]
    for charge in stripe.all("charge"):
        given_back = [r["amount"] for r in stripe.all("refund") if r["charge"] == charge["id"]]
        assert charge["amount_refunded"] == sum(given_back) <= charge["amount"]
    paid = [charge["amount"] for charge in stripe.all("charge") if charge["paid"]]
    booked = [each["amount"] for each in stripe.all("balance_transaction") if each["type"] == "charge"]
    assert paid == booked


@pytest.mark.parametrize("seed", range(25, 50))
def test_the_last_event_of_each_object_shows_it_as_it_is(stripe: StripeServer, seed: int) -> None:
    live(stripe, seed)
    last = {event["data"]["object"]["id"]: event["data"]["object"] for event in stripe.events}
    kinds = ("customer", "subscription", "invoice", "payment_intent", "charge", "refund", "dispute")
    for kind in kinds:
        for thing in stripe.all(kind):
            told = last[thing["id"]]
            assert {key for key in thing if thing[key] != told.get(key)} <= UNTOLD.get(kind, set()), thing["id"]


@pytest.mark.parametrize("seed", range(50, 55))
def test_every_event_of_a_history_has_an_old_shape_as_well(stripe: StripeServer, seed: int) -> None:
    live(stripe, seed)
    for event in stripe.events:
        thing = stripe.event(event, version="2024-06-20")["data"]["object"]
        if thing["object"] == "subscription":
            assert thing["current_period_end"] > thing["current_period_start"]
        if thing["object"] == "invoice":
            assert "parent" not in thing
            assert thing["subscription"].startswith("sub_")
