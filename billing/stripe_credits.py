"""What a payment is worth in battery: the entries that an invoice, a pack, its refunds and disputes make. Pure.

Each has a cause, whose id is the entry's: `invoice:in_...`, `pi:pi_...`, `refund:re_...`, `dispute:dp_...`. The amounts
follow from what Stripe says alone, so they are the same in whatever order the events come.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from math import floor
from typing import Any

from billing import stripe_shapes as shapes
from billing.ledger import LARGEST, Entry
from billing.ledger_settled import Settlement
from billing.models import TransactionType
from billing.stripe_shapes import Object
from billing.stripe_state import Plans, Unknown

FIRST, RENEWED, CHANGED = "subscription_create", "subscription_cycle", "subscription_update"
#: Refunds that take no money back, or no longer.
_VOID_REFUNDS = ("failed", "canceled")
#: While a dispute is so, or has ended so, its units are not the user's.
_HOLDING = ("needs_response", "under_review", "appeal_needs_response", "appeal_under_review", "lost")
#: An inquiry takes no money yet, and may become a dispute.
_INQUIRING = ("warning_needs_response", "warning_under_review")
_ENDED = ("won", "warning_closed")


@dataclass(frozen=True)
class Payment:
    """Money that came in, and the units it brought. `cause` is that of the credit."""

    cause: str
    user_id: str
    units: int
    cents: int
    payment_intent: str | None


@dataclass(frozen=True)
class Worth:
    """Units of an invoice, and why so many. `plan` is the one that it pays."""

    units: int
    plan: str = ""
    reason: str = ""


def invoice_units(invoice: Object, others: Iterable[Object], plans: Plans) -> Worth:
    """What a paid invoice credits. `others` are all paid invoices of the customer, oldest first, itself among them.

    Within a period all credits together never exceed the units of the highest plan held. Invoices count in the order
    in which they were paid, so a later one changes nothing about this one. Raises Unknown for a price.
    """
    earlier = _before(invoice, others)
    credits: list[_Credit] = []
    worth = Worth(0)
    for each in [*earlier, invoice]:
        try:
            worth = _own_units(each, [*earlier, invoice], plans)
        except Unknown:
            if each is invoice:
                raise
            continue
        if worth.units:
            highest = _highest(each, plans)
            worth = replace(worth, units=max(0, min(worth.units, _limit(each, credits, highest))))
            credits.append(_Credit(*_period(each), worth.units, highest))
    return worth


@dataclass(frozen=True)
class _Credit:
    """Units for the time from `start` to `end`, and those of the largest plan that was charged for."""

    start: int
    end: int
    units: int
    highest: int

    def unused(self, at: int) -> Fraction:
        return self.units * Fraction(max(0, self.end - max(at, self.start)), max(1, self.end - self.start))


def _limit(invoice: Object, credits: list[_Credit], highest: int) -> int:
    """What is left of the highest plan, less what was credited for time that a new interval has cut short."""
    start, end = _period(invoice)
    same = [each for each in credits if each.end == end]
    left = max([highest, *(each.highest for each in same)]) - sum(each.units for each in same)
    if invoice.get("billing_reason") != CHANGED:
        return left
    return floor(left - sum(each.unused(start) for each in credits if each.end != end))


def _before(invoice: Object, others: Iterable[Object]) -> list[Object]:
    """Those of the same subscription that were paid before. Of one second their order at Stripe tells."""
    own = shapes.invoice_subscription(invoice)
    mine = [each for each in others if each.get("status") == "paid" and shapes.invoice_subscription(each) == own]
    mine.sort(key=lambda each: (shapes.paid_at(each), shapes.cents(each.get("created"))))
    ids = [each.get("id") for each in mine]
    return mine[: ids.index(invoice.get("id"))] if invoice.get("id") in ids else mine


def _own_units(invoice: Object, all_of_it: list[Object], plans: Plans) -> Worth:
    reason = invoice.get("billing_reason")
    if invoice.get("status") != "paid" or shapes.invoice_subscription(invoice) is None:
        return Worth(0)
    if reason in (FIRST, RENEWED):
        whole = _whole_period(invoice, plans)
        if whole.units or reason == RENEWED:
            return whole
        # A first period may be a part of one, up to the day on which all others begin.
        part = _difference(invoice, all_of_it, plans)
        return part if part.units else whole
    return _difference(invoice, all_of_it, plans) if reason == CHANGED else Worth(0)


def _whole_period(invoice: Object, plans: Plans) -> Worth:
    """A trial's line costs nothing by itself; a coupon leaves the line its price."""
    charged = [
        shapes.line_price(line)
        for line in _subscription_lines(invoice)
        if not shapes.is_proration(line) and shapes.cents(line.get("amount")) > 0
    ]
    if not charged:
        return Worth(0, reason="nothing was charged: a trial")
    # What is charged beside a plan is no plan; without any, the price is unknown.
    known = [price for price in charged if price in plans.by_price] or charged[:1]
    best = max(map(plans.of_price, known), key=lambda priced: priced.units)
    return Worth(best.units, best.plan.id, str(invoice.get("billing_reason")))


