"""Many customers at once, for measurements: kept as templates and a number each, and served as bytes.

Customer `n` has the id `cus_` and its number in 14 digits, its subscription `sub_`, invoice `in_` and payment intent
`pi_` in 24, its checkout session `cs_test_` in 58. They make no events, and do not renew: of the invoices the newest is
there.
"""

from __future__ import annotations

from typing import Any

import orjson

from standins.stripe import catalogue, invoices
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.store import Seedling, Thing, copy

PERIOD = 30 * DAY
# What differs from one customer to the next: these are numbers, and all other marks are text.
NUMBERS = ("created", "start", "end")
TEXTS = ("cus", "sub", "si", "in", "il", "inpay", "pi", "cs", "user", "email", "name", "prefix")


class Crop:
    """What the customers of one planting have in common, and how the values of the n-th come about."""

    def __init__(self, account: Account, count: int, first: int, days: int, user: str, email: str) -> None:
        self.now = account.clock.now()
        self.count, self.first, self.user, self.email = count, first, user, email
        self.oldest = self.now - days * DAY

    def created(self, n: int) -> int:
        """Evenly spread, the first the oldest."""
        return self.oldest + (n - self.first) * (self.now - self.oldest) // self.count

    def start(self, n: int) -> int:
        """Of the present period."""
        return self.now - (self.now - self.created(n)) % PERIOD

    def values(self, n: int) -> dict[bytes, Any]:
        start = self.start(n)
        return {
            b"created": self.created(n), b"start": start, b"end": start + PERIOD, b"cus": b"cus_%014d" % n,
            b"sub": b"sub_%024d" % n, b"si": b"si_%014d" % n, b"in": b"in_%024d" % n, b"il": b"il_%024d" % n,
            b"inpay": b"inpay_%024d" % n, b"pi": b"pi_%024d" % n, b"cs": b"cs_test_%058d" % n,
            b"user": self.user.format(n=n).encode(),
            b"email": self.email.format(n=n).encode(), b"name": b"Customer %d" % n, b"prefix": b"%08X" % n,
        }  # fmt: skip


def plant(
    account: Account, prices: list[Thing], count: int, *, subscribed: float = 0.5, days: int = 365,
    with_invoices: bool = False, by_checkout: bool = False, first: int = 1, user: str = "user_{n:06d}",
    email: str = "user{n}@example.com",
) -> Thing:  # fmt: skip
    """`count` customers made over the last `days`, of whom the part `subscribed` has one active subscription, in turn.

    `by_checkout`: each subscription is by the month, and has the session by which it came. `user` and `email` are
    patterns of the metadata's `userId` and of the address. How many of each came to be.
    """
    crop = Crop(account, count, first, days, user, email)
    customer = _template(_customer(account))
    kinds = [
        _kinds(account, price, with_invoices, by_checkout) for price in prices
        if not by_checkout or price["recurring"]["interval"] == "month"
    ]  # fmt: skip
    made = 0
    for n in range(first, first + count):
        _sow(account, crop, n, "customer", customer, {})
        if n % 100 < round(subscribed * 100):
            made += 1
            for kind, template in kinds[n % len(kinds)].items():
                _sow(account, crop, n, kind, template, _fields(kind, n))
    return {"customers": count, "subscriptions": made, "invoices": made if with_invoices else 0}


_ID = {
    "customer": "cus_{:014d}", "subscription": "sub_{:024d}", "invoice": "in_{:024d}",
    "invoice_payment": "inpay_{:024d}", "payment_intent": "pi_{:024d}", "checkout.session": "cs_test_{:058d}",
}  # fmt: skip
# Made when the present period began.
_OF_PERIOD = ("invoice", "invoice_payment", "payment_intent")


def _sow(account: Account, crop: Crop, n: int, kind: str, template: bytes, fields: Thing) -> None:
    created = crop.start(n) if kind in _OF_PERIOD else crop.created(n)
    account.store[kind].plant(_ID[kind].format(n), Seedling(template, crop.values, n, created), fields)


def _fields(kind: str, n: int) -> Thing:
    """What its lists are asked by."""
    every = {
        "customer": _ID["customer"].format(n), "subscription": _ID["subscription"].format(n),
        "invoice": _ID["invoice"].format(n), "payment_intent": _ID["payment_intent"].format(n),
    }  # fmt: skip
    wanted = {
        "subscription": ("customer",), "invoice": ("customer", "subscription"), "payment_intent": ("customer",),
        "invoice_payment": ("invoice", "payment_intent"), "checkout.session": ("customer", "subscription"),
    }[kind]  # fmt: skip
    return {name: every[name] for name in wanted}


