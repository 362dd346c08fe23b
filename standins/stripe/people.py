"""What people do: each changes objects and makes the events that Stripe would make.

Objects are given by their id or as a dict, and answered as a copy of how they are now.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from standins.stripe import (
    catalogue,
    checkout,
    collection,
    credit_notes,
    customers,
    disputes,
    invoices,
    refunds,
    renewals,
    standing,
    subscriptions,
)
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.errors import invalid, missing
from standins.stripe.store import Thing, copy

Ref = str | Thing
PLANS = {"starter": (499, 4790), "daily": (1299, 12470), "power": (2999, 28790), "ultimate": (7999, 76790)}


Deed = TypeVar("Deed", bound=Callable[..., Thing])


def deed(function: Deed) -> Deed:
    """Under the lock, answering a copy."""

    @functools.wraps(function)
    def locked(self: People, *args: Any, **kwargs: Any) -> Thing:
        with self.account.lock:
            return copy(function(self, *args, **kwargs))  # type: ignore[no-any-return]

    return cast(Deed, locked)


class People:
    """The customers of an account, their cards and banks, and its staff in Stripe's dashboard."""

    account: Account
    prices: dict[tuple[str, str], str]

    def _make_plans(self) -> None:
        self.prices = {}
        for plan, (monthly, yearly) in PLANS.items():
            self.price(plan, "month", monthly)
            self.price(plan, "year", yearly)

    @deed
    def price(self, plan: str, interval: str | None = "month", cents: int = 499) -> Thing:
        """A new price of the plan's product; `prices` then names it for that plan and interval."""
        products = (p for p in self.account.store["product"].all() if p["metadata"].get("plan") == plan)
        product = next(products, None) or catalogue.make_product(self.account, plan.capitalize(), {"plan": plan})
        price = catalogue.make_price(self.account, product, cents, interval)
        if interval:
            self.prices[plan, interval] = price["id"]
        return price

    @deed
    def change_price(self, price: Ref, **values: Any) -> Thing:
        """`active`, `metadata` or `nickname`; an amount cannot change at Stripe."""
        found = self._thing("price", price)
        self.account.change(found, "price.updated", **values)
        return found

    @deed
    def coupon(self, percent_off: float = 100, duration: str = "once", id: str | None = None) -> Thing:
        return catalogue.make_coupon(self.account, percent_off, duration, id)

    @deed
    def customer(
        self, email: str | None, name: str | None = None, user_id: str | None = None, *, card: bool = True
    ) -> Thing:
        """`user_id` stands in the metadata as `userId`. Without a card no payment succeeds."""
        metadata = {"userId": user_id} if user_id else {}
        customer = customers.create(self.account, {"email": email, "name": name, "metadata": metadata})
        if not card:
            self.account.cardless.add(customer["id"])
        return customer

    @deed
    def change_customer(self, customer: Ref, **values: Any) -> Thing:
        return customers.update(self.account, self._thing("customer", customer), values)

    @deed
    def delete_customer(self, customer: Ref) -> Thing:
        return customers.delete(self.account, self._thing("customer", customer))

    @deed
    def decline(self, customer: Ref) -> Thing:
        """From now on the card says no."""
        found = self._thing("customer", customer)
        self.account.declining.add(found["id"])
        return found

    @deed
    def accept(self, customer: Ref) -> Thing:
        """A card that works, from now on."""
        found = self._thing("customer", customer)
        self.account.declining.discard(found["id"])
        self.account.cardless.discard(found["id"])
        return found

    @deed
    def subscribe(
        self, customer: Ref, price: Ref = "starter", trial_days: int = 0, coupon: Ref | None = None,
        interval: str = "month", *, metadata: dict[str, str] | None = None, through_checkout: bool = True,
        missing_payment_method: str = "create_invoice",
    ) -> Thing:  # fmt: skip
        """The subscription. `price` is an id or the name of a plan. Where the card says no it stays incomplete.

        Its metadata is the customer's own (`userId`) unless given.
        """
        person = self._thing("customer", customer)
        found = self._price(price, interval)
        given: dict[str, Any] = {
            "trial_days": trial_days, "coupon": None if coupon is None else self._thing("coupon", coupon)["id"],
            "missing_payment_method": missing_payment_method,
        }  # fmt: skip
        own = dict(person["metadata"]) if metadata is None else metadata
        if through_checkout:
            return checkout.subscribe(self.account, person, found, own, **given)
        sub, first = subscriptions.begin(self.account, person, found, metadata=own, **given)
        subscriptions.start(self.account, sub, first)
        return sub

    @deed
    def upgrade(
        self, subscription: Ref, price: Ref, interval: str | None = None, *, behavior: str = "always_invoice"
    ) -> Thing:
        """Up or down, with a proration: invoiced at once, or (create_prorations) by the next invoice."""
        sub = self._thing("subscription", subscription)
        now = sub["items"]["data"][0]["price"]["recurring"]["interval"]
        subscriptions.set_price(self.account, sub, self._price(price, interval or now), behavior=behavior)
        return sub

    @deed
    def cancel(self, subscription: Ref, at_period_end: bool = True, *, by_portal: bool = False) -> Thing:
        """By the portal `cancel_at` is set and `cancel_at_period_end` stays false."""
        sub = self._thing("subscription", subscription)
        if sub["status"] in standing.ENDED:
            raise invalid(f"No such subscription: '{sub['id']}'", code="resource_missing")
        if at_period_end:
            standing.cancel_later(self.account, sub, by_portal=by_portal)
        else:
            standing.end(self.account, sub)
        return sub

    @deed
    def resume(self, subscription: Ref) -> Thing:
        """Takes back whatever of these there is: the status paused, a pause, a cancellation to come."""
        sub = self._thing("subscription", subscription)
        if sub["status"] == "paused":
            subscriptions.resume(self.account, sub)
        if sub["pause_collection"]:
            self.account.change(sub, "customer.subscription.updated", pause_collection=None)
        if sub["cancel_at"]:
            standing.keep(self.account, sub)
        return sub

    @deed
    def pause(self, subscription: Ref, *, behavior: str = "void", status: bool = False) -> Thing:
        """Of the collection only (the status stays), or by `status` to the status `paused`."""
        sub = self._thing("subscription", subscription)
        if status:
            subscriptions.stop(self.account, sub)
        else:
            subscriptions.pause(self.account, sub, behavior)
        return sub

    @deed
    def fail_payment(self, subscription: Ref) -> Thing:
        """The card says no: to the open invoice once more, or else to the renewal, for which the clock moves on."""
        sub = self._thing("subscription", subscription)
        self.account.declining.add(sub["customer"])
        invoice = self._open_invoice(sub)
        if invoice is not None:
            collection.collect(self.account, invoice)
        elif sub["status"] in ("active", "trialing", "past_due"):
            renewals.advance(self.account, standing.period(sub)[1] + invoices.HOUR)
        return sub

    @deed
    def pay(self, what: Ref, *, out_of_band: bool = False) -> Thing:
        """An open invoice (or a subscription's) is paid by another card, which then stays; or outside of Stripe."""
        id = what if isinstance(what, str) else what["id"]
        invoice = (
            self._open_invoice(self._thing("subscription", id)) if id.startswith("sub_") else self._thing("invoice", id)
        )
        if invoice is None or invoice["status"] not in ("open", "draft"):
            raise invalid(f"Nothing is open to be paid: {id}")
        if out_of_band:
            collection.settle_out_of_band(self.account, invoice)
        else:
            self.account.declining.discard(invoice["customer"])
            self.account.cardless.discard(invoice["customer"])
            (collection.settle if invoice["status"] == "draft" else collection.collect)(self.account, invoice)
        if sub := collection.subscription_of(self.account, invoice):
            checkout.complete_paid(self.account, sub, invoice)
        return invoice

    @deed
    def refund(
        self, payment_intent: Ref, amount: int | None = None, *, reason: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Thing:  # fmt: skip
        """`amount` cents, or what is left. The payment is named by itself, its charge, invoice or session."""
        return refunds.create(self.account, self._charge(payment_intent), amount, reason=reason, metadata=metadata)

    @deed
    def fail_refund(self, refund: Ref) -> Thing:
        found = self._thing("refund", refund)
        refunds.fail(self.account, found)
        return found

    @deed
    def credit_note(self, invoice: Ref, cents: int, *, refund: int = 0, credit: int = 0, out_of_band: int = 0) -> Thing:
        """Of a paid invoice the three are together `cents`: back to the card, to the balance, outside of Stripe."""
        found = self._thing("invoice", invoice)
        return credit_notes.create(
            self.account, found, cents, refund=refund, credit=credit, out_of_band=out_of_band
        )  # fmt: skip

    @deed
    def void_credit_note(self, note: Ref) -> Thing:
        found = self._thing("credit_note", note)
        credit_notes.void(self.account, found)
        return found

    @deed
    def dispute(self, payment_intent: Ref, *, reason: str = "fraudulent") -> Thing:
        return disputes.create(self.account, self._charge(payment_intent), reason)

    @deed
    def answer_dispute(self, dispute: Ref) -> Thing:
        found = self._thing("dispute", dispute)
        disputes.answer(self.account, found)
        return found

    @deed
    def close_dispute(self, dispute: Ref, won: bool = True) -> Thing:
        found = self._thing("dispute", dispute)
        disputes.close(self.account, found, won=won)
        return found

    @deed
    def buy_pack(
        self, customer: Ref, cents: int, units: int, in_metadata_of: str = "payment_intent",
        async_payment: bool = False, *, metadata: dict[str, str] | None = None, through_checkout: bool = True,
    ) -> Thing:  # fmt: skip
        """The session; or, where it is not bought through Checkout, the payment intent.

        `in_metadata_of` "payment_intent", "session" or "both" holds `units`, `userId` and `type`. With async_payment
        the session is completed but unpaid until `settle`.
        """
        person = self._thing("customer", customer)
        own = {**person["metadata"], "type": "battery", "units": str(units)} if metadata is None else metadata
        if not through_checkout:
            return checkout.pay(self.account, person, cents, own)
        return checkout.buy(
            self.account, person, cents, delayed=async_payment,
            session_metadata=own if in_metadata_of in ("session", "both") else {},
            intent_metadata=own if in_metadata_of in ("payment_intent", "both") else {},
        )  # fmt: skip

    @deed
    def settle(self, session: Ref, succeeded: bool = True) -> Thing:
        """What became of a payment that `async_payment` left open."""
        found = self._thing("checkout.session", session)
        checkout.settle(self.account, found, succeeded=succeeded)
        return found

    @deed
    def advance(self, *, days: float = 0, seconds: int = 0) -> Thing:
        """Moves the clock on, and on the way does what falls due. `{"clock": now}`."""
        renewals.advance(self.account, self.account.clock.now() + round(days * DAY) + seconds)
        return {"clock": self.account.clock.now()}

    @deed
    def get(self, id: Ref) -> Thing:
        """Any object as it is now."""
        name = id if isinstance(id, str) else id["id"]
        found = self.account.store.by_id(name)
        if found is None:
            raise missing("object", name)
        return found

    def all(self, kind: str) -> list[Thing]:
        """A copy of each object of a kind, oldest first: "invoice", "checkout.session", ..."""
        with self.account.lock:
            return [copy(each) for each in self.account.store[kind].all()]

    def _thing(self, kind: str, ref: Ref) -> Thing:
        return self.account.store[kind].get(ref if isinstance(ref, str) else ref["id"])

    def _price(self, price: Ref, interval: str) -> Thing:
        name = price if isinstance(price, str) else price["id"]
        return self.account.store["price"].get(self.prices.get((name, interval), name))

    def _open_invoice(self, sub: Thing) -> Thing | None:
        found: Iterable[Thing] = reversed(self.account.store["invoice"].of("subscription", sub["id"]))
        return next((each for each in found if each["status"] == "open"), None)

    def _charge(self, ref: Ref) -> Thing:
        id = ref if isinstance(ref, str) else ref["id"]
        if id.startswith("ch_"):
            return self._thing("charge", id)
        if id.startswith("cs_"):
            id = str(self._thing("checkout.session", id)["payment_intent"])
        if id.startswith("in_"):
            intent = invoices.intent_of(self.account, self._thing("invoice", id))
            id = intent["id"] if intent else id
        return refunds.charge_of(self.account, self._thing("payment_intent", id))
