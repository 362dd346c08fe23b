"""The stand-in's own paths, /_control/..., for the demo and for other processes: JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from standins.stripe.errors import StripeError, invalid
from standins.stripe.placing import place
from standins.stripe.store import Thing

if TYPE_CHECKING:
    from standins.stripe.server import StripeServer

# Deeds of people, by their names in Python and with their arguments: POST /_control/subscribe {"customer": "cus_x"}.
DEEDS = frozenset({
    "price", "change_price", "coupon", "customer", "change_customer", "delete_customer", "decline", "accept",
    "subscribe", "upgrade", "cancel", "resume", "pause", "fail_payment", "pay", "refund", "fail_refund", "dispute",
    "credit_note", "void_credit_note",
    "answer_dispute", "close_dispute", "buy_pack", "settle", "advance", "get", "bulk",
})  # fmt: skip


def control(stripe: StripeServer, name: str, given: Thing) -> Any:
    """The answer, made of JSON.

    Raises:
        StripeError: no such name, or arguments that the function does not take.
    """
    function: Callable[..., Any] | None = getattr(stripe, name) if name in DEEDS else _OTHERS.get(name)
    if function is None:
        known = ", ".join(sorted(DEEDS | _OTHERS.keys()))
        raise StripeError(f"/_control/{name} is none of {known}", status=404)
    try:
        return function(**given) if name in DEEDS else function(stripe, **given)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise invalid(f"/_control/{name}: {error}") from error


def _state(stripe: StripeServer) -> Thing:
    prices = [{"plan": plan, "interval": interval, "id": id} for (plan, interval), id in stripe.prices.items()]
    return {
        "clock": stripe.clock, "calls": dict(stripe.calls), "prices": prices, "events": len(stripe.events),
        "deliver_to": stripe.deliver_to,
        "objects": {kind: len(table) for kind, table in stripe.account.store.tables.items()},
    }  # fmt: skip


def _events(stripe: StripeServer, since: int = 0, version: str | None = None) -> list[Thing]:
    return [stripe.event(event, version) for event in stripe.events[since:]]


def _all(stripe: StripeServer, kind: str) -> list[Thing]:
    return stripe.all(kind)


def _deliver(stripe: StripeServer, event: str = "last", url: str | None = None) -> Thing:
    """`event` is an id, the type of the newest to be sent, or `last`."""
    if event.startswith("evt_"):
        return {"status": stripe.deliver(event, url), "event": event}
    found = [each for each in stripe.events if event in ("last", each["type"])]
    if not found:
        raise invalid(f"There is no event of the type {event} yet.", "event")
    return {"status": stripe.deliver(found[-1], url), "event": found[-1]["id"]}


def _redeliver(stripe: StripeServer) -> Thing:
    return {"sent": stripe.redeliver()}


def _wait(stripe: StripeServer) -> Thing:
    stripe.deliveries.wait()
    return {}


def _fault(stripe: StripeServer, kind: str, **options: Any) -> Thing:
    stripe.fault(kind, **options)
    return {}


def _clear_faults(stripe: StripeServer) -> Thing:
    stripe.faults.clear()
    return {}


def _reset_calls(stripe: StripeServer) -> Thing:
    stripe.reset_calls()
    return {}


def _settings(
    stripe: StripeServer, latency: float | None = None, deliver_to: str | None = None, clock: int | None = None,
    per_second: int | None = None,
) -> Thing:  # fmt: skip
    """`latency` in seconds; `deliver_to` empty stops the deliveries; `per_second` 0 takes the limit away."""
    if latency is not None:
        stripe.faults.latency = latency
    if deliver_to is not None:
        stripe.deliver_to = deliver_to or None
    if per_second is not None:
        stripe.faults.per_second = per_second or None
    if clock is not None:
        stripe.clock = clock
    return _state(stripe)


_OTHERS: dict[str, Callable[..., Any]] = {
    "state": _state, "events": _events, "all": _all, "deliver": _deliver, "redeliver": _redeliver, "wait": _wait,
    "place": place, "fault": _fault, "clear_faults": _clear_faults, "reset_calls": _reset_calls, "settings": _settings,
}  # fmt: skip
