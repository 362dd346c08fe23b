"""Lists: newest first, 100 at the most, cursors, windows of `created`, filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from standins.stripe import parameters
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.errors import invalid
from standins.stripe.store import INDEXED, Thing, field

PAGING = {"limit", "starting_after", "ending_before", "created", "expand"}
FILTERS: dict[str, set[str]] = {
    "customer": {"email"},
    "product": {"active", "ids"},
    "price": {"active", "product", "type", "currency", "lookup_keys", "recurring"},
    "coupon": set(),
    "subscription": {"customer", "status", "price", "collection_method", "current_period_end", "current_period_start"},
    "invoice": {"customer", "status", "subscription", "collection_method"},
    "invoice_payment": {"invoice", "status", "payment"},
    "invoiceitem": {"customer", "invoice", "pending"},
    "payment_intent": {"customer"},
    "charge": {"customer", "payment_intent"},
    "refund": {"charge", "payment_intent"},
    "credit_note": {"customer", "invoice"},
    "dispute": {"charge", "payment_intent"},
    "checkout.session": {"customer", "payment_intent", "status", "subscription"},
    "balance_transaction": {"type", "source"},
    "event": {"type", "types", "delivery_success"},
    "payment_method": {"customer", "type", "allow_redisplay"},
}


def listed(account: Account, kind: str, given: Thing, url: str) -> Thing:
    """The list object; its `data` still holds the store's own rows, and seedlings unread.

    Raises:
        StripeError: an unknown parameter, a limit out of range, a cursor to what is not there.
    """
    parameters.known(given, PAGING | FILTERS[kind])
    index, checks = _filters(account, kind, given)
    rows, more = account.store[kind].page(
        limit=_limit(given), after=_cursor(given, "starting_after"), before=_cursor(given, "ending_before"),
        window=_window(given.get("created")), index=index, where=_all(checks),
    )  # fmt: skip
    return {"object": "list", "data": rows, "has_more": more, "url": url}


def _limit(given: Thing) -> int:
    limit = parameters.integer(given, "limit", 10) or 0
    if not 1 <= limit <= 100:
        code = "parameter_invalid_integer"
        raise invalid("Invalid integer: limit must be between 1 and 100.", "limit", code)
    return limit


def _cursor(given: Thing, name: str) -> str | None:
    return given.get(name) or None


def _window(created: Any) -> tuple[float, float]:
    if created is None:
        return float("-inf"), float("inf")
    if not isinstance(created, dict):
        exact = parameters.integer({"created": created}, "created") or 0
        return exact, exact
    parameters.known(created, {"gt", "gte", "lt", "lte"})
    bounds = {name: parameters.integer(created, name) for name in created}
    low = [b + (name == "gt") for name, b in bounds.items() if name in ("gt", "gte") and b is not None]
    high = [b - (name == "lt") for name, b in bounds.items() if name in ("lt", "lte") and b is not None]
    return max(low, default=float("-inf")), min(high, default=float("inf"))


Check = Callable[[Thing], bool]


def _all(checks: list[Check]) -> Check | None:
    return (lambda thing: all(check(thing) for check in checks)) if checks else None


def _filters(account: Account, kind: str, given: Thing) -> tuple[tuple[str, str] | None, list[Check]]:
    """The index to go by, and what else has to hold."""
    wanted = {name: given[name] for name in FILTERS[kind] if given.get(name) not in (None, "")}
    if kind == "invoice_payment" and "payment" in wanted:
        wanted["payment_intent"] = wanted.pop("payment").get("payment_intent", "")
    checks: list[Check] = []
    if kind == "subscription":
        checks += _by_status(wanted.pop("status", None))
    if kind == "event":
        checks += _events(account, wanted)
    indexed = [name for name in wanted if name in INDEXED]
    index = (indexed[0], str(wanted.pop(indexed[0]))) if indexed else None
    return index, checks + [_check(name, value) for name, value in wanted.items()]


def _by_status(status: str | None) -> list[Check]:
    """Without one, Stripe leaves out what is canceled."""
    if status == "all":
        return []
    if status is None:
        return [lambda sub: sub["status"] not in ("canceled", "incomplete_expired")]
    if status == "ended":
        return [lambda sub: sub["status"] in ("canceled", "incomplete_expired")]
    return [lambda sub: sub["status"] == status]


def _events(account: Account, wanted: Thing) -> list[Check]:
    """Thirty days back, as Stripe keeps them."""
    checks: list[Check] = []
    types = wanted.pop("types", None) or ([wanted.pop("type")] if "type" in wanted else None)
    if types:
        exact, starts = set(types), tuple(each[:-1] for each in types if each.endswith("*"))
        checks.append(lambda event: event["type"] in exact or event["type"].startswith(starts))
    if delivered := wanted.pop("delivery_success", None):
        checks.append(lambda event: (event["pending_webhooks"] == 0) == (delivered == "true"))
    oldest = account.clock.now() - account.event_days * DAY
    return [*checks, lambda event: event["created"] >= oldest]


def _check(name: str, value: Any) -> Check:
    if name == "price":
        return lambda sub: any(item["price"]["id"] == value for item in sub["items"]["data"])
    if name == "recurring":
        return lambda price: all((price["recurring"] or {}).get(k) == v for k, v in value.items())
    if name in ("lookup_keys", "ids"):
        own = "lookup_key" if name == "lookup_keys" else "id"
        return lambda thing: thing[own] in value
    if value in ("true", "false"):
        return lambda thing: thing.get(name) is (value == "true")
    return lambda thing: field(thing, name) == value
