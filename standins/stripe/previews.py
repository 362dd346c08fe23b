"""`/v1/invoices/create_preview`: what a change would cost, without making it."""

from __future__ import annotations

from typing import Any

from standins.stripe import invoices, prorations, standing, subscriptions
from standins.stripe.account import Account
from standins.stripe.clock import add_interval
from standins.stripe.errors import invalid
from standins.stripe.parameters import boolean, integer, known, required
from standins.stripe.store import Thing, copy


def create(account: Account, given: Thing, id: str) -> Thing:
    """The invoice that a change of a subscription would bring, or its next one; kept nowhere."""
    known(given, {"customer", "subscription", "subscription_details", "preview_mode"})
    sub = account.store["subscription"].get(required(given, "subscription"), param="subscription", status=400)
    details = given.get("subscription_details") or {}
    if sub["status"] in standing.ENDED:
        raise invalid("No upcoming invoices for customer", "subscription", "invoice_upcoming_none")
    customer = account.store["customer"].get(sub["customer"])
    invoice = invoices.build(account, customer, "upcoming", _lines(account, sub, details), copy(sub))
    return invoice | {"id": f"upcoming_{invoice['id']}", "automatically_finalizes_at": None}


def _lines(account: Account, sub: Thing, details: Thing) -> list[Thing]:
    item = sub["items"]["data"][0]
    waiting = subscriptions.take_waiting(account, sub, peek=True)
    price = _price(account, item, details)
    if price["id"] == item["price"]["id"]:
        ends = sub["cancel_at"] or boolean(details, "cancel_at_period_end")
        if ends and not waiting:
            raise invalid("No upcoming invoices for customer", "subscription", "invoice_upcoming_none")
        return waiting + ([] if ends else [_next(account, sub, item, price, standing.period(sub)[1])])
    behavior = details.get("proration_behavior", "create_prorations")
    change = prorations.change(account, sub, item, price, integer(details, "proration_date"))
    lines = change.lines if behavior != "none" else change.lines[1:] if change.resets else []
    if behavior == "always_invoice" or change.resets:
        return waiting + lines
    return [*waiting, *lines, _next(account, sub, item, price, change.period[1])]


def _price(account: Account, item: Thing, details: Thing) -> Thing:
    wanted: list[Any] = details.get("items") or [{}]
    id = wanted[0].get("price") or item["price"]["id"]
    return account.store["price"].get(id, param="subscription_details[items][0][price]", status=400)


def _next(account: Account, sub: Thing, item: Thing, price: Thing, start: int) -> Thing:
    until = add_interval(start, price["recurring"]["interval"], anchor=sub["billing_cycle_anchor"])
    return invoices.subscription_line(account, sub, item, price["unit_amount"], (start, until), price=price)
