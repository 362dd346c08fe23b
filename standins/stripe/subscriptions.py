"""Subscriptions: made, changed, paused, resumed, canceled."""

from __future__ import annotations

from typing import Any

from standins.stripe import catalogue, collection, invoices, prorations, standing
from standins.stripe.account import Account
from standins.stripe.clock import DAY, add_interval
from standins.stripe.errors import declined, invalid
from standins.stripe.standing import end
from standins.stripe.store import Thing, copy

__all__ = ["begin", "end", "pause", "resume", "set_price", "start"]


def begin(
    account: Account, customer: Thing, price: Thing, *, trial_days: int = 0, coupon: str | None = None,
    metadata: dict[str, str] | None = None, missing_payment_method: str = "create_invoice",
) -> tuple[Thing, Thing]:  # fmt: skip
    """A subscription that is incomplete (or in its trial) and its first invoice, a draft."""
    if not price["recurring"]:
        raise invalid("The price specified is set to `type=one_time` but this field only accepts recurring prices.")
    now = account.clock.now()
    until = now + trial_days * DAY if trial_days else add_interval(now, price["recurring"]["interval"])
    trial: Thing = {"trial_start": now, "trial_end": until} if trial_days else {}
    behavior = {"end_behavior": {"missing_payment_method": missing_payment_method}}
    sub = account.new(
        "subscription", customer=customer["id"], status="trialing" if trial_days else "incomplete", start_date=now,
        billing_cycle_anchor=until if trial_days else now, metadata=metadata or {}, trial_settings=behavior, **trial,
    )  # fmt: skip
    sub["items"] = _items(account, sub, price, now, until)
    if coupon:
        sub["discounts"] = [_discount(account, sub, coupon)]
    first = _first_invoice(account, customer, sub, trial_days)
    sub["latest_invoice"] = first["id"]
    account.emit("customer.subscription.created", sub)
    account.clock.plan(until, "renew", sub["id"])
    if trial_days > 3:
        account.clock.plan(until - 3 * DAY, "warn", sub["id"])
    return sub, first


def start(account: Account, sub: Thing, first: Thing) -> bool:
    """Tries the first payment; where it fails, 23 hours remain to pay it."""
    paid = collection.settle(account, first)
    if not paid:
        account.clock.plan(account.clock.now() + collection.INCOMPLETE_HOURS * 3600, "expire", sub["id"])
    return paid


def _items(account: Account, sub: Thing, price: Thing, now: int, until: int) -> Thing:
    item = account.part(
        "subscription_item", subscription=sub["id"], price=copy(price), plan=catalogue.plan_of(account, price),
        current_period_start=now, current_period_end=until,
    )  # fmt: skip
    url = f"/v1/subscription_items?subscription={sub['id']}"
    return {"object": "list", "data": [item], "has_more": False, "url": url}


def _discount(account: Account, sub: Thing, coupon: str) -> str:
    found = account.store["coupon"].get(coupon, param="discounts[0][coupon]", status=400)
    source = {"coupon": coupon, "type": "coupon"}
    now = account.clock.now()
    discount = account.part("discount", customer=sub["customer"], subscription=sub["id"], source=source, start=now)
    account.discounts[discount["id"]] = discount
    found["times_redeemed"] += 1
    return str(discount["id"])


def _first_invoice(account: Account, customer: Thing, sub: Thing, trial_days: int) -> Thing:
    item = sub["items"]["data"][0]
    cents, said = (0, "Trial period") if trial_days else (item["price"]["unit_amount"], "")
    line = invoices.subscription_line(account, sub, item, cents, standing.period(sub), description=said)
    return invoices.draft(account, customer, "subscription_create", [line], sub)


def set_price(
    account: Account, sub: Thing, price: Thing, *, behavior: str = "create_prorations", at: int | None = None,
    insist: bool = False, **values: Any,
) -> Thing | None:  # fmt: skip
    """The invoice that came of it, if one did. `behavior` is Stripe's `proration_behavior`.

    Raises:
        StripeError: `insist` (payment_behavior error_if_incomplete) and the card says no; nothing is changed.
    """
    if sub["status"] in standing.ENDED:
        raise invalid(f"No such subscription: '{sub['id']}'", code="resource_missing", param="id")
    item = sub["items"]["data"][0]
    change = prorations.change(account, sub, item, price, at)
    due = sum(line["amount"] for line in change.lines)
    at_once = behavior == "always_invoice" or change.resets
    if insist and at_once and due > 0 and not collection.can_pay(account, sub["customer"]):
        raise declined()
    _switch(account, sub, price, change, values)
    if not change.lines or (behavior == "none" and not change.resets):
        return None
    if not at_once:
        for line in change.lines:
            _wait(account, sub, line)
        return None
    return _bill(account, sub, change.lines[1:] if behavior == "none" else change.lines)


