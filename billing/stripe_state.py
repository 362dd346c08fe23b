"""From what Stripe says now to the rows that OmniChat has to have. Pure: no query, no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing import stripe_shapes as shapes
from billing.stripe_shapes import Object

#: Statuses of Stripe, and what the column may hold.
STATUSES = {
    "active": "active",
    "trialing": "trialing",
    "past_due": "past_due",
    "unpaid": "past_due",
    "paused": "past_due",
    "incomplete": "incomplete",
    "incomplete_expired": "canceled",
    "canceled": "canceled",
}
IN_FORCE = ("active", "trialing")
# Which of several subscriptions speaks for the account: the first of these, and of equals the newest.
_RANKS = {"active": 0, "trialing": 0, "past_due": 1, "incomplete": 2, "canceled": 3}


class Unknown(Exception):
    """Something of Stripe's that OmniChat does not know, so that nothing may be written on its word. A sentence."""


@dataclass(frozen=True)
class Plan:
    """Units a month, and units a day."""

    id: str
    units: int
    daily: int


@dataclass(frozen=True)
class Priced:
    """A plan at a price: for a month, or for a year, which has 12 times the units."""

    plan: Plan
    months: int

    @property
    def units(self) -> int:
        return self.plan.units * self.months


@dataclass(frozen=True)
class Plans:
    """The plans by their prices' ids. There is no default: a price that no plan has is unknown."""

    by_price: Mapping[str, Priced] = field(default_factory=dict)
    #: Prices that stand at several plans, or for a month and for a year: nobody knows what they buy.
    shared: frozenset[str] = frozenset()

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Any, ...]]) -> Plans:
        """From rows of id, battery_units, daily_battery, monthly price, annual price."""
        found: dict[str, Priced] = {}
        shared: set[str] = set()
        for id, units, daily, *prices in rows:
            plan = Plan(str(id), shapes.cents(units), shapes.cents(daily))
            for price, months in zip(prices, (1, 12), strict=True):
                if isinstance(price, str) and (price := price.strip()):
                    shared |= {price} & found.keys()
                    found[price] = Priced(plan, months)
        return cls({price: priced for price, priced in found.items() if price not in shared}, frozenset(shared))

    def of_price(self, price: str | None) -> Priced:
        """Raises Unknown."""
        if price in self.shared:
            raise Unknown(
                f"The price {price} stands at several plans or intervals. Leave it where it belongs (Plans), then "
                "replay the event."
            )
        if price is None or price not in self.by_price:
            raise Unknown(
                f"No plan has the price {price or '(none)'}. Enter it at its plan (Plans), then replay the event."
            )
        return self.by_price[price]

    def of_subscription(self, subscription: Object) -> Priced:
        """The plan among a subscription's items; of several the largest. Raises Unknown where there is none."""
        prices = [str(price.get("id")) for price in shapes.subscription_prices(subscription)]
        known = [self.by_price[price] for price in prices if price in self.by_price]
        if known:
            return max(known, key=lambda priced: priced.units)
        return self.of_price(prices[0] if prices else None)


@dataclass(frozen=True)
class SubscriptionState:
    """The cells of a row of `user_subscriptions`. `raw_status` is Stripe's own word."""

    stripe_subscription_id: str
    stripe_customer_id: str
    plan_id: str
    status: str
    current_period_start: str | None
    current_period_end: str | None
    cancel_at: str | None
    canceled_at: str | None
    trial_end: str | None
    daily: int
    created: int
    raw_status: str

    @property
    def id(self) -> str:
        """The key of a row that is made for it: derived, so that two who make it at once make one."""
        return f"subscription:{self.stripe_subscription_id}"

    def cells(self) -> dict[str, Any]:
        left_out = ("daily", "created", "raw_status")
        return {name: cell for name, cell in vars(self).items() if name not in left_out}


@dataclass(frozen=True)
class AccountState:
    """What the user's row has to say. `daily` is the allowance of the plans in force."""

    subscription_status: str
    subscription_id: str | None
    tier: str
    daily: int

    def cells(self) -> dict[str, Any]:
        return {
            "subscriptionStatus": self.subscription_status,
            "subscriptionId": self.subscription_id,
            "tier": self.tier,
        }


def stored_status(raw: Any) -> str:
    """Raises Unknown for a status that Stripe did not have when this was written."""
    if raw not in STATUSES:
        raise Unknown(f"Stripe has a subscription with the status {raw!r}, which is not known here.")
    return STATUSES[raw]


def moment(at: int | None) -> str | None:
    """As JavaScript writes a moment."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def subscription_state(subscription: Object, plans: Plans, *, plan: str | None = None) -> SubscriptionState:
    """`plan` is known where the price tells none any longer. Raises Unknown for a price or a status."""
    start, end = shapes.period(subscription)
    priced = Priced(Plan(plan, 0, 0), 1) if plan else plans.of_subscription(subscription)
    return SubscriptionState(
        stripe_subscription_id=str(subscription.get("id")),
        stripe_customer_id=str(shapes.id_of(subscription.get("customer"))),
        plan_id=priced.plan.id,
        status=stored_status(subscription.get("status")),
        current_period_start=moment(start),
        current_period_end=moment(end),
        cancel_at=moment(shapes.cancel_at(subscription)),
        canceled_at=moment(shapes.seconds(subscription.get("canceled_at"))),
        trial_end=moment(shapes.seconds(subscription.get("trial_end"))),
        daily=priced.plan.daily,
        created=shapes.cents(subscription.get("created")),
        raw_status=str(subscription.get("status")),
    )


def account_state(states: Iterable[SubscriptionState]) -> AccountState:
    """An account goes by its best subscription: an old one that ends takes nothing from a newer one in force."""
    ranked = sorted(states, key=lambda s: (_RANKS[s.status], -s.created, s.stripe_subscription_id))
    if not ranked:
        return AccountState("inactive", None, "free", 0)
    best = ranked[0]
    daily = max((state.daily for state in ranked if state.status in IN_FORCE), default=0)
    return AccountState(best.status, best.stripe_subscription_id, "paid" if best.status in IN_FORCE else "free", daily)
