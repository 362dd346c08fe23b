"""OmniChat's users, a page at a time, beside what Stripe says of them. Nothing is written to either.

What differs in a way that a resync may mend makes the user a suspect, who is looked at closely afterwards; all else is
noted as a difference that is left for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import connections

from billing import stripe_shapes as shapes
from billing.ledger_audit import audit_users
from billing.resync import books
from billing.resync.books import Book
from billing.resync.causes import needs_of_money
from billing.resync.kinds import LEAVE, REPAIR
from billing.resync.reading import SUBSCRIPTIONS
from billing.resync.scratch import Difference, Scratch
from billing.resync.snapshot import Snapshot
from billing.stripe_accounts import BATTERY, SUBSCRIPTION, USER, Account, Parked
from billing.stripe_state import IN_FORCE, Plans, Unknown, stored_status
from billing.stripe_subscriptions import customer_changes
from chat.models import SubscriptionStatus
from database.identifiers import is_id
from database.router import OMNICHAT
from database.transactions import Step, run_batch

#: Users of one read; on D1 it is one request.
PAGE = 500
_PLANS = (
    "SELECT id, battery_units, daily_battery, stripe_price_id_monthly, stripe_price_id_annual FROM subscription_plans"
)
_SHARED = """
SELECT stripeCustomerId FROM users WHERE stripeCustomerId <> '' GROUP BY stripeCustomerId HAVING count(*) > 1 LIMIT 1000
"""


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


@dataclass
class Portion:
    """A page of users with all of their rows."""

    users: list[dict[str, Any]]
    subscriptions: dict[str, list[dict[str, Any]]]
    batteries: dict[str, tuple[Any, Any]]
    sums: dict[str, tuple[int, Any]]
    books: dict[str, Book]


def portions(scratch: Scratch, users: list[str] | None, after: str) -> Iterator[Portion]:
    """All users after an id, or those of a list, in the order of their ids."""
    while True:
        if users is None:
            mine, params = "SELECT id FROM users WHERE id > %s ORDER BY id LIMIT %s", [after, PAGE]
        else:
            wanted = orjson.dumps([user for user in sorted(users) if user > after][:PAGE]).decode()
            mine, params = "SELECT value FROM json_each(%s)", [wanted]
        portion = _read(mine, params, scratch)
        if portion.users:
            yield portion
            after = str(portion.users[-1]["id"])
        elif users is None or not any(user > after for user in users):
            return
        if users is not None:
            after = max([after, *orjson.loads(wanted)])


def _read(mine: str, params: list[Any], scratch: Scratch) -> Portion:
    steps: list[Step] = [
        (f"SELECT {_names(USER)} FROM users WHERE id IN ({mine}) ORDER BY id", params),  # noqa: S608
        (f"SELECT {_names(SUBSCRIPTION)} FROM user_subscriptions WHERE user_id IN ({mine}) ORDER BY id", params),  # noqa: S608
        (f"SELECT user_id, daily_allowance, total_balance FROM user_battery WHERE user_id IN ({mine})", params),  # noqa: S608
        (
            "SELECT user_id, count(*), coalesce(sum(CASE WHEN typeof(amount) = 'integer' THEN amount END), 0) "  # noqa: S608
            f"FROM battery_transactions WHERE user_id IN ({mine}) GROUP BY user_id",
            params,
        ),
        (books.CREDITS.replace("MINE", mine), params),
    ]
    users, subscriptions, batteries, sums, credits = run_batch(connections[OMNICHAT], steps)
    by_user: dict[str, list[dict[str, Any]]] = {}
    for row in subscriptions:
        cells = dict(zip(SUBSCRIPTION, row, strict=True))
        by_user.setdefault(cells["user_id"], []).append(cells)
    found = [dict(zip(USER, row, strict=True)) for row in users]
    return Portion(
        found,
        by_user,
        {row[0]: (row[1], row[2]) for row in batteries},
        {row[0]: (row[1], row[2]) for row in sums},
        books.books_of([row["id"] for row in found], credits, scratch),
    )


def read_plans() -> Plans:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_PLANS)
        return Plans.of_rows(cursor.fetchall())


def shared_customers() -> set[str]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_SHARED)
        return {customer for (customer,) in cursor.fetchall()}


@dataclass
class Comparing:
    """`is_whole`: all of Stripe's customers and subscriptions were read, so what is not there does not exist."""

    scratch: Scratch
    snapshot: Snapshot
    plans: Plans
    is_whole: bool
    shared: set[str] = field(default_factory=shared_customers)

    def run(self, users: list[str] | None, advance: Callable[[int], None]) -> None:
        """Goes on after the page that was compared last."""
        for portion in portions(self.scratch, users, self.scratch.get("compared_to", "")):
            db = self.scratch.db
            self._books(portion)
            db.execute("BEGIN")
            for user in portion.users:
                self._user(user, portion)
            self.scratch.set("compared_to", portion.users[-1]["id"])
            self.scratch.set("compared", self.scratch.get("compared", 0) + len(portion.users))
            db.execute("COMMIT")
            advance(len(portion.users))
        if self.is_whole and users is None and not self.scratch.get("strangers"):
            for customer in self.scratch.unseen_customers():
                self._stranger(customer)
            self.scratch.set("strangers", True)

    def _user(self, user: dict[str, Any], portion: Portion) -> None:
        id = str(user["id"])
        own = self._own_customer(user)
        if own is not None and self.is_whole:
            self._complete(str(own["id"]), portion.subscriptions.get(id, []))
        others = [each for each in self.scratch.objects("customer", user=id) if own is None or each["id"] != own["id"]]
        for each in ([own] if own else []) + others:
            self.scratch.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [each["id"]])
        for difference in self._left(user, own, others, portion):
            self.scratch.note(difference)
        if own is None and not user["stripeCustomerId"] and len(others) == 1:
            own = others[0]
        if own is None or own["id"] in self.shared or shapes.metadata_user(own) not in (None, id):
            return
        if not self._pays_unseen(own, others, portion.subscriptions.get(id, [])):
            self._account(user, str(own["id"]), portion)

    def _pays_unseen(self, own: dict[str, Any], others: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bool:
        """Another customer of the user's pays, of which OmniChat has no row, and their own does not: a person looks."""
        held = {row["stripe_subscription_id"] for row in rows}
        unseen = [sub for each in others for sub in self._subscriptions(each["id"]) if sub["id"] not in held]
        return any(map(_is_in_force, unseen)) and not any(map(_is_in_force, self._subscriptions(own["id"])))

    def _own_customer(self, user: dict[str, Any]) -> dict[str, Any] | None:
        id = user["stripeCustomerId"]
        if not isinstance(id, str) or not id:
            return None
        found = self.snapshot.get(f"/v1/customers/{id}") if _is_plain(id) else None
        return None if found is None or found.get("deleted") else found

    def _complete(self, customer: str, rows: list[dict[str, Any]]) -> None:
        """Ask for the subscriptions of a customer where one that OmniChat has was in no list."""
        held = [row["stripe_subscription_id"] for row in rows if row["status"] != "canceled"]
        if any(is_id("sub", each) and self._is_unknown(each) for each in held):
            listed = self.snapshot.live.list(SUBSCRIPTIONS.path, customer=customer, **SUBSCRIPTIONS.params)
            self.scratch.keep("subscription", listed)

    # What a resync may mend

    def _account(self, user: dict[str, Any], customer: str, portion: Portion) -> None:
        id = str(user["id"])
        battery = portion.batteries.get(id)
        rows = [dict(zip(BATTERY, (id, battery[0]), strict=True))] if battery else []
        account = Account(customer, [user], portion.subscriptions.get(id, []), rows, self.plans, (customer, id))
        needs = needs_of_money(self.scratch, customer, id, portion.books[id])
        try:
            differs = bool(customer_changes(self.snapshot, customer, [], set(), account))
        except (Parked, Unknown) as problem:
            self.scratch.note(_problem(problem, id, customer))
            return
        if differs or needs:
            self.scratch.suspect(id, customer, needs)

    # What is left for a person

    def _left(
        self, user: dict[str, Any], own: dict[str, Any] | None, others: list[dict[str, Any]], portion: Portion
    ) -> Iterator[Difference]:
        id, customer = str(user["id"]), user["stripeCustomerId"]
        if customer and own is None:
            why = "Nothing is mended on the word of a customer whom Stripe does not have. Look whose it was."
            yield Difference("customer_missing_in_stripe", id, str(customer), "a customer", None, LEAVE, why)
        if own is not None:
            yield from self._of_customer(user, own)
        if others and (own is not None or customer or len(others) > 1):
            ids = ", ".join(each["id"] for each in others)
            why = "Find out which is this person's; end the subscriptions of the other at Stripe, and its metadata."
            yield Difference("two_customers", id, ids, customer, ids, LEAVE, why)
        held = [sub for each in [*([own] if own else []), *others] for sub in self._subscriptions(each["id"])]
        yield from self._of_subscriptions(user, held, portion.subscriptions.get(id, []), own)
        yield from self._of_those_in_force(user, held, portion.subscriptions.get(id, []))
        yield from books.twice(id, portion.books[id], len(self._packs(own["id"])) if own else 0)

    def _of_customer(self, user: dict[str, Any], own: dict[str, Any]) -> Iterator[Difference]:
        id, customer = str(user["id"]), str(own["id"])
        if customer in self.shared:
            why = "Leave it to one of them: whose payments these are cannot be told."
            yield Difference("customer_shared", id, customer, "one user", "several", LEAVE, why)
        named = shapes.metadata_user(own)
        if named not in (None, id):
            why = "Look which is right, and correct the other: the metadata at Stripe, or the user's row."
            yield Difference("customer_of_other_user", id, customer, id, named, LEAVE, why)
        theirs, mine = own.get("email"), user["email"]
        if theirs and mine and str(theirs).strip().lower() != str(mine).strip().lower():
            why = "OmniChat has the email of Clerk. Correct Stripe's, or bills go to the other address."
            yield Difference("email_differs", id, customer, mine, theirs, LEAVE, why)

    def _of_subscriptions(
        self, user: dict[str, Any], held: list[dict[str, Any]], rows: list[dict[str, Any]], own: dict[str, Any] | None
    ) -> Iterator[Difference]:
        id = str(user["id"])
        known = {sub["id"] for sub in held}
        for row in rows:
            sub = row["stripe_subscription_id"]
            if sub in known or row["status"] == "canceled" or not self._is_unknown(sub):
                continue
            why = "Stripe does not have it, so it is not said to have ended. Look where it came from."
            yield Difference(
                "subscription_unknown_to_stripe", id, str(sub or row["id"]), None, row["status"], LEAVE, why
            )
        had = own is not None and any(row["stripe_customer_id"] == own["id"] for row in rows)
        if user["tier"] == "paid" and not held and not had:
            why = "Nobody pays for it at Stripe. Staff may have given it: if not, set the tier to free."
            yield Difference("paid_without_subscription", id, "users.tier", "free", "paid", LEAVE, why)
        status = user["subscriptionStatus"]
        if not held and not had and status not in (None, "", *SubscriptionStatus.values):
            why = "There never was a subscription at Stripe that could say what it is to be: set it to inactive."
            yield Difference("status_not_allowed", id, "users.subscriptionStatus", "inactive", status, LEAVE, why)

    def _of_those_in_force(
        self, user: dict[str, Any], held: list[dict[str, Any]], rows: list[dict[str, Any]]
    ) -> Iterator[Difference]:
        """Whoever pays twice, be it by another customer: one who names the user, or of whom OmniChat has the row."""
        id = str(user["id"])
        rowed = [self.scratch.object("subscription", str(row["stripe_subscription_id"])) for row in rows]
        mine = [sub for sub in rowed if sub is not None and shapes.metadata_user(sub) == id]
        in_force = {sub["id"]: sub for sub in [*held, *mine] if _is_in_force(sub)}
        if len(in_force) < 2:
            return
        goes_by = f"OmniChat goes by {user['subscriptionId']}. " if user["subscriptionId"] in in_force else ""
        why = f"{goes_by}Ask which is wanted; cancel the other, here or at Stripe, and refund what it took."
        told = "; ".join(map(self._in_words, in_force.values()))
        yield Difference("two_subscriptions", id, next(iter(in_force)), "one subscription", told, LEAVE, why)

    def _in_words(self, subscription: dict[str, Any]) -> str:
        price = next(iter(shapes.subscription_prices(subscription)), {})
        known = self.plans.by_price.get(str(price.get("id")))
        money = f"{shapes.cents(price.get('unit_amount')) / 100:,.2f} {str(price.get('currency')).upper()}"
        every = shapes.dig(price, "recurring", "interval")
        plan = known.plan.id if known else price.get("id")
        return f"{plan}, {money} a {every} ({subscription['id']}, {subscription['status']}, {subscription['customer']})"

    def _subscriptions(self, customer: str) -> list[dict[str, Any]]:
        return self.scratch.objects("subscription", customer=customer)

    def _packs(self, customer: str) -> set[str | None]:
        """Sales of battery packs, by their payments, or by their sessions where nothing was to be paid."""
        paid = {each["id"] for each in self.scratch.objects("intent", customer=customer) if shapes.metadata_units(each)}
        sold = [each for each in self.scratch.objects("session", customer=customer) if each.get("mode") == "payment"]
        return paid | {shapes.id_of(each.get("payment_intent")) or each["id"] for each in sold}

    def _is_unknown(self, subscription: Any) -> bool:
        if not isinstance(subscription, str) or not subscription.startswith("sub_"):
            return True
        if self.scratch.object("subscription", subscription) is not None:
            return False
        if self.is_whole or not _is_plain(subscription):
            return True
        return self.snapshot.get(f"/v1/subscriptions/{subscription}") is None

    def _books(self, portion: Portion) -> None:
        """Who seems to have a ledger that does not fit the balance is audited: on D1 it is one request more."""
        odd = [user for user in portion.books if _is_odd(portion.sums.get(user), portion.batteries.get(user))]
        for finding in audit_users(odd) if odd else []:
            user = str(finding.user)
            if finding.kind == "no battery":
                self.scratch.suspect(user, None, {"battery": []})
                self.scratch.note(Difference("battery_missing", user, user, finding.expected, None, REPAIR))
            elif finding.kind == "no ledger":
                why = "Find out who gave it; audit_battery --fix writes the entry that explains it."
                found = finding.found
                self.scratch.note(Difference("balance_without_ledger", user, user, finding.expected, found, LEAVE, why))
            elif finding.kind in ("balance", "chain"):
                why = (
                    "Whose units are missing cannot be told: audit_battery tells the rows, --fix explains the balance."
                )
                subject = finding.row or user
                self.scratch.note(
                    Difference("ledger_broken", user, subject, finding.expected, finding.found, LEAVE, why)
                )

    def _stranger(self, customer: dict[str, Any]) -> None:
        """A customer whom no user has, if it pays or names somebody."""
        named = shapes.metadata_user(customer)
        if named is None and not self._subscriptions(customer["id"]):
            return
        why = "Its user is not here: look whether Clerk has one, or end it at Stripe."
        self.scratch.note(
            Difference("customer_unknown_here", named, customer["id"], named or "a user", None, LEAVE, why)
        )


def _problem(problem: Exception, user: str, customer: str) -> Difference:
    kind = "price_unknown" if isinstance(problem, Unknown) else "account_unclear"
    return Difference(kind, user, customer, None, None, LEAVE, str(problem))


def _is_in_force(subscription: dict[str, Any]) -> bool:
    try:
        return stored_status(subscription.get("status")) in IN_FORCE
    except Unknown:
        return False


def _is_plain(id: str) -> bool:
    return id.isascii() and id.replace("_", "").isalnum()


def _is_odd(sums: tuple[int, Any] | None, battery: tuple[Any, Any] | None) -> bool:
    if battery is None:
        return sums is not None
    return (battery[1] or 0) != (sums[1] if sums else 0)