def _difference(invoice: Object, all_of_it: list[Object], plans: Plans) -> Worth:
    """Units of what begins, less those of what ends, each for its part of the period, rounded down."""
    total, plan = Fraction(0), ""
    for line in _subscription_lines(invoice):
        price = shapes.line_price(line)
        # Nothing is charged for a trial. A proration may cost nothing by a coupon, and counts.
        if not shapes.cents(line.get("amount")) and not (shapes.is_proration(line) and price in plans.by_price):
            continue
        priced = plans.of_price(price)
        part = priced.units * _part(line, all_of_it, priced.months)
        total += -part if shapes.is_credit(line) else part
        plan = plan if shapes.is_credit(line) else priced.plan.id
    return Worth(max(0, floor(total)), plan, str(invoice.get("billing_reason")))


def _part(line: Object, all_of_it: list[Object], months: int) -> Fraction:
    """How much of the whole period the line is for."""
    if not shapes.is_proration(line):
        return Fraction(1)
    start, end = shapes.line_period(line)
    begun = min((s for s, e in _whole_periods(all_of_it) if e == end), default=None)
    whole = end - (_months_before(end, months) if begun is None or begun > start else begun)
    return Fraction(max(0, end - start), max(1, whole, end - start))


def _whole_periods(invoices: list[Object]) -> list[tuple[int, int]]:
    return [
        shapes.line_period(line)
        for invoice in invoices
        for line in _subscription_lines(invoice)
        if not shapes.is_proration(line)
    ]


def _months_before(end: int, months: int) -> int:
    at = datetime.fromtimestamp(end, UTC)
    month = at.year * 12 + at.month - 1 - months
    year, month = month // 12, month % 12 + 1
    day = min(at.day, calendar.monthrange(year, month)[1])
    return int(at.replace(year=year, month=month, day=day).timestamp())


def _subscription_lines(invoice: Object) -> list[Object]:
    own = shapes.invoice_subscription(invoice)
    return [line for line in shapes.lines(invoice) if shapes.line_subscription(line) in (None, own)]


def _charges(invoice: Object) -> list[Object]:
    lines = _subscription_lines(invoice)
    return [line for line in lines if not shapes.is_credit(line)] or lines


def _period(invoice: Object) -> tuple[int, int]:
    """Of what is charged. A period is told by its end, which a change of plan in its middle leaves as it is."""
    return max((shapes.line_period(line) for line in _charges(invoice)), key=lambda both: both[1], default=(0, 0))


def _highest(invoice: Object, plans: Plans) -> int:
    """Units of the largest plan that an invoice charges for."""
    prices = [str(shapes.line_price(line)) for line in _charges(invoice)]
    return max((plans.by_price[price].units for price in prices if price in plans.by_price), default=0)


def invoice_entry(invoice: Object, worth: Worth, user_id: str) -> Entry | None:
    """The credit of a paid invoice, None where it is worth nothing."""
    if not worth.units:
        return None
    metadata = {
        "invoice": invoice.get("id"),
        "subscription": shapes.invoice_subscription(invoice),
        "billing_reason": worth.reason,
        "plan": worth.plan,
    }
    types = ("subscription", "subscription_upgrade") if worth.reason == CHANGED else ("subscription",)
    return Entry(
        f"invoice:{invoice.get('id')}",
        user_id,
        TransactionType.SUBSCRIPTION,
        worth.units,
        shapes.invoice_payment_intent(invoice),
        metadata,
        settlement=Settlement(_moment(shapes.paid_at(invoice)), types),
    )


