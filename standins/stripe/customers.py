"""Customers."""

from __future__ import annotations

from typing import Any

from standins.stripe import subscriptions
from standins.stripe.account import Account
from standins.stripe.errors import invalid
from standins.stripe.store import Thing

FIELDS: tuple[str, ...] = ("email", "name", "phone", "description", "address", "preferred_locales", "tax_exempt")


def create(account: Account, given: Thing) -> Thing:
    """`given` as the API's parameters: email, name, metadata, ..."""
    prefix = "".join(account.random.choices("ABCDEF0123456789", k=8))
    customer = account.new("customer", invoice_prefix=prefix, **_checked(given))
    account.emit("customer.created", customer)
    return customer


def update(account: Account, customer: Thing, given: Thing) -> Thing:
    values = _checked(given)
    if "metadata" in values:
        values["metadata"] = merged(customer["metadata"], values["metadata"])
    account.change(customer, "customer.updated", **values)
    return customer


def delete(account: Account, customer: Thing) -> Thing:
    """Ends the subscriptions at once, as Stripe does."""
    for sub in account.store["subscription"].of("customer", customer["id"]):
        if sub["status"] not in ("canceled", "incomplete_expired"):
            subscriptions.end(account, sub)
    tombstone = {"id": customer["id"], "object": "customer", "deleted": True}
    account.store["customer"].remove(customer["id"], tombstone)
    account.emit("customer.deleted", customer)
    return tombstone


def merged(old: dict[str, str], new: Any) -> dict[str, str]:
    """Metadata as Stripe merges it: an empty value unsets a key, an empty string for all unsets them all."""
    if new == "":
        return {}
    return {key: value for key, value in {**old, **new}.items() if value != ""}


def _checked(given: Thing) -> Thing:
    email = given.get("email")
    if email and "@" not in email:
        raise invalid(f"Invalid email address: {email}", "email", "email_invalid")
    values = {name: given[name] or None for name in FIELDS if name in given}
    return values | ({"metadata": given["metadata"] or {}} if "metadata" in given else {})
