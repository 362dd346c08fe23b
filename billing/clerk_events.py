"""Clerk's events of users: who signs up gets a row, a battery and a Stripe customer; who leaves is marked.

Nothing is ever deleted here: what was paid for stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, connections

from billing import stripe_shapes as shapes
from billing.customers import MADE_UP, Person, give_customer
from billing.stripe_accounts import Account, Changed, Changes, Parked, Row, RowChange, apply, difference, read_account
from billing.stripe_api import Stripe
from database import audit
from database.identifiers import is_id
from database.router import OMNICHAT

HANDLED = ("user.created", "user.updated", "user.deleted")
DELETED = "users.deleted_at_clerk"
_ATTEMPTS = 5


def user_of(event: Mapping[str, Any]) -> str:
    """The Clerk user id of an event of a user. Raises Parked."""
    id = shapes.dig(event, "data", "id")
    if not is_id("user", id):
        raise Parked(f"{id!r:.60} is no id of a Clerk user.", tried_again=False)
    return str(id)


def plan(event: Mapping[str, Any]) -> Changes:
    """What has to be written so that the user is as the event, the newest there is, says. Writes nothing."""
    user_id = user_of(event)
    account = read_account(None, user_id)
    if event.get("type") == "user.deleted" or is_deleted(user_id):
        words = "is marked as deleted; nothing is removed" if account.users else "is not known here"
        return Changes(account, remarks=[f"{user_id} {words}."])
    if _is_made_up(account.user(user_id)):
        return Changes(account, remarks=[f"{user_id} was deleted in the console: delete them at Clerk, too."])
    return Changes(account, _rows(account, user_id, event["data"]))


def _is_made_up(user: Row | None) -> bool:
    return user is not None and str(user["email"]).endswith(MADE_UP)


def _rows(account: Account, user_id: str, data: Mapping[str, Any]) -> list[RowChange]:
    user = account.user(user_id)
    wanted = profile(data)
    if wanted["email"] is None:
        raise Parked(f"{user_id} has no email address at Clerk, and OmniChat needs one.")
    if user is None:
        wanted = {**wanted, "subscriptionStatus": "inactive", "tier": "free"}
    battery = next(iter(account.batteries), None)
    changes = [difference("users", user_id, user_id, user, wanted)]
    if battery is None:
        cells = {"total_balance": 0, "daily_allowance": 0}
        changes.append(difference("user_battery", user_id, user_id, None, cells))
    return [change for change in changes if change]


def profile(data: Mapping[str, Any]) -> dict[str, Any]:
    """Email, name and picture from Clerk's user. https://clerk.com/docs/reference/backend-api/model/user"""
    addresses = {
        str(each.get("id")): each.get("email_address")
        for each in data.get("email_addresses") or []
        if isinstance(each, Mapping)
    }
    email = addresses.get(str(data.get("primary_email_address_id"))) or next(iter(addresses.values()), None)
    names = [text.strip() for name in ("first_name", "last_name") if isinstance(text := data.get(name), str)]
    picture = data.get("image_url")
    return {
        "email": email if isinstance(email, str) and email else None,
        "name": " ".join(name for name in names if name) or None,
        "avatarUrl": picture if isinstance(picture, str) and picture else None,
    }


def carry_out(event: Mapping[str, Any], stripe: Stripe | None, **audit_metadata: Any) -> list[str]:
    """Bring the user to what the newest event says; what was done, in lines. `stripe` makes the customer.

    Raises Parked, and `StripeTrouble` where the user is there already and only the customer is not.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _once(event, stripe, audit_metadata)
        except Changed:
            if attempt == _ATTEMPTS - 1:
                raise
        except IntegrityError as error:
            raise Parked(_taken(event)) from error
    raise AssertionError("unreachable")


def _taken(event: Mapping[str, Any]) -> str:
    user_id, email = user_of(event), profile(event["data"])["email"]
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("SELECT id FROM users WHERE email = %s AND id <> %s", [email, user_id])
        others = ", ".join(str(id) for (id,) in cursor.fetchall())
    return f"Another user, {others}, has the email address of {user_id}: give that one another, then replay the event."


def _once(event: Mapping[str, Any], stripe: Stripe | None, audit_metadata: Mapping[str, Any]) -> list[str]:
    changes = plan(event)
    if event.get("type") == "user.deleted":
        _mark(user_of(event), changes, audit_metadata)
        return changes.remarks
    apply(changes, by="clerk", **audit_metadata)
    said = [f"{row.table} {row.key}: {'made' if row.before is None else ', '.join(row.after)}" for row in changes.rows]
    return said + changes.remarks + _customer(user_of(event), stripe)


def _customer(user_id: str, stripe: Stripe | None) -> list[str]:
    user = read_account(None, user_id).user(user_id)
    if user is None or user["stripeCustomerId"] or _is_made_up(user) or is_deleted(user_id):
        return []
    if stripe is None:
        return ["No Stripe customer was made: STRIPE_SECRET_KEY is not set. create_stripe_customers does it later."]
    give_customer(stripe, Person(user_id, user["email"], user["name"]))
    return [f"{user_id} has a Stripe customer."]


def is_deleted(user_id: str) -> bool:
    """Whether Clerk has told that the user was deleted. Ids are never given again."""
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("SELECT 1 FROM audit_logs WHERE id = %s", [_mark_id(user_id)])
        return cursor.fetchone() is not None


def _mark_id(user_id: str) -> str:
    return f"deleted:{user_id}"


def _mark(user_id: str, changes: Changes, audit_metadata: Mapping[str, Any]) -> None:
    """The mark is a row of the audit log: the account's page shows it, and a later event of the user finds it."""
    account = changes.account
    if account is None or not account.users or is_deleted(user_id):
        return
    try:
        audit.record(
            DELETED, by="clerk", user_id=user_id, resource_type="users", resource_id=user_id, id=_mark_id(user_id),
            **audit_metadata,
        )  # fmt: skip
    except IntegrityError:
        return  # Marked by another at the same moment.
