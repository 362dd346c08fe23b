"""What staff give back of a payment: whole or in part, with the units that it bought or without.

A refund carries the form's key in its metadata, by which one whose answer was lost is found. Its units are taken by the
functions that work off events, in proportion; `omniops_units: keep` in its metadata tells them to take none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from billing import stripe_shapes as shapes
from billing.stripe_accounts import Parked, read_account
from billing.stripe_actions import Refused, once, send
from billing.stripe_api import PAGE, Stripe
from billing.stripe_events import Needs
from billing.stripe_payments import payment_changes
from billing.stripe_shapes import Object
from billing.stripe_state import Unknown
from billing.stripe_subscriptions import user_of

#: Under this name a refund's metadata have the key of the form that asked for it.
KEY = "omniops_key"
REASONS = ("requested_by_customer", "duplicate", "fraudulent")
# Money without hundredths, or with thousandths: https://docs.stripe.com/currencies#zero-decimal
_ODD = ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf",
        "bhd", "jod", "kwd", "omr", "tnd")  # fmt: skip


@dataclass(frozen=True)
class Paid:
    """A payment that came in, as Stripe has it now, and the user whose it is."""

    intent: Object
    user_id: str

    @property
    def id(self) -> str:
        return str(self.intent["id"])

    @property
    def customer(self) -> str | None:
        return shapes.id_of(self.intent.get("customer"))

    @property
    def cents(self) -> int:
        return shapes.cents(self.intent.get("amount_received"))

    @property
    def refunded(self) -> int:
        return shapes.cents(shapes.dig(self.intent, "latest_charge", "amount_refunded"))

    @property
    def left(self) -> int:
        return max(0, self.cents - self.refunded)

    @property
    def is_disputed(self) -> bool:
        return bool(shapes.dig(self.intent, "latest_charge", "disputed"))

    @property
    def created(self) -> int:
        return shapes.cents(self.intent.get("created"))

    @property
    def currency(self) -> str:
        return str(self.intent.get("currency") or "usd")

    @property
    def mark(self) -> str:
        """Another one where money was given back, or disputed, since."""
        return f"{self.id}:{self.cents}:{self.refunded}:{self.is_disputed}"


@dataclass(frozen=True)
class Payments:
    """Those of a user, newest first. `are_all`: whether Stripe has no more than these."""

    rows: list[Paid]
    are_all: bool = True


def payments_of(stripe: Stripe, user_id: str) -> Payments:
    """What a user paid, with one call. Raises Refused and StripeTrouble."""
    account = read_account(None, user_id)
    user = account.user(user_id)
    customer = user and user["stripeCustomerId"]
    if not customer:
        raise Refused("The user has no Stripe customer, and so no payments. A resync links one that Stripe has.")
    found = stripe.page(
        "/v1/payment_intents", customer=customer, limit=PAGE, expand=["data.latest_charge", "data.customer"]
    ) or {}  # fmt: skip
    intents = [each for each in found.get("data") or [] if each.get("status") == "succeeded"]
    if intents and _owner(stripe, intents[0]) != user_id:
        raise Refused(f"The customer {customer} is another user's.")
    return Payments([Paid(each, user_id) for each in intents], not found.get("has_more"))


def look_at_payment(stripe: Stripe, intent_id: str) -> Paid:
    """Raises Refused where nothing of it can be refunded here, and StripeTrouble."""
    intent = stripe.get(f"/v1/payment_intents/{intent_id}", expand=["latest_charge", "customer"])
    if intent is None:
        raise Refused(f"Stripe knows no payment {intent_id}: look at the mode of STRIPE_SECRET_KEY.")
    if intent.get("status") != "succeeded":
        raise Refused(f"Nothing came in by {intent_id}: it is {intent.get('status')}.")
    if str(intent.get("currency")) in _ODD:
        raise Refused("Its currency has no hundredths: refund it in Stripe's dashboard.")
    return Paid(intent, _owner(stripe, intent))


def _owner(stripe: Stripe, intent: Object) -> str:
    customer = shapes.id_of(intent.get("customer"))
    if customer is None:
        raise Refused(f"{intent.get('id')} has no customer: refund it in Stripe's dashboard.")
    try:
        return user_of(stripe, read_account(customer), set(), shapes.expanded(intent.get("customer")))[0]
    except Parked as parked:
        raise Refused(str(parked)) from parked


def preview_refund(stripe: Stripe, paid: Paid, cents: int) -> int:
    """The units that a refund of so many cents would take, but for an empty battery. Raises Refused."""
    new = {"id": "new", "amount": cents, "created": 2**53}
    try:
        changes = payment_changes(stripe, paid.id, set(), is_reversed=True, also=[new])
    except (Parked, Unknown) as problem:
        raise Refused(str(problem)) from problem
    return -sum(entry.amount for entry in changes.entries if entry.id == "refund:new")


def refund(
    stripe: Stripe, paid: Paid, cents: int, *, key: str, keep_units: bool = False, reason: str = REASONS[0]
) -> Object:
    """Give money back, once for the key. The refund. Raises Uncertain, StripeTrouble."""
    params: dict[str, Any] = {
        "payment_intent": paid.id,
        "amount": cents,
        "reason": reason,
        "metadata": {KEY: key, **({shapes.KEEP_UNITS: "keep"} if keep_units else {})},
    }

    def look() -> Object | None:
        made = stripe.list("/v1/refunds", payment_intent=paid.id)
        return next((each for each in made if shapes.dig(each, "metadata", KEY) == key), None)

    return once(stripe, lambda: send(stripe, "/v1/refunds", params, "refund", key), look)


def needs_of_refund(paid: Paid) -> Needs:
    return Needs(paid.customer, reversed={paid.id})
