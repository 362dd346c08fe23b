"""A Stripe customer for each user: one, whoever asks for it and however often."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from billing import stripe_shapes as shapes
from billing.stripe_accounts import Changed, Changes, Parked, apply, difference, read_account
from billing.stripe_api import SameKeyOtherWords, Stripe, StripeDown, StripeRefused, StripeTrouble
from database.identifiers import is_id
from database.router import OMNICHAT

#: The address of whoever was deleted in the console ends so: no mail ever reaches it (RFC 2606).
MADE_UP = "@deleted.invalid"
#: Users of one read.
PORTION = 500
#: From so many on, Stripe's customers are listed once instead of being asked for one by one.
LISTED_FROM = 20
#: So often is a user looked at anew who changes while they are linked.
ATTEMPTS = 3


@dataclass
class Created:
    """Customers that were made, and those that were there and only had to be linked."""

    created: int = 0
    linked: int = 0
    lacking: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Person:
    id: str
    email: str | None
    name: str | None


def create_customers(
    stripe: Stripe, *, dry_run: bool = False, advance: Callable[[int], None] = lambda users: None
) -> Created:
    """A customer for every user who lacks one. Killed and run again, it makes none twice. Raises StripeTrouble."""
    result = Created()
    lacking = list(_lacking())
    result.lacking = len(lacking)
    if dry_run:
        return result
    known = _by_user(stripe) if len(lacking) >= LISTED_FROM else None
    for person in lacking:
        try:
            made = give_customer(stripe, person, known=known)
        except (StripeDown, StripeRefused):
            raise
        except (StripeTrouble, Parked) as problem:
            result.problems.append(f"{person.id}: {problem}")
        else:
            result.created += made
            result.linked += not made
        advance(1)
    return result


def _lacking() -> Iterator[Person]:
    last = ""
    sql = "SELECT id, email, name FROM users WHERE coalesce(stripeCustomerId, '') = '' AND id > %s ORDER BY id LIMIT %s"
    while True:
        with connections[OMNICHAT].cursor() as cursor:
            cursor.execute(sql, [last, PORTION])
            rows = cursor.fetchall()
        yield from (Person(*row) for row in rows if not str(row[1]).endswith(MADE_UP))
        if len(rows) < PORTION:
            return
        last = rows[-1][0]


def _by_user(stripe: Stripe) -> dict[str, Mapping[str, Any]]:
    """The customers whose metadata name a user; of several the oldest."""
    return {user: each for each in stripe.list("/v1/customers") if (user := shapes.metadata_user(each))}


def give_customer(stripe: Stripe, person: Person, *, known: Mapping[str, Mapping[str, Any]] | None = None) -> bool:
    """Link a user with the customer that is theirs, made where there is none; whether it was made.

    `known` are customers by user, where all were listed. Raises Parked, where the user got another one meanwhile.
    """
    if not is_id("user", person.id):
        raise Parked(f"{person.id!r:.60} is no id of a Clerk user: no customer is made for it.", tried_again=False)
    customer = known.get(person.id) if known is not None else _find(stripe, person)
    found, made = (customer, False) if customer is not None else _make(stripe, person)
    check_customer(stripe, found, person.id)
    _link(person.id, str(found["id"]))
    return made


def check_customer(stripe: Stripe, customer: Mapping[str, Any], user_id: str) -> None:
    """Form, existence, mode, and whose it is by its metadata. Raises Parked."""
    id = customer.get("id")
    if not is_id("cus", id):
        raise Parked(f"{id!r:.60} is no id of a Stripe customer.", tried_again=False)
    if customer.get("deleted"):
        raise Parked(f"The customer {id} is deleted.", tried_again=False)
    if bool(customer.get("livemode")) != stripe.is_live:
        raise Parked(f"The customer {id} is of the other mode than STRIPE_SECRET_KEY.", tried_again=False)
    if shapes.metadata_user(customer) != user_id:
        raise Parked(f"The customer {id} is not of {user_id} by its metadata.", tried_again=False)


def _find(stripe: Stripe, person: Person) -> Mapping[str, Any] | None:
    """Stripe's search lags behind; a list does not."""
    found = stripe.list("/v1/customers", email=person.email) if person.email else iter(())
    return next((each for each in found if shapes.metadata_user(each) == person.id), None)


def _make(stripe: Stripe, person: Person) -> tuple[Mapping[str, Any], bool]:
    """The customer, and whether it is new."""
    given = {"email": person.email, "name": person.name}
    params = {**{key: value for key, value in given.items() if value}, "metadata": {"userId": person.id}}
    key = f"omnichat-customer-{person.id}"
    try:
        return stripe.post("/v1/customers", params, idempotency_key=key), True
    except SameKeyOtherWords:
        # Name or email have changed since an earlier try, which may have made one under the older email.
        earlier = _by_user(stripe).get(person.id)
        words = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()[:16]
        if earlier is not None:
            return earlier, False
        return stripe.post("/v1/customers", params, idempotency_key=f"{key}-{words}"), True


def _link(user_id: str, customer: str) -> None:
    """Who finds the account changed looks again: another run may have linked the same customer."""
    for _ in range(ATTEMPTS):
        try:
            return _link_once(user_id, customer)
        except Changed:
            continue
    raise Parked(f"{user_id} was changed at the same moment.")


def _link_once(user_id: str, customer: str) -> None:
    account = read_account(customer, user_id)
    others = [row["id"] for row in account.holders() if row["id"] != user_id]
    user = account.user(user_id)
    if others or user is None or user["stripeCustomerId"] not in (None, "", customer):
        raise Parked(f"{user_id} has another customer now, or {customer} another user.")
    change = difference("users", user_id, user_id, user, {"stripeCustomerId": customer})
    apply(Changes(account, [change] if change else []))
