"""Brings a payment to what Stripe says now: the credit of a battery pack, and what refunds and disputes take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from billing import stripe_shapes as shapes
from billing.ledger import Entry
from billing.ledger_settled import Settlement
from billing.models import TransactionType
from billing.stripe_accounts import Account, Changes, Parked, check_customer_id, moved_by, read_account
from billing.stripe_api import Stripe
from billing.stripe_credits import (
    Payment,
    given_back,
    in_order,
    invoice_entry,
    invoice_units,
    pack_entry,
    part_paid,
    reversals,
    undone,
)
from billing.stripe_shapes import Object
from billing.stripe_subscriptions import invoices_of, link, user_of


def payment_changes(
    stripe: Stripe,
    intent_id: str,
    named: set[str],
    *,
    is_reversed: bool = False,
    also: Sequence[Object] = (),
    account: Account | None = None,
) -> Changes:
    """`named` are users whom metadata name. `is_reversed` where a refund or dispute was told of. Raises Parked.

    `also` are refunds that are thought of as made, though Stripe has none such. `account` is what was read of one.
    """
    intent = _get(stripe, f"/v1/payment_intents/{intent_id}", expand=["latest_charge", "customer"])
    if intent.get("status") != "succeeded":
        return Changes(remarks=[f"{intent_id} is not paid: {intent.get('status')}."], unpaid={intent_id})
    session: Object | None = None
    units = shapes.metadata_units(intent)
    if units is None:
        session = next(stripe.list("/v1/checkout/sessions", payment_intent=intent_id), None)
        units = shapes.metadata_units(session)
    named = named | {user for each in (intent, session) if (user := shapes.metadata_user(each))}
    looks_on = is_reversed or _is_touched(intent)
    if unreadable := shapes.unreadable_units(intent, session):
        raise Parked(f"The metadata of {intent_id} name {unreadable!r:.40} units: correct them at Stripe, then replay.")
    if units is None and looks_on:
        return _of_invoice(stripe, intent, named, also)
    if units is None:
        return Changes(remarks=[f"{intent_id} buys no battery."])
    user_id, account = _user(stripe, intent, named, account)
    changes = Changes(account, link(account, user_id) if account.customer else [], [pack_entry(intent, units, user_id)])
    if looks_on:
        _reverse(stripe, intent, changes, also)
    return changes


def _get(stripe: Stripe, path: str, **params: Any) -> dict[str, Any]:
    found = stripe.get(path, **params)
    if found is None:
        raise Parked(f"Stripe knows no {path.removeprefix('/v1/')}.")
    if bool(found.get("livemode")) != stripe.is_live:
        raise Parked(f"{found['id']} is of the other mode than STRIPE_SECRET_KEY.", tried_again=False)
    return found


def _user(stripe: Stripe, thing: Object, named: set[str], account: Account | None = None) -> tuple[str, Account]:
    """Whose a payment is: its customer's, or, where it has none, the user's whom its metadata name."""
    customer = shapes.id_of(thing.get("customer"))
    check_customer_id(customer)
    if customer is None or account is None or account.customer != customer:
        account = read_account(customer, next(iter(sorted(named)), None))
    if customer:
        return user_of(stripe, account, named, shapes.expanded(thing.get("customer")))
    if len(named) != 1 or not account.users:
        raise Parked(f"{thing.get('id')} has no customer, and its metadata name no user who is known here.")
    return str(account.users[0]["id"]), account


def free_pack_changes(stripe: Stripe, session_id: str, named: set[str]) -> Changes:
    """A session without a payment: a coupon paid all of it, and its cause is the session's."""
    session = _get(stripe, f"/v1/checkout/sessions/{session_id}")
    units = shapes.metadata_units(session)
    if units is None or not shapes.is_free_sale(session):
        return Changes(remarks=[f"{session.get('id')} is not paid, or no battery pack."])
    named = named | ({user} if (user := shapes.metadata_user(session)) else set())
    user_id, account = _user(stripe, session, named)
    created = pack_entry({**session, "latest_charge": None}, units, user_id)
    entry = Entry(
        f"session:{session.get('id')}", user_id, TransactionType.PURCHASE, units,
        metadata={"units": units, "session": session.get("id")}, settlement=created.settlement,
    )  # fmt: skip
    return Changes(account, link(account, user_id) if account.customer else [], [entry])


