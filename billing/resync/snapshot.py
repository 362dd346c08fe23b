"""Stripe as it was when its lists were read: asked as Stripe is, and answered by the scratch file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from billing import stripe_shapes as shapes
from billing.resync.reading import INVOICES, SESSION_SECONDS
from billing.resync.scratch import Scratch
from billing.stripe_api import Stripe

_SINGLE = {"customers": "customer", "payment_intents": "intent", "subscriptions": "subscription"}
_LISTS = {
    "/v1/subscriptions": "subscription",
    "/v1/refunds": "refund",
    "/v1/disputes": "dispute",
}
#: Customers that Stripe's lists lack are asked for singly, so many at the most: a wrong key lacks all of them.
ASKED_SINGLY = 50


class Snapshot(Stripe):
    """What was read counts; what was not is asked for, and kept."""

    def __init__(self, stripe: Stripe, scratch: Scratch, *, is_whole: bool) -> None:
        self.live, self.scratch, self.is_whole = stripe, scratch, is_whole
        self.is_live = stripe.is_live
        self.calls: Counter[str] = stripe.calls
        self._asked = 0

    def get(self, path: str, **params: Any) -> dict[str, Any] | None:
        resource, _, id = path.removeprefix("/v1/").rpartition("/")
        if resource == "checkout/sessions":
            return self.scratch.object("session", id) or self.live.get(path, **params)
        kind = _SINGLE[resource]
        found = self.scratch.object(kind, id)
        if found is not None:
            return found
        if kind == "customer" and self.is_whole:
            if self._asked >= ASKED_SINGLY:
                return None
            self._asked += 1
        found = self.live.get(path, **params)
        if found is not None:
            self.scratch.keep(kind, [found])
        return found

    def list(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        if path in _LISTS:
            column, name = ("customer",) * 2 if "customer" in params else ("intent", "payment_intent")
            yield from self.scratch.objects(_LISTS[path], **{column: params[name]})
        elif path == "/v1/checkout/sessions" and "payment_intent" in params:
            yield from self._sessions(params["payment_intent"])
        elif path == "/v1/invoices" and "customer" in params:
            yield from self._invoices(params["customer"])
        elif path == "/v1/invoice_payments":
            yield from self._invoice_payments(params)
        else:
            yield from self.live.list(path, **params)

    def _sessions(self, intent: str) -> Iterator[dict[str, Any]]:
        """That of a payment, which is asked for where it is older than those that were listed."""
        found = self.scratch.objects("session", intent=intent)
        made = shapes.cents((self.scratch.object("intent", intent) or {}).get("created"))
        if not found and made < self.scratch.get("sessions_since", 0) + SESSION_SECONDS:
            found = list(self.live.list("/v1/checkout/sessions", payment_intent=intent))
            self.scratch.keep("session", found)
        yield from found

    def _invoices(self, customer: str) -> Iterator[dict[str, Any]]:
        if not self.scratch.get("invoices") and not self.scratch.get(f"invoices:{customer}"):
            self.scratch.keep("invoice", self.live.list(INVOICES.path, customer=customer, **INVOICES.params))
            self.scratch.set(f"invoices:{customer}", True)
        yield from self.scratch.objects("invoice", customer=customer)

    def _invoice_payments(self, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Which invoice a payment is for, from the invoices of its customer."""
        intent = params["payment"]["payment_intent"]
        customer = shapes.id_of((self.scratch.object("intent", intent) or {}).get("customer"))
        for invoice in self._invoices(customer) if customer else ():
            payments = shapes.items_of(invoice.get("payments"))
            if any(shapes.id_of(shapes.dig(each, "payment", "payment_intent")) == intent for each in payments):
                yield {"invoice": invoice["id"]}
                return
        yield from self.live.list("/v1/invoice_payments", **params)
