"""Stripe's events: each hints that a subscription or a payment has changed, and is followed by what Stripe says now.

`needs_of` says what an event hints at, `plan` asks Stripe and compares, `carry_out` does both and writes, all in one
transaction. Events of one customer may be joined. Doing it again, in any order, ends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing import stripe_shapes as shapes
from billing.ledger import Outcome, State, foresee
from billing.stripe_accounts import Changed, Changes, Parked, apply
from billing.stripe_api import Stripe
from billing.stripe_payments import free_pack_changes, payment_changes
from billing.stripe_shapes import Object
from billing.stripe_state import Unknown
from billing.stripe_subscriptions import customer_changes

#: So often is begun anew where the account changes meanwhile.
ATTEMPTS = 5
Write = Callable[..., list[Outcome]]


@dataclass
class Needs:
    """What events hint at. `customer` is None where only a payment is known."""

    customer: str | None = None
    subscriptions: bool = False
    invoices: set[str] = field(default_factory=set)
    payments: set[str] = field(default_factory=set)
    #: Checkout sessions that no payment belongs to.
    sessions: set[str] = field(default_factory=set)
    #: Payments of which something was refunded or disputed.
    reversed: set[str] = field(default_factory=set)
    #: Whom metadata name: checked against the customer's.
    users: set[str] = field(default_factory=set)
    #: Invoices and payments that were paid when the event was made.
    paid: set[str] = field(default_factory=set)

    @property
    def subject(self) -> str:
        """Events of one subject are worked off one after the other."""
        return self.customer or min(self.payments | self.reversed | self.sessions | self.invoices, default="")

    def __bool__(self) -> bool:
        return bool(self.subscriptions or self.invoices or self.payments or self.reversed or self.sessions)

    def join(self, other: Needs) -> Needs:
        return Needs(
            self.customer or other.customer,
            self.subscriptions or other.subscriptions,
            self.invoices | other.invoices,
            self.payments | other.payments,
            self.sessions | other.sessions,
            self.reversed | other.reversed,
            self.users | other.users,
            self.paid | other.paid,
        )


@dataclass
class Effect:
    """What was done, or in a plan would be."""

    changes: Changes
    outcomes: list[Outcome] = field(default_factory=list)

    def lines(self) -> list[str]:
        """In words, for the inbox and its pages."""
        said = [f"{row.table} {row.key}: {_said(row.before, row.after)}" for row in self.changes.rows]
        return said + [_told(outcome) for outcome in self.outcomes] + self.changes.remarks


def _said(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    if before is None:
        return "made, " + ", ".join(f"{name} {cell}" for name, cell in after.items() if cell is not None)
    cells = {name: (before.get(name), cell) for name, cell in after.items()}
    return ", ".join(" ".join((name, _cell(was), "→", _cell(now))) for name, (was, now) in cells.items())


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _told(outcome: Outcome) -> str:
    entry = outcome.entry
    by = f" (row {outcome.settled_by})" if outcome.settled_by else ""
    return f"{entry.id}: {outcome.amount or entry.amount:+,} units to {entry.user_id}, {outcome.state.value}{by}"


def _of_subscription(thing: Object) -> Needs:
    return _needs(thing, subscriptions=True, users=_users(thing))


def _of_invoice(thing: Object) -> Needs:
    if shapes.invoice_subscription(thing) is None:
        return Needs(shapes.id_of(thing.get("customer")))
    paid = _ids(thing) if thing.get("status") == "paid" else set()
    users = _users(shapes.invoice_metadata(thing))
    return _needs(thing, subscriptions=True, invoices=_ids(thing), users=users, paid=paid)


def _of_intent(thing: Object) -> Needs:
    # Those of invoices and of sessions with the units in their own metadata come by an event of these.
    if shapes.metadata_units(thing) is None and shapes.unreadable_units(thing) is None:
        return Needs(shapes.id_of(thing.get("customer")))
    paid = _ids(thing) if thing.get("status") == "succeeded" else set()
    return _needs(thing, payments=_ids(thing), users=_users(thing), paid=paid)


def _of_session(thing: Object) -> Needs:
    users = _users(thing)
    if thing.get("subscription"):
        invoice = shapes.id_of(thing.get("invoice"))
        return _needs(thing, subscriptions=True, invoices={invoice} if invoice else set(), users=users)
    intent = shapes.id_of(thing.get("payment_intent"))
    return _needs(thing, users=users, **({"payments": {intent}} if intent else {"sessions": _ids(thing)}))


def _of_reversal(thing: Object) -> Needs:
    """A charge, a refund or a dispute."""
    intent = shapes.id_of(thing.get("payment_intent"))
    return _needs(thing, reversed={intent} if intent else set())


def _of_customer(thing: Object) -> Needs:
    return Needs(shapes.id_of(thing), subscriptions=True)


def _of_new_customer(thing: Object) -> Needs:
    """One that names no user is nobody's whom OmniChat knows."""
    return Needs(shapes.id_of(thing), subscriptions=shapes.metadata_user(thing) is not None)