def _switch(account: Account, sub: Thing, price: Thing, change: prorations.Change, values: Thing) -> None:
    items = copy(sub["items"])
    items["data"][0] |= {"price": copy(price), "plan": catalogue.plan_of(account, price)}
    items["data"][0] |= {"current_period_start": change.period[0], "current_period_end": change.period[1]}
    anchor = {"billing_cycle_anchor": change.period[0]} if change.resets else {}
    account.change(sub, "customer.subscription.updated", items=items, **anchor, **values)
    if change.resets:
        account.clock.plan(change.period[1], "renew", sub["id"])


def _wait(account: Account, sub: Thing, line: Thing) -> None:
    """A proration that the next invoice takes."""
    parent = {
        "type": "subscription_details",
        "subscription_details": {"subscription": sub["id"], "subscription_item": sub["items"]["data"][0]["id"]},
    }  # fmt: skip
    item = account.new(
        "invoiceitem", amount=line["amount"], net_amount=line["amount"], customer=sub["customer"], proration=True,
        date=account.clock.now(), description=line["description"], period=line["period"], parent=parent,
        pricing=line["pricing"], discountable=False,
    )  # fmt: skip
    account.waiting.setdefault(sub["id"], []).append((item, line))
    account.emit("invoiceitem.created", item)


def take_waiting(account: Account, sub: Thing, *, peek: bool = False) -> list[Thing]:
    """The prorations that wait, as lines."""
    found = account.waiting.get(sub["id"], []) if peek else account.waiting.pop(sub["id"], [])
    lines = []
    for item, line in found:
        line["parent"]["subscription_item_details"]["invoice_item"] = item["id"]
        lines.append(copy(line))
    return lines


def _bill(account: Account, sub: Thing, lines: list[Thing]) -> Thing:
    customer = account.store["customer"].get(sub["customer"])
    invoice = invoices.draft(account, customer, "subscription_update", take_waiting(account, sub) + lines, sub)
    for item in account.store["invoiceitem"].of("subscription", sub["id"]):
        item["invoice"] = item["invoice"] or invoice["id"]
    account.change(sub, "customer.subscription.updated", latest_invoice=invoice["id"])
    collection.settle(account, invoice)
    return invoice


def pause(account: Account, sub: Thing, behavior: str = "void", resumes_at: int | None = None) -> None:
    """No payment is collected; the status stays as it is."""
    values = {"behavior": behavior, "resumes_at": resumes_at}
    account.change(sub, "customer.subscription.updated", pause_collection=values)


def stop(account: Account, sub: Thing) -> None:
    """The status `paused`: no invoices and no periods until it is resumed."""
    previous = {"status": sub["status"]}
    sub["status"] = "paused"
    account.emit("customer.subscription.paused", sub)
    account.emit("customer.subscription.updated", sub, previous)


def resume(account: Account, sub: Thing) -> None:
    """From the status `paused`: a new period that begins now, with its invoice.

    Raises:
        StripeError: it is not paused.
    """
    if sub["status"] != "paused":
        raise invalid(f"Subscription {sub['id']} is not paused and cannot be resumed.", "id")
    now = account.clock.now()
    item = sub["items"]["data"][0]
    until = add_interval(now, item["price"]["recurring"]["interval"])
    period = copy(sub["items"])
    period["data"][0] |= {"current_period_start": now, "current_period_end": until}
    sub |= {"items": period, "billing_cycle_anchor": now, "status": "active"}
    account.emit("customer.subscription.resumed", sub)
    account.emit("customer.subscription.updated", sub, {"status": "paused"})
    account.clock.plan(until, "renew", sub["id"])
    line = invoices.subscription_line(account, sub, sub["items"]["data"][0], item["price"]["unit_amount"], (now, until))
    customer = account.store["customer"].get(sub["customer"])
    invoice = invoices.draft(account, customer, "subscription_cycle", [line], sub)
    account.change(sub, "customer.subscription.updated", latest_invoice=invoice["id"])
    collection.settle(account, invoice)
