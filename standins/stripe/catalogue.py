"""Products, prices and coupons."""

from __future__ import annotations

from standins.stripe.account import Account
from standins.stripe.shapes import RECURRING
from standins.stripe.store import Thing


def make_product(account: Account, name: str, metadata: dict[str, str] | None = None) -> Thing:
    product = account.new("product", name=name, metadata=metadata or {}, updated=account.clock.now())
    account.emit("product.created", product)
    return product


def make_price(
    account: Account, product: Thing, cents: int, interval: str | None = None, metadata: dict[str, str] | None = None
) -> Thing:
    """A price of `cents` USD, once or each month or year."""
    recurring = {**RECURRING, "interval": interval} if interval else None
    price = account.new(
        "price", product=product["id"], unit_amount=cents, unit_amount_decimal=str(cents), recurring=recurring,
        type="recurring" if interval else "one_time", metadata=metadata or {},
    )  # fmt: skip
    account.emit("price.created", price)
    return price


def plan_of(account: Account, price: Thing) -> Thing:
    """The plan that each item of a subscription still carries beside its price."""
    recurring = price["recurring"]
    return account.part(
        "plan", price["id"], created=price["created"], amount=price["unit_amount"], product=price["product"],
        amount_decimal=price["unit_amount_decimal"], currency=price["currency"], active=price["active"],
        interval=recurring["interval"], interval_count=recurring["interval_count"], metadata=price["metadata"],
    )  # fmt: skip


def make_coupon(account: Account, percent_off: float, duration: str = "once", id: str | None = None) -> Thing:
    name = id or "".join(account.random.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=8))
    coupon = account.new("coupon", name, percent_off=percent_off, duration=duration, name=f"{percent_off:g}% off")
    account.emit("coupon.created", coupon)
    return coupon
