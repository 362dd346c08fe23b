"""What staff do to the plan of a subscription: previewed by Stripe itself, then changed as of the previewed moment.

The difference is invoiced at once, because prorations that wait for the next invoice credit no units. Where the card is
refused, Stripe changes nothing. https://docs.stripe.com/billing/subscriptions/prorations
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from billing import stripe_shapes as shapes
from billing.stripe_actions import Held, Refused, current, once, send
from billing.stripe_api import Stripe
from billing.stripe_shapes import Object
from billing.stripe_state import IN_FORCE

#: So many seconds a preview holds.
FRESH = 3600


@dataclass(frozen=True)
class Proration:
    """Stripe's preview: what is charged at once, the lines it is made of, and the moment it counts from.

    Negative, `total_cents` goes to the customer's balance at Stripe, which pays the next invoices. `at` (Unix seconds)
    is 0 where nothing is prorated.
    """

    price: str
    lines: list[tuple[str, int]]
    due_cents: int
    total_cents: int
    currency: str
    at: int


def may_change(held: Held) -> bool:
    items = shapes.items_of(held.subscription.get("items"))
    return held.status in IN_FORCE and not held.is_paused and len(items) == 1


def preview_plan(stripe: Stripe, held: Held, price: str, *, at: int = 0) -> Proration:
    """What a change to the price would cost now, or as of `at`. Raises Refused and StripeTrouble."""
    _check(held, price)
    details: dict[str, Any] = _change(held, price, at)
    # It makes nothing, so each one has a key of its own.
    made = stripe.post(
        "/v1/invoices/create_preview",
        {"customer": held.customer, "subscription": held.id, "subscription_details": details},
        idempotency_key=f"omniops:preview:{uuid4()}",
    )
    lines = list(shapes.lines(made))
    prorated = [shapes.line_period(line)[0] for line in lines if shapes.is_proration(line)]
    told = [(str(line.get("description") or ""), shapes.cents(line.get("amount"))) for line in lines]
    return Proration(
        price, told, shapes.cents(made.get("amount_due")), shapes.cents(made.get("total")), held.currency,
        at or max(prorated, default=0),
    )  # fmt: skip


def change_plan(stripe: Stripe, held: Held, price: str, *, key: str, at: int) -> Object:
    """Change the price and invoice the difference, once for the key. Raises Uncertain, StripeTrouble."""
    params = {**_change(held, price, at), "payment_behavior": "error_if_incomplete"}
    return once(
        stripe,
        lambda: send(stripe, f"/v1/subscriptions/{held.id}", params, "plan", key),
        lambda: current(stripe, held, lambda it: it.price.get("id") == price),
    )


def _check(held: Held, price: str) -> None:
    if not may_change(held):
        raise Refused("The plan of this subscription cannot be changed now: look at its state.")
    if price not in held.plans.by_price:
        raise Refused("No plan has this price. Choose one of the list.")
    if price == held.price.get("id"):
        raise Refused("This is the plan that the subscription has.")


def _change(held: Held, price: str, at: int) -> dict[str, Any]:
    item = shapes.items_of(held.subscription.get("items"))[0]
    params = {"items": [{"id": item["id"], "price": price}], "proration_behavior": "always_invoice"}
    return {**params, "proration_date": at} if at else params
