"""What a change in mid-period costs: a credit for the old price's unused time, a charge for the new one's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from standins.stripe import invoices, standing
from standins.stripe.account import Account
from standins.stripe.clock import add_interval
from standins.stripe.errors import invalid
from standins.stripe.store import Thing


@dataclass
class Change:
    """The lines, and the period after it: a new one where the interval differs."""

    lines: list[Thing]
    period: tuple[int, int]
    resets: bool


def change(account: Account, sub: Thing, item: Thing, price: Thing, at: int | None = None) -> Change:
    """`at` (Unix seconds) is Stripe's `proration_date`, now by default."""
    now = at or account.clock.now()
    start, end = standing.period(sub)
    if sub["status"] in ("trialing", "paused"):
        return Change([], (start, end), False)
    if not start <= now <= end:
        raise invalid("`proration_date` must be within the current period.", "proration_date")
    resets = price["recurring"]["interval"] != item["price"]["recurring"]["interval"]
    credit = _line(account, sub, item, item["price"], -1, (now, end), _share(now, start, end), "Unused time on")
    if resets:
        later = add_interval(now, price["recurring"]["interval"])
        full = invoices.subscription_line(account, sub, item, price["unit_amount"], (now, later), price=price)
        return Change([credit, full], (now, later), True)
    charge = _line(account, sub, item, price, 1, (now, end), _share(now, start, end), "Remaining time on")
    return Change([credit, charge], (start, end), False)


def _share(now: int, start: int, end: int) -> float:
    return (end - now) / (end - start)


def _line(
    account: Account, sub: Thing, item: Thing, price: Thing, sign: int, period: tuple[int, int], share: float, said: str
) -> Thing:
    product = account.store["product"].find(price["product"])
    day = datetime.fromtimestamp(period[0], UTC).strftime("%d %b %Y")
    text = f"{said} {product['name'] if product else ''} after {day}"
    invoice, lines = _charged(account, sub, item) if sign < 0 else (None, [])
    # What a discount saved is not given back: flexible billing includes discounts in prorations.
    paid = _part_paid(lines) if lines else 1 - _discounted(account, sub)
    cents = sign * round(price["unit_amount"] * item["quantity"] * share * paid)
    credited = {"invoice": invoice, "invoice_line_items": [line["id"] for line in lines]} if invoice else None
    return invoices.subscription_line(
        account, sub, item, cents, period, price=price, description=text, proration=True, credited=credited
    )


def _charged(account: Account, sub: Thing, item: Thing) -> tuple[str | None, list[Thing]]:
    """The last invoice that charged the present price, and its lines of it."""
    for invoice in reversed(account.store["invoice"].of("subscription", sub["id"])):
        lines = [
            line for line in invoice["lines"]["data"]
            if line["amount"] > 0 and line["pricing"]["price_details"]["price"] == item["price"]["id"]
        ]  # fmt: skip
        if lines:
            return invoice["id"], lines
    return None, []


def _part_paid(lines: list[Thing]) -> float:
    full: int = sum(line["amount"] for line in lines)
    saved: int = sum(each["amount"] for line in lines for each in line["discount_amounts"])
    return 1 - saved / full


def _discounted(account: Account, sub: Thing) -> float:
    """The part that the discounts still in force take."""
    coupons = [account.store["coupon"].get(account.discounts[id]["source"]["coupon"]) for id in sub["discounts"]]
    return min(1.0, float(sum(coupon["percent_off"] for coupon in coupons)) / 100)
