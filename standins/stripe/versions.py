"""The shapes of API versions: objects are kept as 2026-10-28.endive has them, and rendered as older ones did."""

from __future__ import annotations

from typing import Any

from standins.stripe.store import Store, Thing, copy

LATEST = "2026-10-28.endive"
BASIL = "2025-03-31"  # the first version with the new shapes of subscriptions and invoices
CLOVER = "2025-09-30"  # the first whose discounts name their coupon under `source`


def rendered(value: Any, version: str, store: Store) -> Any:
    """The same in the shape of that version. `value` is changed: hand in a copy."""
    if version[:10] >= CLOVER:
        return value
    return _walk(value, version[:10], store)


def event_data(data: Thing, version: str, store: Store) -> Thing:
    """An event's `data`, of which the previous attributes have the shape of the version as well."""
    shown: Thing = rendered(data, version, store)
    previous = shown.get("previous_attributes")
    if previous and "items" in previous and version[:10] < BASIL:
        item = previous["items"]["data"][0]
        for bound in ("current_period_start", "current_period_end"):
            before = item.pop(bound)
            if before != shown["object"].get(bound):
                previous[bound] = before
        if item["price"] == shown["object"]["items"]["data"][0]["price"]:
            del previous["items"]
    return shown


def _walk(value: Any, day: str, store: Store) -> Any:
    if isinstance(value, list):
        return [_walk(each, day, store) for each in value]
    if not isinstance(value, dict):
        return value
    old = {name: _walk(each, day, store) for name, each in value.items()}
    if old.get("object") == "discount" and "source" in old:
        coupon = store["coupon"].find(str((old.pop("source") or {}).get("coupon")))
        old["coupon"] = copy(coupon)
    if day < BASIL and (render := _OLD.get(str(old.get("object")))) and not old.get("deleted"):
        render(old, store)
    return old


def _subscription(sub: Thing, store: Store) -> None:
    items = sub["items"]["data"]
    for bound in ("current_period_start", "current_period_end"):
        sub[bound] = items[0].get(bound) if items else None
    for item in items:
        item.pop("current_period_start", None)
        item.pop("current_period_end", None)
    for name in ("billing_mode", "billing_schedules", "managed_payments", "customer_account"):
        sub.pop(name, None)
    if items:
        sub["plan"], sub["quantity"] = items[0]["plan"], items[0]["quantity"]
    sub["discount"] = sub["discounts"][0] if sub["discounts"] and isinstance(sub["discounts"][0], dict) else None


def _invoice(invoice: Thing, store: Store) -> None:
    parent = invoice.pop("parent", None) or {}
    details = parent.get("subscription_details")
    invoice["subscription"] = details["subscription"] if details else None
    invoice["subscription_details"] = {"metadata": details["metadata"] if details else None}
    invoice["paid"] = invoice["status"] == "paid"
    payments = store["invoice_payment"].of("invoice", str(invoice.get("id")))
    by_us = not invoice["amount_due"] or any(each["status"] == "paid" for each in payments)
    invoice["paid_out_of_band"] = invoice["paid"] and not by_us
    invoice["tax"], invoice["total_tax_amounts"] = None, []
    for name in ("total_taxes", "total_pretax_credit_amounts", "amount_overpaid", "customer_account", "payments"):
        invoice.pop(name, None)
    intent = None if invoice["status"] == "draft" else _intent_of(str(invoice.get("id")), store)
    invoice["payment_intent"] = intent["id"] if intent else None
    invoice["charge"] = intent["latest_charge"] if intent else None


def _intent_of(invoice_id: str, store: Store) -> Thing | None:
    payments = store["invoice_payment"].of("invoice", invoice_id)
    return store["payment_intent"].find(payments[-1]["payment"]["payment_intent"]) if payments else None


def _line(line: Thing, store: Store) -> None:
    parent, pricing = line.pop("parent") or {}, line.pop("pricing") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    price = store["price"].find(str(pricing.get("price_details", {}).get("price")))
    line["price"] = copy(price)
    line["proration"] = bool(details.get("proration"))
    line["proration_details"] = details.get("proration_details") or {"credited_items": None}
    line["subscription"] = details.get("subscription")
    line["subscription_item"] = details.get("subscription_item")
    line["type"] = "invoiceitem" if details.get("invoice_item") else "subscription"
    if details.get("invoice_item"):
        line["invoice_item"] = details["invoice_item"]
    line["unit_amount_excluding_tax"] = pricing.get("unit_amount_decimal")
    line["amount_excluding_tax"] = line.pop("subtotal", None)
    line["tax_amounts"], line["tax_rates"] = [], []
    for name in ("taxes", "quantity_decimal"):
        line.pop(name, None)


def _payment_intent(intent: Thing, store: Store) -> None:
    intent["invoice"] = _invoice_of(str(intent.get("id")), store)
    intent.pop("customer_account", None)


def _charge(charge: Thing, store: Store) -> None:
    intent = charge.get("payment_intent")
    charge["invoice"] = _invoice_of(intent["id"] if isinstance(intent, dict) else str(intent), store)


def _credit_note(note: Thing, store: Store) -> None:
    refunds = note.pop("refunds")
    note["refund"] = refunds[0]["refund"] if refunds else None
    note["tax_amounts"] = note.pop("total_taxes")
    for name in ("customer_account", "post_payment_amount", "pre_payment_amount"):
        note.pop(name, None)


def _invoice_of(intent_id: str, store: Store) -> str | None:
    payments = store["invoice_payment"].of("payment_intent", intent_id)
    return payments[-1]["invoice"] if payments else None


_OLD = {
    "subscription": _subscription, "invoice": _invoice, "line_item": _line,
    "payment_intent": _payment_intent, "charge": _charge, "credit_note": _credit_note,
}  # fmt: skip