def _of_invoice(stripe: Stripe, intent: Object, named: set[str], also: Sequence[Object]) -> Changes:
    """The payment of an invoice, which an event of that credits; here its reversals count."""
    payment = {"type": "payment_intent", "payment_intent": intent["id"]}
    found = next(stripe.list("/v1/invoice_payments", payment=payment), None)
    customer = shapes.id_of(intent.get("customer"))
    invoice_id = shapes.id_of(found and found.get("invoice"))
    if invoice_id is None or customer is None:
        return Changes(remarks=[f"{intent['id']} pays neither a battery pack nor an invoice."])
    paid = invoices_of(stripe, customer)
    invoice = paid.get(invoice_id)
    if invoice is None or shapes.invoice_subscription(invoice) is None:
        return Changes(remarks=[f"{invoice_id} is no paid invoice of a subscription."])
    user_id, account = _user(stripe, intent, named)
    credit = _credit_there(f"invoice:{invoice_id}", user_id) or invoice_entry(
        invoice, invoice_units(invoice, paid.values(), account.plans), user_id
    )
    if credit is None:
        return Changes(remarks=[f"{invoice_id} credits nothing."])
    changes = Changes(account, link(account, user_id), [credit])
    _reverse(stripe, intent, changes, also, invoice)
    return changes


def _credit_there(cause: str, user_id: str) -> Entry | None:
    """A credit that was made already stays what it was, whatever became of the plan and its prices since."""
    there = moved_by([cause]).get(cause)
    if there is None:
        return None
    return Entry(cause, user_id, TransactionType.SUBSCRIPTION, there.units, settlement=Settlement())


def _reverse(
    stripe: Stripe, intent: Object, changes: Changes, also: Sequence[Object], invoice: Object | None = None
) -> None:
    """Adds what refunds and disputes take of the credit, or give back."""
    credit, id = changes.entries[0], str(intent["id"])
    # Oldest first: of two in one second nothing else tells.
    refunds = [*list(stripe.list("/v1/refunds", payment_intent=id))[::-1], *also]
    disputes = list(stripe.list("/v1/disputes", payment_intent=id))[::-1]
    over = undone(refunds, disputes)
    moved = moved_by([credit.id, *(f"{kind}:{each['id']}" for kind, each in in_order(refunds, disputes))])
    units = moved[credit.id].units if credit.id in moved else credit.amount
    payment = Payment(credit.id, credit.user_id, units, shapes.cents(intent.get("amount_received")), id)
    payment = part_paid(payment, invoice) if invoice else payment
    kept = {f"refund:{each['id']}" for each in refunds if shapes.keeps_units(each)} - set(over)
    counted = [each for each in refunds if f"refund:{each['id']}" not in {*over, *kept}]
    changes.entries += reversals(payment, counted, disputes, {cause: -each.asked for cause, each in moved.items()})
    # Whoever comes late with the older state, or with other metadata, must not take the units after all.
    changes.settled += [(cause, payment.user_id) for cause in sorted({*over, *kept} - set(moved))]
    changes.entries += [
        given_back(payment, cause, ending, -moved[cause].units) for cause, ending in over.items() if cause in moved
    ]


def _is_touched(intent: Object) -> bool:
    """Whether anything of the payment was ever refunded or disputed, as far as its charge tells."""
    charge = intent.get("latest_charge")
    if not isinstance(charge, Mapping):
        return True
    return bool(charge.get("amount_refunded") or charge.get("refunded") or charge.get("disputed"))
