"""The plans of `subscription_plans` beside the prices at Stripe, and beside the units that the OmniChat app credits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections

from billing import stripe_shapes as shapes
from billing.resync.kinds import LEAVE
from billing.resync.scratch import Difference
from billing.stripe_api import Stripe
from database.router import OMNICHAT

#: Units a period and units a day that stand in the OmniChat app's own code.
HARD_CODED = {"starter": (6_000, 200), "daily": (18_000, 600), "power": (45_000, 1_500), "ultimate": (150_000, 5_000)}
USELESS = (
    "The OmniChat app has the units of its plans in its own code and credits those: an edit here changes what this "
    "console credits and shows, not what the app does. Have the app changed at the same time."
)
_SQL = """
SELECT id, price_monthly, price_annual, battery_units, daily_battery, stripe_price_id_monthly, stripe_price_id_annual
FROM subscription_plans ORDER BY id
"""
_CHANGE = "Stripe charges what its price says. Correct the plan here, or make another price at Stripe and enter its id."


def compare_plans(stripe: Stripe) -> Iterator[Difference]:
    """A request for each hundred prices at Stripe. Nothing is written."""
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_SQL)
        rows = cursor.fetchall()
    ids = {row[place] for row in rows for place in (5, 6) if row[place]}
    prices = {str(price["id"]): price for price in stripe.list("/v1/prices")} if ids else {}
    for plan, monthly, annual, units, daily, monthly_id, annual_id in rows:
        yield from _price(str(plan), "month", monthly, monthly_id, prices)
        yield from _price(str(plan), "year", annual, annual_id, prices)
        yield from _units(str(plan), units, daily)


def _price(plan: str, interval: str, cents: Any, id: Any, prices: dict[str, Any]) -> Iterator[Difference]:
    subject = f"{plan} by the {interval}"
    if not id:
        return
    price = prices.get(str(id).strip())
    if price is None:
        why = "No subscription at this price can be told to be of this plan. Enter the right id."
        yield Difference("plan_price_missing", None, f"{subject}: {id}", "a price", None, LEAVE, why)
        return
    subject = f"{subject}: {id}"
    if price.get("unit_amount") != cents:
        yield Difference("plan_amount_differs", None, subject, price.get("unit_amount"), cents, LEAVE, _CHANGE)
    found = shapes.dig(price, "recurring", "interval"), shapes.dig(price, "recurring", "interval_count") or 1
    if found != (interval, 1):
        words = f"{found[1]} {found[0]}" if found[0] else "no subscription"
        yield Difference("plan_interval_differs", None, subject, words, f"1 {interval}", LEAVE, _CHANGE)
    if price.get("currency") != "usd":
        yield Difference("plan_currency_differs", None, subject, price.get("currency"), "usd", LEAVE, _CHANGE)
    if not price.get("active"):
        why = "Nobody can subscribe at it any more. Enter the id of the price that took its place."
        yield Difference("plan_price_inactive", None, subject, "inactive", "active", LEAVE, why)


def _units(plan: str, units: Any, daily: Any) -> Iterator[Difference]:
    own = HARD_CODED.get(plan)
    if own is None:
        why = "The app's code knows no such plan. Have it changed before anybody subscribes to it."
        yield Difference("plan_units_hardcoded", None, plan, None, units, LEAVE, why)
    elif (units, daily) != own:
        told = f"{own[0]:,} a period, {own[1]:,} a day"
        yield Difference("plan_units_hardcoded", None, plan, told, f"{units}, {daily} a day", LEAVE, USELESS)
