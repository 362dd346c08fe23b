"""Brings a customer's subscriptions, the account's tier and the credits of invoices to what Stripe says now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from billing import stripe_shapes as shapes
from billing.stripe_accounts import (
    Account,
    Changes,
    Parked,
    RowChange,
    check_customer_id,
    difference,
    old_allowance,
    read_account,
)
from billing.stripe_api import Stripe
from billing.stripe_credits import invoice_entry, invoice_units
from billing.stripe_shapes import Object
from billing.stripe_state import (
    IN_FORCE,
    SubscriptionState,
    Unknown,
    account_state,
    stored_status,
    subscription_state,
)
from database.identifiers import is_id


def customer_changes(
    stripe: Stripe, customer: str | None, invoices: Iterable[str], named: set[str], account: Account | None = None
) -> Changes:
    """`invoices` are those that may have to be credited, `named` the users whom metadata name. Raises Parked.

    `account` is what was read of it, where that was done already.
    """
    if customer is None:
        raise Parked("The event names no customer.", tried_again=False)
    check_customer_id(customer)
    # Read ahead of Stripe, so that what is older than the rows can't be written over them.
    account = account or read_account(customer, next(iter(sorted(named)), None))
    found = list(stripe.list("/v1/subscriptions", customer=customer, status="all", expand=["data.customer"]))
    known = next((shapes.expanded(each.get("customer")) for each in found), None)
    known = known or stripe.get(f"/v1/customers/{customer}")
    if known and known.get("deleted") and not (found or named or invoices or account.holders()):
        return Changes(account, remarks=[f"{customer} is deleted, and nobody here ever had it."])
    going = [each for each in found if each.get("status") not in ("canceled", "incomplete_expired")]
    named = named | {user for each in going if (user := shapes.metadata_user(each))}
    user_id, account = user_of(stripe, account, named, known)
    changes = Changes(account)
    changes.rows += link(account, user_id)
    changes.rows += _subscription_rows(stripe, found, account, user_id, changes.remarks)
    _credit(stripe, account, user_id, sorted(invoices), changes)
    return changes


def user_of(stripe: Stripe, account: Account, named: set[str], known: Object | None = None) -> tuple[str, Account]:
    """Whose a customer is, after checking it: form, existence, mode, and the user whom its metadata name.

    `known` is the customer where it came with something else. Raises Parked.
    """
    customer = known or stripe.get(f"/v1/customers/{account.customer}")
    if customer is None:
        raise Parked(f"Stripe knows no customer {account.customer}.")
    holders = account.holders()
    if len(holders) > 1:
        ids = ", ".join(str(row["id"]) for row in holders)
        raise Parked(f"Several users have the customer {account.customer}: {ids}. Leave it to one of them.")
    if customer.get("livemode") is not None and bool(customer["livemode"]) != stripe.is_live:
        raise Parked(f"{account.customer} is a customer of the other mode than STRIPE_SECRET_KEY.", tried_again=False)
    meant = named | ({user} if (user := shapes.metadata_user(customer)) else set())
    if holders:
        _check_named(account, meant, str(holders[0]["id"]))
        return str(holders[0]["id"]), account
    return _by_metadata(account, customer, meant)


def _check_named(account: Account, named: set[str], user_id: str) -> None:
    others = named - {user_id}
    if others:
        raise Parked(
            f"The customer {account.customer} belongs to {user_id}, and metadata name {', '.join(sorted(others))}. "
            "Look which is right, and correct the other."
        )


def _by_metadata(account: Account, customer: Object, named: set[str]) -> tuple[str, Account]:
    """A customer that no user has yet: its own metadata say whose it is."""
    user_id = shapes.metadata_user(customer)
    if customer.get("deleted"):
        raise Parked(f"The customer {account.customer} is deleted, and no user has it.")
    if user_id is None:
        raise Parked(f"No user has the customer {account.customer}, and its metadata name none.")
    _check_named(account, named, user_id)
    if account.user(user_id) is None:
        account = read_account(account.customer, user_id)
    user = account.user(user_id)
    if user is None:
        raise Parked(f"The customer {account.customer} is of the user {user_id}, who is not known here.")
    if user["stripeCustomerId"]:
        raise Parked(
            f"The customer {account.customer} is of {user_id} by its metadata, who has {user['stripeCustomerId']}. "
            "Look which is right, and correct the other."
        )
    return user_id, account


def link(account: Account, user_id: str) -> list[RowChange]:
    """The row that gives a user the customer, where it lacks it."""
    user = account.user(user_id)
    change = difference("users", user_id, user_id, user, {"stripeCustomerId": account.customer})
    return [change] if change else []


def _subscription_rows(
    stripe: Stripe, found: list[dict[str, Any]], account: Account, user_id: str, remarks: list[str]
) -> list[RowChange]:
    if not found and not any(row["stripe_customer_id"] == account.customer for row in account.subscriptions):
        # An account that never subscribed: what stands in its row is none of Stripe's.
        return []
    states = [state for each in found if (state := _state(account, each, remarks))]
    changes = [change for state in states for change in _rows(account, user_id, state)]
    said = account_state(states)
    if said.tier != "paid" and (other := _paid_elsewhere(stripe, account, user_id)):
        remarks.append(f"{user_id} pays by {other} of another customer: tier and allowance stay.")
        return changes
    user = difference("users", user_id, user_id, account.user(user_id), said.cells())
    return [*changes, *([user] if user else []), *_battery(account, user_id, said.daily)]


def _paid_elsewhere(stripe: Stripe, account: Account, user_id: str) -> str | None:
    """A subscription in force at Stripe that the user has by another customer, as far as OmniChat's rows tell."""
    for row in account.subscriptions:
        id = row["stripe_subscription_id"]
        if row["user_id"] != user_id or row["stripe_customer_id"] == account.customer or not is_id("sub", id):
            continue
        found = stripe.get(f"/v1/subscriptions/{id}") if row["status"] in IN_FORCE else None
        if found and shapes.id_of(found.get("customer")) != account.customer and found.get("status") in IN_FORCE:
            return str(id)
    return None


