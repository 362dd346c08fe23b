"""The paths under /v1: which function answers what."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from standins.stripe import lists, parameters, resources
from standins.stripe.account import Account
from standins.stripe.errors import unknown_path
from standins.stripe.expansion import expand
from standins.stripe.store import Seedling, Thing, copy
from standins.stripe.versions import LATEST, event_data, rendered

Handler = Callable[[Account, Thing, str], Thing]

PATHS = {
    "customers": "customer", "products": "product", "prices": "price", "coupons": "coupon",
    "subscriptions": "subscription", "invoices": "invoice", "invoice_payments": "invoice_payment",
    "invoiceitems": "invoiceitem", "payment_intents": "payment_intent", "charges": "charge", "refunds": "refund",
    "disputes": "dispute", "credit_notes": "credit_note",
    "checkout/sessions": "checkout.session", "balance_transactions": "balance_transaction",
    "events": "event", "payment_methods": "payment_method",
}  # fmt: skip


def _list(kind: str, url: str) -> Handler:
    return lambda account, given, id: lists.listed(account, kind, given, url)


def _get(kind: str) -> Handler:
    def get(account: Account, given: Thing, id: str) -> Thing:
        parameters.known(given, set())
        return account.store[kind].deleted.get(id) or account.store[kind].get(id)

    return get


ROUTES: list[tuple[str, re.Pattern[str], str, Handler]] = []


def _route(method: str, shape: str, handler: Handler) -> None:
    pattern = re.compile("/v1/" + shape.replace("{id}", r"(?P<id>[^/]+)"))
    ROUTES.append((method, pattern, f"/v1/{shape}", handler))


for method, shape, handler in resources.ROUTES:
    _route(method, shape, handler)
for path, kind in PATHS.items():
    _route("GET", path, _list(kind, f"/v1/{path}"))
    _route("GET", f"{path}/{{id}}", _get(kind))


def find(method: str, path: str) -> tuple[Handler, str, str]:
    """The function, the id in the path, and the path's shape, by which calls are counted.

    Raises:
        StripeError: 404, no such path.
    """
    for known, pattern, shape, handler in ROUTES:
        if known == method and (match := pattern.fullmatch(path)):
            return handler, match.groupdict().get("id", ""), shape
    raise unknown_path(method, path)


def answer(account: Account, method: str, path: str, given: Thing, version: str = "") -> Thing:
    """What is to be sent; the caller holds the lock until it is serialized."""
    handler, id, _ = find(method, path)
    paths = given.pop("expand", None)
    return presented(account, handler(account, given, id), paths, version or account.api_version)


def presented(account: Account, thing: Thing, paths: Any, version: str) -> Thing:
    """The answer in the version asked for; events have the account's, whatever the caller's."""
    is_event = thing.get("object") == "event" or thing.get("url") == "/v1/events"
    version = account.api_version if is_event else version
    if not paths and version[:10] >= LATEST[:10]:
        return thing
    data = thing.get("data")
    if thing.get("object") == "list" and isinstance(data, list):
        rows = [row.grown() if isinstance(row, Seedling) else copy(row) for row in data]
        thing = {**thing, "data": rows}
    else:
        thing = copy(thing)
    if paths:
        expand(account, thing, paths)
    if is_event:
        for event in thing["data"] if thing["object"] == "list" else [thing]:
            event["data"] = event_data(event["data"], version, account.store)
        return thing
    return rendered(thing, version, account.store)  # type: ignore[no-any-return]
