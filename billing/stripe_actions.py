"""What staff do to a subscription or a payment at Stripe: looked at first, done once for each key.

Before anything is sent, and before anything is sent again, Stripe is asked whether it is done already. A second try has
the idempotency key of the first. OmniChat's rows follow by `follow`, through the functions that work off events.
https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from billing import stripe_shapes as shapes
from billing.stripe_accounts import Parked, read_account
from billing.stripe_api import Stripe, StripeDown
from billing.stripe_events import Effect, Needs, carry_out
from billing.stripe_shapes import Object
from billing.stripe_state import Plans
from billing.stripe_subscriptions import user_of
from database.audit import Actor

ENDED = ("canceled", "incomplete_expired")
TRIES = 3


class Refused(Exception):
    """Nothing was done. The text is a sentence that says why, and what to do."""


class Uncertain(Exception):
    """Stripe gave no answer that tells whether it is done. The same again, with the same key, does it once."""


@dataclass(frozen=True)
class Held:
    """A subscription as Stripe has it now, the user whose it is, and OmniChat's plans."""

    subscription: Object
    user_id: str
    plans: Plans

    @property
    def id(self) -> str:
        return str(self.subscription["id"])

    @property
    def customer(self) -> str:
        return str(shapes.id_of(self.subscription.get("customer")))

    @property
    def status(self) -> str:
        return str(self.subscription.get("status"))

    @property
    def ends_at(self) -> int | None:
        """Unix seconds of a cancellation that is to come."""
        return None if self.status in ENDED else shapes.cancel_at(self.subscription)

    @property
    def period_end(self) -> int | None:
        return shapes.period(self.subscription)[1]

    @property
    def price(self) -> Object:
        """The price of its first item, as Stripe has it."""
        return next(iter(shapes.subscription_prices(self.subscription)), {})

    @property
    def price_cents(self) -> int:
        """What the next whole period costs, before discounts and taxes."""
        items = shapes.items_of(self.subscription.get("items"))
        return sum(shapes.cents(shapes.dig(each, "price", "unit_amount")) * _quantity(each) for each in items)

    @property
    def currency(self) -> str:
        return str(self.subscription.get("currency") or self.price.get("currency") or "usd")

    @property
    def is_paused(self) -> bool:
        return self.status == "paused" or bool(self.subscription.get("pause_collection"))

    @property
    def mark(self) -> str:
        """Another one where anything has changed that a decision rests on."""
        paused = shapes.dig(self.subscription, "pause_collection", "behavior")
        parts = (self.id, self.status, self.ends_at, self.period_end, self.price.get("id"), self.price_cents, paused)
        return ":".join(str(part) for part in parts)

    def allowed(self) -> tuple[str, ...]:
        """The actions that make sense now."""
        if self.status in ENDED:
            return ()
        later = () if self.ends_at or self.status == "incomplete" else ("cancel",)
        back = ("resume",) if self.ends_at or self.is_paused else ()
        return (*later, "cancel-now", *back)


def _quantity(item: Object) -> int:
    found = shapes.seconds(item.get("quantity"))
    return 1 if found is None else found


def check_effects() -> None:
    """Raises Refused where this console only observes: it could not follow with OmniChat's rows."""
    if settings.STRIPE_EFFECTS == "observe":
        raise Refused("STRIPE_EFFECTS is observe: this console changes nothing. Do it in Stripe's dashboard.")


def look_at(stripe: Stripe, subscription_id: str) -> Held:
    """Raises Refused where it is nobody's whom OmniChat knows, and StripeTrouble."""
    found = stripe.get(f"/v1/subscriptions/{subscription_id}", expand=["customer"])
    if found is None:
        raise Refused(f"Stripe knows no subscription {subscription_id}: look at the mode of STRIPE_SECRET_KEY.")
    account = read_account(shapes.id_of(found.get("customer")))
    try:
        user_id, account = user_of(stripe, account, set(), shapes.expanded(found.get("customer")))
    except Parked as parked:
        raise Refused(str(parked)) from parked
    return Held(found, user_id, account.plans)


