"""Objects with ids of somebody's choice, as the demo's database has them: placed as they are, without events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from standins.stripe import catalogue
from standins.stripe.account import Account
from standins.stripe.shapes import RECURRING
from standins.stripe.store import Thing

if TYPE_CHECKING:
    from standins.stripe.server import StripeServer


def place(stripe: StripeServer, prices: Iterable[Thing] = (), customers: Iterable[Thing] = ()) -> Thing:
    """`prices` are `{id, plan, interval, cents}`; `customers` `{id, email, name, user_id, created, subscription}`.

    A subscription is `{id, price, status, created, start, end}` and what else a subscription has, moments in Unix
    seconds. How many of each.
    """
    account = stripe.account
    with account.lock:
        for price in prices:
            stripe.prices[price["plan"], price["interval"]] = _price(account, price)
        subscriptions = [_customer(account, each) for each in customers]
    return {"customers": len(subscriptions), "subscriptions": sum(subscriptions)}


def _price(account: Account, given: Thing) -> str:
    plan, cents = given["plan"], given["cents"]
    products = (each for each in account.store["product"].all() if each["metadata"].get("plan") == plan)
    product = next(products, None) or catalogue.make_product(account, plan.capitalize(), {"plan": plan})
    made = account.new(
        "price", given["id"], product=product["id"], unit_amount=cents, unit_amount_decimal=str(cents),
        recurring={**RECURRING, "interval": given["interval"]}, type="recurring", metadata={},
    )  # fmt: skip
    return str(made["id"])


def _customer(account: Account, given: Thing) -> bool:
    metadata = {"userId": given["user_id"]} if given.get("user_id") else {}
    account.new(
        "customer", given["id"], email=given["email"], name=given["name"], created=given["created"], currency="usd",
        metadata=metadata,
    )  # fmt: skip
    if given.get("subscription"):
        _subscription(account, given["id"], metadata, dict(given["subscription"]))
    return bool(given.get("subscription"))


def _subscription(account: Account, customer: str, metadata: Thing, given: Thing) -> None:
    price = account.store["price"].get(given.pop("price"))
    start, end = given.pop("start"), given.pop("end")
    sub = account.new(
        "subscription", given.pop("id"), customer=customer, metadata=metadata, start_date=given["created"],
        billing_cycle_anchor=start, **given,
    )  # fmt: skip
    item = account.part(
        "subscription_item", subscription=sub["id"], price=price, plan=catalogue.plan_of(account, price),
        created=given["created"], current_period_start=start, current_period_end=end,
    )  # fmt: skip
    url = f"/v1/subscription_items?subscription={sub['id']}"
    sub["items"] = {"object": "list", "data": [item], "has_more": False, "url": url}
    if sub["status"] in ("active", "trialing", "past_due"):
        account.clock.plan(end, "renew", sub["id"])
