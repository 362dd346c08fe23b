"""What stands where in Stripe's objects, before API version 2025-03-31.basil and since.

A webhook's body has the shape of its endpoint's version, whatever version we ask for: so each reader knows both.
All moments are Unix seconds, all money is in cents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

#: Under these names in metadata the OmniChat app keeps whose a payment is, and the units of a battery pack.
USER_KEYS = ("userId", "user_id", "clerkUserId")
UNIT_KEYS = ("units", "batteryUnits", "battery_units")
#: Under this name a refund's metadata say `keep` where its units stay with the user.
KEEP_UNITS = "omniops_units"


def id_of(value: Any) -> str | None:
    """The id of a reference, expanded or not."""
    found = value.get("id") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) and found else None


def expanded(value: Any) -> Object | None:
    return value if isinstance(value, Mapping) else None


def items_of(value: Any) -> list[Object]:
    """The objects of a list inside an object."""
    data = value.get("data") if isinstance(value, Mapping) else None
    return [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []


def dig(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def seconds(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def cents(value: Any) -> int:
    return seconds(value) or 0


def metadata_user(*objects: Any) -> str | None:
    """The user whom the metadata of the first object that names one names."""
    for metadata in (dig(each, "metadata") for each in objects):
        for key in USER_KEYS:
            found = dig(metadata, key)
            if isinstance(found, str) and found.strip():
                return found.strip()
    return None


def metadata_units(*objects: Any) -> int | None:
    """The units of a battery pack that the metadata of the first object with any names."""
    for metadata in (dig(each, "metadata") for each in objects):
        for key in UNIT_KEYS:
            text = str(dig(metadata, key) or "").strip().replace(",", "")
            if text.isascii() and text.isdecimal() and int(text[:19]) > 0:
                return int(text[:19])
    return None


def unreadable_units(*objects: Any) -> str | None:
    """What stands in the place of units in metadata, and is no number of them."""
    named = [str(dig(each, "metadata", key) or "").strip() for each in objects for key in UNIT_KEYS]
    return next((text for text in named if text not in ("", "0")), None) if metadata_units(*objects) is None else None


def is_free_sale(session: Object) -> bool:
    """A session of a sale that is complete without a payment: a coupon paid all of it."""
    is_sold = session.get("mode") == "payment" and session.get("status") == "complete"
    return is_sold and not session.get("payment_intent") and session.get("payment_status") != "unpaid"


def keeps_units(refund: Object) -> bool:
    """Whether money was given back without taking the units that it bought."""
    return bool(dig(refund, "metadata", KEEP_UNITS) == "keep")


def period(subscription: Object) -> tuple[int | None, int | None]:
    """Begin and end of the present period. Items may differ: then the last one to end."""
    items = [(seconds(dig(item, "current_period_start")), seconds(dig(item, "current_period_end")))
             for item in items_of(subscription.get("items"))]  # fmt: skip
    items = [(start, end) for start, end in items if end is not None]
    if items:
        return max(items, key=lambda both: both[1] or 0)
    return seconds(subscription.get("current_period_start")), seconds(subscription.get("current_period_end"))


def subscription_prices(subscription: Object) -> list[Object]:
    return [price for item in items_of(subscription.get("items")) if (price := expanded(item.get("price")))]


def cancel_at(subscription: Object) -> int | None:
    """When it will end, or ended. The portal sets `cancel_at` since basil, and a flag before."""
    found = seconds(subscription.get("cancel_at"))
    if found is None and subscription.get("cancel_at_period_end"):
        return period(subscription)[1]
    return found


def invoice_subscription(invoice: Object) -> str | None:
    details = dig(invoice, "parent", "subscription_details")
    return id_of(dig(details, "subscription")) or id_of(invoice.get("subscription"))


def invoice_metadata(invoice: Object) -> Object:
    """The subscription's metadata as they were when the invoice was made, in the place of an object's own."""
    found = dig(invoice, "parent", "subscription_details", "metadata") or dig(
        invoice, "subscription_details", "metadata"
    )
    return {"metadata": found or {}}


def invoice_payment_intent(invoice: Object) -> str | None:
    """Of several payments the first that is paid. None where nothing was, here; or `payments` is not expanded."""
    if invoice.get("paid_out_of_band"):
        return None
    paid = [each for each in items_of(invoice.get("payments")) if each.get("status") == "paid"]
    found = (id_of(dig(each, "payment", "payment_intent")) for each in paid)
    return id_of(invoice.get("payment_intent")) or next(filter(None, found), None)


def lines(invoice: Object) -> Iterator[Object]:
    yield from items_of(invoice.get("lines"))


def line_price(line: Object) -> str | None:
    found = id_of(dig(line, "pricing", "price_details", "price"))
    return found or id_of(line.get("price")) or id_of(line.get("plan"))


def line_subscription(line: Object) -> str | None:
    parent = line.get("parent")
    for kind in ("subscription_item_details", "invoice_item_details"):
        found = id_of(dig(parent, kind, "subscription"))
        if found:
            return found
    return id_of(line.get("subscription"))


def is_proration(line: Object) -> bool:
    parent = line.get("parent")
    kinds = ("subscription_item_details", "invoice_item_details")
    return bool(line.get("proration") or any(dig(parent, kind, "proration") for kind in kinds))


def is_credit(line: Object) -> bool:
    """Whether it gives back what an earlier line charged, which a coupon may have brought to nothing."""
    kinds = ("subscription_item_details", "invoice_item_details")
    details = [line, *(dig(line, "parent", kind) for kind in kinds)]
    return cents(line.get("amount")) < 0 or any(dig(each, "proration_details", "credited_items") for each in details)


def line_period(line: Object) -> tuple[int, int]:
    return cents(dig(line, "period", "start")), cents(dig(line, "period", "end"))


def paid_at(invoice: Object) -> int:
    return seconds(dig(invoice, "status_transitions", "paid_at")) or cents(invoice.get("created"))