def cancel(stripe: Stripe, held: Held, *, key: str, now: bool = False) -> Object:
    """End it at the period's end, or at once, without money back. The subscription as it is then. Raises Uncertain."""
    path = f"/v1/subscriptions/{held.id}"
    if now:
        # Stripe takes no idempotency key here: of what has ended there is nothing to end again.
        return once(
            stripe,
            lambda: stripe.delete(path, tries=1, prorate="false", invoice_now="false"),
            lambda: current(stripe, held, lambda it: it.status in ENDED),
        )
    return once(
        stripe,
        lambda: send(stripe, path, {"cancel_at_period_end": "true"}, "cancel", key),
        lambda: current(stripe, held, lambda it: it.status in ENDED or it.ends_at is not None),
    )


def resume(stripe: Stripe, held: Held, *, key: str) -> Object:
    """Take a cancellation back that is to come, or end a pause. The subscription as it is then. Raises Uncertain."""
    path = f"/v1/subscriptions/{held.id}"
    params: dict[str, str]
    if held.ends_at:
        # The portal's cancellation is a date without the flag, and is taken back as a date.
        params = (
            {"cancel_at_period_end": "false"} if held.subscription.get("cancel_at_period_end") else {"cancel_at": ""}
        )
    elif held.status == "paused":
        path, params = f"{path}/resume", {"billing_cycle_anchor": "now"}
    elif held.is_paused:
        params = {"pause_collection": ""}
    else:
        return held.subscription
    return once(
        stripe,
        lambda: send(stripe, path, params, "resume", key),
        lambda: current(stripe, held, lambda it: it.ends_at is None and (bool(held.ends_at) or not it.is_paused)),
    )


def follow(stripe: Stripe, needs: Needs, *, by: Actor, key: str) -> Effect:
    """Bring OmniChat to what Stripe says after it, audited under the name of `by`. Raises as `carry_out` does."""
    return carry_out(stripe, needs, by=by, stripe_action=key)


def needs_of_subscription(held: Held, after: Object) -> Needs:
    """What has to be followed: the subscription, and an invoice that the action made."""
    before, made = (shapes.id_of(each.get("latest_invoice")) for each in (held.subscription, after))
    return Needs(held.customer, subscriptions=True, invoices={made} if made and made != before else set())


def send(stripe: Stripe, path: str, params: dict[str, Any], name: str, key: str) -> dict[str, Any]:
    """One try. Its idempotency key is of the form's, so that the form sent again is the same request."""
    return stripe.post(path, params, idempotency_key=f"omniops:{name}:{key}", tries=1)


def current(stripe: Stripe, held: Held, is_done: Callable[[Held], bool]) -> Object | None:
    """The subscription as it is now, if it is so already."""
    found = stripe.get(f"/v1/subscriptions/{held.id}")
    return found if found and is_done(Held(found, held.user_id, held.plans)) else None


def once(stripe: Stripe, act: Callable[[], dict[str, Any] | None], look: Callable[[], Object | None]) -> Object:
    """Do it unless it is done. Where no answer came, look before it is tried again."""
    sent = False
    for tried in range(1, TRIES + 1):
        try:
            if found := look():
                return found
            sent = True
            if made := act():
                return made
            lost = "Stripe no longer has what this was meant for."
        except StripeDown as down:
            lost = str(down)
        stripe.wait(tried)
    return _last_look(look, lost) if sent else _nothing_sent(lost)


def _last_look(look: Callable[[], Object | None], lost: str) -> Object:
    try:
        found = look()
    except StripeDown:
        found = None
    if found is None:
        raise Uncertain(f"{lost} Whether it is done is not known. Send it again: it is looked up first, and done once.")
    return found


def _nothing_sent(lost: str) -> Object:
    raise Refused(f"{lost} Nothing was sent.")
