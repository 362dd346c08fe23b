"""`expand[]`: ids replaced by their objects, and the lists that are only there when they are asked for."""

from __future__ import annotations

from typing import Any

import orjson

from standins.stripe.account import Account
from standins.stripe.errors import invalid
from standins.stripe.store import Thing, copy

DEEPEST = 4
# Lists inside an object: (kind of the object, its property) -> (kind of the list, the index it is found by).
INCLUDED = {
    ("invoice", "payments"): ("invoice_payment", "invoice"),
    ("charge", "refunds"): ("refund", "charge"),
    ("customer", "subscriptions"): ("subscription", "customer"),
}
# What nobody here ever has, and may still be asked for.
EMPTY = {
    ("customer", "sources"): b'{"object": "list", "data": [], "has_more": false, "url": "/v1/customers/sources"}',
    ("price", "currency_options"): b"{}",
    ("price", "tiers"): b"[]",
    ("item", "discounts"): b"[]",
}


def expand(account: Account, thing: Thing, paths: Any) -> None:
    """Changes `thing`: hand in a copy.

    Raises:
        StripeError: a path that names nothing that can be expanded, or is deeper than four.
    """
    if not isinstance(paths, list):
        raise invalid("Invalid array", "expand")
    for path in paths:
        parts = str(path).split(".")
        if len(parts) > DEEPEST:
            raise invalid(f"You cannot expand more than {DEEPEST} levels of a property ({path}).", "expand")
        _into(account, thing, parts, str(path))


def _into(account: Account, thing: Any, parts: list[str], path: str) -> None:
    if isinstance(thing, list):
        for each in thing:
            _into(account, each, parts, path)
        return
    if not isinstance(thing, dict) or not parts:
        return
    head, rest = parts[0], parts[1:]
    if head not in thing and not _include(account, thing, head) and not _optional(thing, head):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    value = thing.get(head)
    if isinstance(value, str):
        thing[head] = _object(account, value, path)
    elif isinstance(value, list):
        thing[head] = [_object(account, each, path) if isinstance(each, str) else each for each in value]
    _into(account, thing.get(head), rest, path)


def _object(account: Account, id: str, path: str) -> Thing:
    found = account.discounts.get(id) or account.store.by_id(id)
    if found is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return copy(found)  # type: ignore[no-any-return]


def _optional(thing: Thing, head: str) -> bool:
    """Inside `payment` only the one that its type names is there."""
    return "object" not in thing


def _include(account: Account, thing: Thing, head: str) -> bool:
    kind = str(thing.get("object"))
    if kind == "checkout.session" and head == "line_items":
        thing[head] = _listing(
            account.session_lines.get(thing["id"], []), f"/v1/checkout/sessions/{thing['id']}/line_items"
        )
    elif (kind, head) in EMPTY:
        thing[head] = orjson.loads(EMPTY[kind, head])
    elif (kind, head) in INCLUDED:
        inner, index = INCLUDED[kind, head]
        found = list(reversed(account.store[inner].shown(index, thing["id"])))
        if inner == "subscription":
            found = [sub for sub in found if sub["status"] not in ("canceled", "incomplete_expired")]
        thing[head] = _listing(found, f"/v1/{kind}s/{thing['id']}/{head}")
    return head in thing


def _listing(found: list[Thing], url: str) -> Thing:
    return {"object": "list", "data": copy(found[:10]), "has_more": len(found) > 10, "url": url}