def _state(account: Account, subscription: Object, remarks: list[str]) -> SubscriptionState | None:
    """None for one that has ended at a price that no plan has any longer, and that OmniChat never had."""
    try:
        return subscription_state(subscription, account.plans)
    except Unknown:
        if stored_status(subscription.get("status")) != "canceled":
            raise
        old = next((row for row in account.subscriptions if row["stripe_subscription_id"] == subscription["id"]), None)
        remarks.append(f"{subscription['id']} has ended, at a price that no plan has.")
        return subscription_state(subscription, account.plans, plan=str(old["plan_id"])) if old else None


def _rows(account: Account, user_id: str, state: SubscriptionState) -> list[RowChange]:
    wanted: dict[str, Any] = {"user_id": user_id, **state.cells()}
    own = [row for row in account.subscriptions if row["stripe_subscription_id"] == state.stripe_subscription_id]
    table = "user_subscriptions"
    changes = [difference(table, str(row["id"]), user_id, row, wanted) for row in own]
    return [change for change in changes or [difference(table, state.id, user_id, None, wanted)] if change]


def _battery(account: Account, user_id: str, daily: int) -> list[RowChange]:
    """The allowance follows the plan when that changes; what staff set meanwhile stays."""
    if daily == old_allowance(account, user_id):
        return []
    battery = next((row for row in account.batteries if row["user_id"] == user_id), None)
    wanted = {"daily_allowance": daily} if battery else {"total_balance": 0, "daily_allowance": daily}
    change = difference("user_battery", user_id, user_id, battery, wanted)
    return [change] if change else []


def _credit(stripe: Stripe, account: Account, user_id: str, invoices: list[str], changes: Changes) -> None:
    if not invoices:
        return
    paid = invoices_of(stripe, str(account.customer))
    for id in invoices:
        invoice = paid.get(id)
        if invoice is None:
            changes.remarks.append(f"{id} is not paid.")
            changes.unpaid.add(id)
            continue
        worth = invoice_units(invoice, paid.values(), account.plans)
        entry = invoice_entry(invoice, worth, user_id)
        if entry:
            changes.entries.append(entry)
        else:
            changes.remarks.append(f"{id} credits nothing ({worth.reason or invoice.get('billing_reason')}).")


def invoices_of(stripe: Stripe, customer: str) -> dict[str, dict[str, Any]]:
    """The paid invoices of a customer by their ids, oldest first, with their payments."""
    found = list(stripe.list("/v1/invoices", customer=customer, status="paid", expand=["data.payments"]))
    return {str(invoice["id"]): _whole(stripe, invoice) for invoice in reversed(found)}


def _whole(stripe: Stripe, invoice: dict[str, Any]) -> dict[str, Any]:
    """With all of its lines: a list inside an object has ten at the most."""
    if shapes.dig(invoice, "lines", "has_more"):
        invoice["lines"] = {"data": list(stripe.list(f"/v1/invoices/{invoice['id']}/lines"))}
    return invoice
