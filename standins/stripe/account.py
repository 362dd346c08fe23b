"""One Stripe account: its objects, its time, its events, and what makes new ones."""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Callable
from typing import Any

from standins.stripe.clock import Clock
from standins.stripe.shapes import shape
from standins.stripe.store import PREFIXES, Store, Thing, copy
from standins.stripe.versions import LATEST, event_data

_LETTERS = string.ascii_letters + string.digits
_PREFIX = {kind: prefix for prefix, kind in PREFIXES.items()} | {
    "line_item": "il", "subscription_item": "si", "discount": "di", "item": "li",
    "checkout.session": "cs_test", "credit_note_line_item": "cnli", "customer_balance_transaction": "cbtxn",
}  # fmt: skip


class Account:
    """`lock` is held by whoever reads or changes something. The same seed makes the same ids in the same order.

    `api_version` is that of the account and so of its events, as Stripe has it.
    """

    def __init__(
        self, seed: int = 0, *, clock: Clock | None = None, livemode: bool = False, api_version: str = LATEST
    ) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(seed)
        # Apart from the other, so that reading over HTTP does not change which ids come next.
        self._request_random = random.Random(seed)
        self.clock = clock or Clock()
        self.livemode, self.api_version = livemode, api_version
        self.store = Store()
        self.events: list[Thing] = []
        self.listeners: list[Callable[[Thing], None]] = []
        self.request: dict[str, str | None] = {"id": None, "idempotency_key": None}
        self.declining: set[str] = set()  # customers whose card says no
        self.cardless: set[str] = set()  # customers who have given no card
        self.after_dunning = "unpaid"
        self.event_days = 30  # how far back /v1/events reaches
        self.discounts: dict[str, Thing] = {}
        self.session_lines: dict[str, list[Thing]] = {}
        self.waiting: dict[str, list[tuple[Thing, Thing]]] = {}  # prorations by subscription: the item and its line

    def new_id(self, kind: str) -> str:
        length = {"customer": 14, "product": 14, "subscription_item": 14, "checkout.session": 58}.get(kind, 24)
        return f"{_PREFIX[kind]}_{''.join(self.random.choices(_LETTERS, k=length))}"

    def new_request(self) -> str:
        return f"req_{self._request_random.randrange(16**14):014x}"

    def new(self, kind: str, id: str | None = None, **values: Any) -> Thing:
        """Makes an object and keeps it; no event."""
        return self.store[kind].add(self.part(kind, id, **values))

    def part(self, kind: str, id: str | None = None, **values: Any) -> Thing:
        """Makes an object that lives inside another, such as a line of an invoice."""
        return shape(kind, id or self.new_id(kind), self.clock.now(), self.livemode, **values)

    def change(self, thing: Thing, event: str | None = None, **values: Any) -> bool:
        """Sets values; where something differs, tells it by `event` with the previous attributes."""
        before = {name: copy(thing.get(name)) for name in values}
        thing.update(copy(values))
        previous = differences(before, values)
        if previous and event:
            self.emit(event, thing, previous)
        return bool(previous)

    def emit(self, type: str, thing: Thing, previous: Thing | None = None) -> Thing:
        """Makes an event with a snapshot of the object as it is now."""
        data: Thing = {"object": copy(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.part("event", type=type, data=data, api_version=self.api_version, request=dict(self.request))
        self.store["event"].add(event)
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        return event

    def render_event(self, event: Thing, version: str) -> Thing:
        """The event as an endpoint of that version gets it."""
        shown = copy(event)
        shown["api_version"] = version
        shown["data"] = event_data(shown["data"], version, self.store)
        return shown  # type: ignore[no-any-return]


def differences(before: Thing, after: Thing) -> Thing:
    """Stripe's `previous_attributes`: the old values of what changed; of a hash only its changed keys."""
    found: Thing = {}
    for name, old in before.items():
        new = after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            keys = old | new
            found[name] = differences({key: old.get(key) for key in keys}, new)
        else:
            found[name] = old
    return found
