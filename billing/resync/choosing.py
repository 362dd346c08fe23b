"""Whom a resync is about, where that is not everybody: some users by their ids, or whoever changed since a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db import connections

from billing import stripe_shapes as shapes
from billing.resync.reading import ALL, PAYMENTS, SESSIONS, SUBSCRIPTIONS, ListTrouble, at_once, searched
from billing.resync.scratch import Scratch
from billing.stripe_api import Stripe, StripeDown, StripeTrouble
from database.identifiers import is_id
from database.instants import EXPRESSION, shortest_text
from database.router import OMNICHAT

#: Stripe keeps its events so long.
EVENT_DAYS = 30
#: Beyond so many users, lists of all are fewer calls than asking for each.
MOST_SINGLY = 300
_PORTION = 500
_BY_KIND = {each.kind: each for each in (*ALL, PAYMENTS, SESSIONS, SUBSCRIPTIONS)}


def is_known_since(since: datetime) -> bool:
    """Whether Stripe still tells what has changed since."""
    return since >= datetime.now(UTC) - timedelta(days=EVENT_DAYS)


def changed_users(stripe: Stripe, since: datetime) -> list[str]:
    """Users of whom Stripe's events tell, or whose rows in OmniChat changed. Raises StripeTrouble.

    The list of events is what makes this cheap: a call for each hundred events, one where nothing happened. Objects
    could not be asked for by when they changed, only by when they were made.
    """
    customers: set[str] = set()
    users: set[str] = set()
    intents: set[str] = set()
    for event in stripe.list("/v1/events", created={"gte": int(since.timestamp())}):
        _mentioned(shapes.dig(event, "data", "object") or {}, customers, users, intents)
    for intent in sorted(intents):
        found = stripe.get(f"/v1/payment_intents/{intent}") or {}
        customers |= {customer} if (customer := shapes.id_of(found.get("customer"))) else set()
    known = dict(_users_of(customers))
    for customer in sorted(customers - known.keys()):
        named = shapes.metadata_user(stripe.get(f"/v1/customers/{customer}"))
        users |= {named} if named else set()
    return sorted(set(known.values()) | set(_existing(users)) | set(_touched(since)))


def _mentioned(thing: Any, customers: set[str], users: set[str], intents: set[str]) -> None:
    is_customer = thing.get("object") == "customer"
    customer = shapes.id_of(thing) if is_customer else shapes.id_of(thing.get("customer"))
    intent = shapes.id_of(thing.get("payment_intent"))
    if customer:
        customers.add(customer)
    elif intent:
        intents.add(intent)
    if named := shapes.metadata_user(thing):
        users.add(named)


def _select(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _users_of(customers: Iterable[str]) -> Iterator[tuple[str, str]]:
    wanted = orjson.dumps(sorted(customers)).decode()
    sql = "SELECT u.stripeCustomerId, u.id FROM json_each(%s) i JOIN users u ON u.stripeCustomerId = i.value"
    yield from _select(sql, [wanted])  # type: ignore[misc]


def _existing(users: Iterable[str]) -> list[str]:
    wanted = orjson.dumps(sorted(users)).decode()
    return [id for (id,) in _select("SELECT u.id FROM json_each(%s) i JOIN users u ON u.id = i.value", [wanted])]


def missing_users(users: Iterable[str]) -> list[str]:
    asked = set(users)
    return sorted(asked - set(_existing(asked)))


def _touched(since: datetime) -> list[str]:
    """Users whose row or whose subscriptions were written since, by whomever."""
    sql = f"""
        SELECT id FROM users WHERE {EXPRESSION.format(c="updatedAt")} >= %s
        UNION SELECT user_id FROM user_subscriptions WHERE {EXPRESSION.format(c="updated_at")} >= %s
        """  # noqa: S608
    return [str(id) for (id,) in _select(sql, [shortest_text(since)] * 2)]


def read_accounts(stripe: Stripe, scratch: Scratch, users: list[str], advance: Callable[[int], None]) -> None:
    """All that Stripe has of some users, into the scratch file: a handful of calls for each, of several at once."""
    for start in range(0, len(users), _PORTION):
        wanted = orjson.dumps(users[start : start + _PORTION]).decode()
        sql = "SELECT u.id, u.email, u.stripeCustomerId FROM json_each(%s) i JOIN users u ON u.id = i.value"
        rows = _select(sql, [wanted])
        left = [row for row in rows if not scratch.get(f"read:{row[0]}")]
        advance(len(rows) - len(left))
        accounts = at_once(lambda row: list(_account(stripe, *row)), left)
        for (id, *_), account in zip(left, accounts, strict=True):
            for kind, found in account:
                scratch.keep(kind, found)
            scratch.set(f"read:{id}", True)
            advance(1)


def _account(stripe: Stripe, user: str, email: Any, customer: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Objects by their kinds."""
    own = stripe.get(f"/v1/customers/{customer}") if is_id("cus", customer) else None
    found = {each["id"]: each for each in [*_customers_of(stripe, user, email), *([own] if own else [])]}
    yield "customer", list(found.values())
    there = [each for each in found.values() if not each.get("deleted")]
    for each in there:
        yield _listed(stripe, "subscription", customer=each["id"])
    # Of the others it is told that they are there; payments are those of the one who counts.
    for each in [own] if own in there else there if len(there) == 1 and not customer else []:
        yield _listed(stripe, "session", customer=each["id"])
        yield from _payments(stripe, each["id"])


def _customers_of(stripe: Stripe, user: str, email: Any) -> list[dict[str, Any]]:
    """Customers whose metadata name a user. The search is a minute late, or refused, so the email's are listed, too."""
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    query = " OR ".join(f'metadata["{key}"]:"{quoted}"' for key in shapes.USER_KEYS)
    found: list[dict[str, Any]] = []
    try:
        for page in searched(stripe, "/v1/customers", query):
            found += page
    except (StripeDown, ListTrouble):
        raise
    except StripeTrouble:
        found.clear()
    found += stripe.list("/v1/customers", email=email) if email else []
    return [each for each in found if shapes.metadata_user(each) == user]


def _listed(stripe: Stripe, kind: str, **by: str) -> tuple[str, list[dict[str, Any]]]:
    listed = _BY_KIND[kind]
    return kind, list(stripe.list(listed.path, **by, **listed.params))


def _payments(stripe: Stripe, customer: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    intents = _listed(stripe, "intent", customer=customer)
    yield intents
    for intent in intents[1]:
        charge = shapes.expanded(intent.get("latest_charge")) or {}
        for kind, is_touched in (("refund", charge.get("amount_refunded")), ("dispute", charge.get("disputed"))):
            if is_touched:
                yield _listed(stripe, kind, payment_intent=intent["id"])