def _needs(thing: Object, **more: Any) -> Needs:
    return Needs(shapes.id_of(thing.get("customer")), **more)


def _ids(thing: Object) -> set[str]:
    return {str(thing["id"])} if thing.get("id") else set()


def _users(thing: Object) -> set[str]:
    user = shapes.metadata_user(thing)
    return {user} if user else set()


HANDLERS: Mapping[str, Callable[[Object], Needs]] = {
    "checkout.session.completed": _of_session,
    "checkout.session.async_payment_succeeded": _of_session,
    "checkout.session.async_payment_failed": _of_session,
    "customer.created": _of_new_customer,
    "customer.updated": _of_new_customer,
    "customer.deleted": _of_customer,
    "customer.subscription.created": _of_subscription,
    "customer.subscription.updated": _of_subscription,
    "customer.subscription.deleted": _of_subscription,
    "customer.subscription.paused": _of_subscription,
    "customer.subscription.resumed": _of_subscription,
    "invoice.paid": _of_invoice,
    "invoice.payment_succeeded": _of_invoice,
    "invoice.payment_failed": _of_invoice,
    "invoice.payment_action_required": _of_invoice,
    "invoice.marked_uncollectible": _of_invoice,
    "invoice.voided": _of_invoice,
    "payment_intent.succeeded": _of_intent,
    "charge.refunded": _of_reversal,
    "charge.refund.updated": _of_reversal,
    "refund.created": _of_reversal,
    "refund.updated": _of_reversal,
    "refund.failed": _of_reversal,
    "charge.dispute.created": _of_reversal,
    "charge.dispute.updated": _of_reversal,
    "charge.dispute.closed": _of_reversal,
    "charge.dispute.funds_withdrawn": _of_reversal,
    "charge.dispute.funds_reinstated": _of_reversal,
}


def needs_of(event: Object) -> Needs:
    """What an event hints at; false where that is nothing that OmniChat keeps."""
    thing = shapes.dig(event, "data", "object")
    handler = HANDLERS.get(str(event.get("type")))
    return handler(thing) if handler and isinstance(thing, Mapping) else Needs()


def plan(stripe: Stripe, needs: Needs) -> Changes:
    """What has to be written so that OmniChat is as Stripe is now. Asks, and writes nothing.

    Raises Parked, `StripeTrouble`, and the database's errors.
    """
    try:
        if needs.subscriptions or needs.invoices:
            changes = customer_changes(stripe, needs.customer, needs.invoices, needs.users)
        else:
            changes = Changes()
        for session in sorted(needs.sessions):
            _add(changes, free_pack_changes(stripe, session, needs.users))
        for intent in sorted(needs.payments | needs.reversed):
            is_reversed = intent in needs.reversed
            more = payment_changes(stripe, intent, needs.users, is_reversed=is_reversed, account=changes.account)
            _add(changes, more)
    except Unknown as unknown:
        raise Parked(str(unknown)) from unknown
    if late := needs.paid & changes.unpaid:
        raise Parked(f"{', '.join(sorted(late))} is paid by its event, and not yet by what Stripe answers.")
    return changes


def preview(stripe: Stripe, needs: Needs) -> list[str]:
    """What `carry_out` would write now, in lines. Raises as it does."""
    changes = plan(stripe, needs)
    outcomes = foresee(changes.entries)
    _check(outcomes)
    there = [f"{each.entry.id}: is in the ledger already" for each in outcomes if each.state is State.REPEATED]
    new = [each for each in outcomes if each.state is not State.REPEATED]
    return [line.removesuffix(", posted") for line in Effect(changes, new).lines()] + there


def _add(changes: Changes, more: Changes) -> None:
    known = {entry.id for entry in changes.entries}
    changes.entries += [entry for entry in more.entries if entry.id not in known]
    changes.settled += more.settled
    changes.remarks += more.remarks
    changes.unpaid |= more.unpaid
    # The row that links a customer with a user may be wanted by both.
    if not changes.rows:
        changes.rows, changes.account = more.rows, more.account or changes.account


def carry_out(stripe: Stripe, needs: Needs, *, write: Write | None = None, **audit_metadata: Any) -> Effect:
    """Bring OmniChat to what Stripe says now, in one transaction. Raises as `plan` does, and Changed.

    `write` is called in the place of `apply`.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _once(stripe, needs, write or apply, audit_metadata)
        except Changed:
            continue
    return _once(stripe, needs, write or apply, audit_metadata)


def _once(stripe: Stripe, needs: Needs, write: Write, audit_metadata: Mapping[str, Any]) -> Effect:
    changes = plan(stripe, needs)
    effect = Effect(changes, write(changes, **audit_metadata))
    _check(effect.outcomes)
    return effect


def _check(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.state in (State.UNKNOWN_USER, State.TAKEN, State.UNREADABLE):
            raise Parked(f"{outcome.entry.id} could not be posted to {outcome.entry.user_id}: {outcome.state.value}.")