def _kinds(account: Account, price: Thing, with_invoices: bool, by_checkout: bool) -> dict[str, bytes]:
    sub = _subscription(account, price, with_invoices)
    made = {"subscription": _template(sub)}
    if with_invoices:
        made["invoice"] = _template(_invoice(account, sub, price["unit_amount"]))
        made["invoice_payment"] = _template(_payment(account, price["unit_amount"]))
        made["payment_intent"] = _template(_intent(account, price["unit_amount"]))
    if by_checkout:
        made["checkout.session"] = _template(_session(account, price["unit_amount"], with_invoices))
    return made


def _customer(account: Account) -> Thing:
    return account.part(
        "customer", "@cus@", created="@created@", email="@email@", name="@name@", currency="usd",
        invoice_prefix="@prefix@", metadata={"userId": "@user@"},
    )  # fmt: skip


def _subscription(account: Account, price: Thing, with_invoices: bool) -> Thing:
    item = account.part(
        "subscription_item", "@si@", created="@created@", subscription="@sub@", price=copy(price),
        plan=catalogue.plan_of(account, price), current_period_start="@start@", current_period_end="@end@",
    )  # fmt: skip
    url = "/v1/subscription_items?subscription=@sub@"
    return account.part(
        "subscription", "@sub@", created="@created@", customer="@cus@", start_date="@created@",
        items={"object": "list", "data": [item], "has_more": False, "url": url}, billing_cycle_anchor="@start@",
        metadata={"userId": "@user@"}, latest_invoice="@in@" if with_invoices else None,
    )  # fmt: skip


def _invoice(account: Account, sub: Thing, cents: int) -> Thing:
    line = invoices.subscription_line(account, sub, sub["items"]["data"][0], cents, (0, 0))
    line |= {"id": "@il@", "period": {"start": "@start@", "end": "@end@"}}
    customer = {"id": "@cus@", "email": "@email@", "name": "@name@", "balance": 0}
    invoice = invoices.build(account, customer, "subscription_cycle", [line], sub)
    line["invoice"] = "@in@"
    invoice["lines"]["url"] = "/v1/invoices/@in@/lines"
    invoice["status_transitions"] |= {"finalized_at": "@start@", "paid_at": "@start@"}
    return invoice | {
        "id": "@in@", "created": "@start@", "status": "paid", "attempted": True, "attempt_count": 1,
        "amount_paid": cents, "amount_remaining": 0, "period_start": "@start@", "period_end": "@start@",
        "auto_advance": False, "automatically_finalizes_at": None, "number": "@prefix@-0001", "ending_balance": 0,
        "effective_at": "@start@",
    }  # fmt: skip


def _payment(account: Account, cents: int) -> Thing:
    return account.part(
        "invoice_payment", "@inpay@", created="@start@", invoice="@in@", amount_requested=cents, amount_paid=cents,
        status="paid", status_transitions={"canceled_at": None, "paid_at": "@start@"},
        payment={"type": "payment_intent", "payment_intent": "@pi@"},
    )  # fmt: skip


def _intent(account: Account, cents: int) -> Thing:
    return account.part(
        "payment_intent", "@pi@", created="@start@", amount=cents, amount_received=cents, status="succeeded",
        customer="@cus@", client_secret="@pi@_secret", description="Subscription update",
    )  # fmt: skip


def _session(account: Account, cents: int, with_invoices: bool) -> Thing:
    details: Thing = dict.fromkeys(("address", "business_name", "individual_name", "phone"))
    details |= {"email": "@email@", "name": "@name@", "tax_exempt": "none", "tax_ids": []}
    return account.part(
        "checkout.session", "@cs@", created="@created@", customer="@cus@", mode="subscription", subscription="@sub@",
        invoice="@in@" if with_invoices else None, status="complete", payment_status="paid", amount_subtotal=cents,
        amount_total=cents, client_reference_id="@user@", customer_details=details, metadata={"userId": "@user@"},
    )  # fmt: skip


def _template(thing: Thing) -> bytes:
    """Bytes for `%` by a dict of the marks' values."""
    text = orjson.dumps(thing).replace(b"%", b"%%")
    for name in NUMBERS:
        text = text.replace(f'"@{name}@"'.encode(), f"%({name})d".encode())
    for name in TEXTS:
        text = text.replace(f"@{name}@".encode(), f"%({name})s".encode())
    return text