def pack_entry(intent: Object, units: int, user_id: str) -> Entry:
    """The credit of a battery pack. Raises Unknown for more units than an entry may move."""
    if units > LARGEST:
        raise Unknown(f"The payment's metadata name {units:,} units, which no battery pack has.")
    charge = shapes.expanded(intent.get("latest_charge")) or {}
    return Entry(
        f"pi:{intent.get('id')}",
        user_id,
        TransactionType.PURCHASE,
        units,
        str(intent.get("id")),
        {"units": units, "cents": shapes.cents(intent.get("amount_received")), "currency": intent.get("currency")},
        settlement=Settlement(
            _moment(shapes.cents(charge.get("created")) or shapes.cents(intent.get("created"))), ("purchase",)
        ),
    )


def part_paid(payment: Payment, invoice: Object) -> Payment:
    """Of an invoice that several payments paid, here or outside of Stripe, the units for this one's part."""
    paid = [
        (shapes.id_of(shapes.dig(each, "payment", "payment_intent")), shapes.cents(each.get("amount_paid")))
        for each in shapes.items_of(invoice.get("payments"))
        if each.get("status") == "paid"
    ]
    paid.sort(key=lambda each: str(each[0]))
    whole, before = max(sum(cents for _, cents in paid), shapes.cents(invoice.get("amount_due"))), 0
    for intent, cents in paid:
        if intent == payment.payment_intent and whole:
            shares = [payment.units * money // whole for money in (before, before + cents)]
            return replace(payment, units=shares[1] - shares[0])
        before += cents
    return payment


def reversals(
    payment: Payment, refunds: Iterable[Object], disputes: Iterable[Object], asked: Mapping[str, int]
) -> list[Entry]:
    """What refunds and disputes of a payment take: in proportion to the money, all parts together never more.

    Both come oldest first. Each takes the difference of two shares rounded down, so that the parts add up to the
    whole; `asked` are the units that entries there already were to take. A dispute that is won has no entry here, see
    `given_back`.
    """
    entries: list[Entry] = []
    money = taken = 0
    holding = [each for each in disputes if holds(each)]
    for kind, each in in_order(refunds, holding):
        money = min(payment.cents, money + shapes.cents(each.get("amount")))
        share = payment.units * money // payment.cents if payment.cents else 0
        units = asked.get(f"{kind}:{each.get('id')}", share - taken)
        if units > 0:
            entries.append(_taken_back(payment, kind, each, units))
            taken += units
    return entries


def holds(dispute: Object) -> bool:
    """Whether a dispute has taken the money. Where its status does not tell, what was booked does."""
    status = dispute.get("status")
    if status in (*_HOLDING, *_INQUIRING, *_ENDED):
        return status in _HOLDING
    return sum(shapes.cents(shapes.dig(each, "amount")) for each in dispute.get("balance_transactions") or ()) < 0


def in_order(refunds: Iterable[Object], disputes: Iterable[Object]) -> list[tuple[str, Object]]:
    both = [("refund", each) for each in refunds] + [("dispute", each) for each in disputes]
    return sorted(both, key=lambda pair: shapes.cents(pair[1].get("created")))


def _taken_back(payment: Payment, kind: str, each: Object, units: int) -> Entry:
    metadata: dict[str, Any] = {
        kind: each.get("id"),
        "reverses": payment.cause,
        "cents": shapes.cents(each.get("amount")),
        "reason": each.get("reason"),
    }
    return Entry(
        f"{kind}:{each.get('id')}", payment.user_id, TransactionType.REFUND, -units, payment.payment_intent, metadata,
        settlement=Settlement(),
    )  # fmt: skip


def undone(refunds: Iterable[Object], disputes: Iterable[Object]) -> dict[str, str]:
    """Causes whose units go back where they were taken (failed refunds, disputes won), and the cause of that."""
    found = {
        f"refund:{each.get('id')}": f"refund:{each.get('id')}:{each.get('status')}"
        for each in refunds
        if each.get("status") in _VOID_REFUNDS
    }
    return found | {
        f"dispute:{each.get('id')}": f"dispute:{each.get('id')}:{each.get('status')}"
        for each in disputes
        if each.get("status") in (*_ENDED, "prevented") and not holds(each)
    }


def given_back(payment: Payment, cause: str, ending: str, units: int) -> Entry:
    """`units` are those that the entry of `cause` took."""
    return Entry(ending, payment.user_id, TransactionType.REFUND, units, payment.payment_intent, {"gives_back": cause})


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
