"""Suspects, looked at closely and mended: by the same functions that work off Stripe's events, with the same causes.

Before a batch is written, Stripe is asked what has happened since the resync began: whom it concerns is read anew.
OmniChat's rows are read right before, and written only if they still are so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
from django.db import connections

from billing import stripe_events
from billing import stripe_shapes as shapes
from billing.ledger import Outcome, State
from billing.ledger_audit import audit_users
from billing.ledger_correction import correct
from billing.resync.books import CREDITS, Book, books_of
from billing.resync.kinds import GONE, LEAVE, LEFT, REPAIR, REPAIRED, named
from billing.resync.scratch import Difference, Scratch, Suspect
from billing.resync.snapshot import Snapshot
from billing.stripe_accounts import Changed, Changes, Parked, apply_together
from billing.stripe_api import Stripe, StripeDown, StripeRefused, StripeTrouble
from billing.stripe_events import Needs
from database.audit import Actor
from database.router import OMNICHAT
from database.transactions import run_batch

#: Accounts of one transaction.
BATCH = 50
#: Up to so many accounts are read anew before they are mended, whatever happened.
ALL_ANEW = 20


def judge(scratch: Scratch, snapshot: Snapshot, advance: Callable[[int], None]) -> None:
    """Name what has to be mended for each suspect. Writes nothing. Raises StripeTrouble."""
    while suspects := scratch.suspects("new", BATCH):
        books = _books(scratch, suspects)
        for suspect in suspects:
            found = [] if "battery" in suspect.needs else list(_differences(snapshot, suspect, books))
            scratch.db.execute("BEGIN")
            for difference in found:
                scratch.note(difference, suspect.number)
            if "battery" in suspect.needs:
                sql = "UPDATE differences SET suspect = ? WHERE kind = 'battery_missing' AND user_id = ?"
                scratch.db.execute(sql, [suspect.number, suspect.user_id])
            is_wrong = "battery" in suspect.needs or any(each.action == REPAIR for each in found)
            scratch.mark([suspect], "wrong" if is_wrong else "right")
            scratch.db.execute("COMMIT")
        advance(len(suspects))


def _books(scratch: Scratch, suspects: Iterable[Suspect]) -> dict[str, Book]:
    users = sorted({suspect.user_id for suspect in suspects})
    wanted = orjson.dumps(users).decode()
    sql = CREDITS.replace("MINE", "SELECT value FROM json_each(%s)")
    (rows,) = run_batch(connections[OMNICHAT], [(sql, [wanted])])
    return books_of(users, rows, scratch)


def _differences(stripe: Stripe, suspect: Suspect, books: dict[str, Book]) -> Iterator[Difference]:
    try:
        yield from named(_changes(stripe, suspect, books[suspect.user_id]))
    except Parked as problem:
        yield _unclear(suspect, problem)


def _unclear(suspect: Suspect, problem: Exception) -> Difference:
    kind = "price_unknown" if "No plan has the price" in str(problem) else "account_unclear"
    return Difference(kind, suspect.user_id, str(suspect.customer), None, None, LEAVE, str(problem))


def _changes(stripe: Stripe, suspect: Suspect, book: Book) -> Changes:
    """What is to be written so that it is as Stripe says, with what a resync does not do still in it."""
    needs = suspect.needs
    invoices: set[str] = set()
    if needs.get("invoices"):
        listed = stripe.list("/v1/invoices", customer=suspect.customer, status="paid", expand=["data.payments"])
        invoices = {
            str(each["id"]) for each in listed
            if shapes.invoice_subscription(each) and f"invoice:{each['id']}" not in book.causes
        }  # fmt: skip
    changes = stripe_events.plan(
        stripe,
        Needs(
            suspect.customer, True, invoices, set(needs.get("payments", ())), set(needs.get("sessions", ())),
            set(needs.get("reversed", ())), {suspect.user_id},
        ),
    )  # fmt: skip
    changes.entries = book.missing(changes.entries)
    changes.settled = []
    return changes


def _mendable(changes: Changes) -> Changes:
    """Without the entries that would take battery away."""
    kept = {difference.subject for difference in named(changes) if difference.action == REPAIR}
    changes.entries = [entry for entry in changes.entries if entry.id in kept]
    return changes


def repair(
    scratch: Scratch, snapshot: Snapshot, *, by: Actor, advance: Callable[[int], None] = lambda suspects: None,
    **audit_metadata: Any,
) -> None:  # fmt: skip
    """Mend all that was judged to be wrong, in batches. Killed and run again, it goes on. Raises StripeTrouble."""
    few = scratch.count("wrong") + scratch.count("writing") <= ALL_ANEW
    for state in ("writing", "wrong"):
        while suspects := scratch.suspects(state, BATCH):
            _batch(scratch, snapshot, suspects, few=few, by=by, audit_metadata=audit_metadata)
            advance(len(suspects))


def _batch(
    scratch: Scratch, snapshot: Snapshot, suspects: list[Suspect], *, few: bool, by: Actor,
    audit_metadata: dict[str, Any],
) -> None:  # fmt: skip
    batteries = [suspect for suspect in suspects if "battery" in suspect.needs]
    if batteries:
        _give_batteries(scratch, batteries, by)
    rest = [suspect for suspect in suspects if "battery" not in suspect.needs]
    moved = None if few else moved_since(snapshot.live, scratch.get("newest_event", ""))
    books = _books(scratch, rest)
    planned: list[tuple[Suspect, Changes]] = []
    for suspect in rest:
        is_anew = moved is None or suspect.customer in moved
        changes = _planned(scratch, snapshot.live if is_anew else snapshot, suspect, books[suspect.user_id])
        if changes is not None:
            planned.append((suspect, changes))
    scratch.mark([suspect for suspect, _ in planned], "writing")
    try:
        outcomes = apply_together([changes for _, changes in planned], by=by, **audit_metadata)
        _conclude(scratch, planned, outcomes)
    except Changed:
        for suspect, _ in planned:
            _alone(scratch, snapshot.live, suspect, by, audit_metadata)


def _planned(scratch: Scratch, stripe: Stripe, suspect: Suspect, book: Book) -> Changes | None:
    try:
        return _mendable(_changes(stripe, suspect, book))
    except (StripeDown, StripeRefused):
        raise
    except (Parked, StripeTrouble) as problem:
        _leave(scratch, suspect, str(problem))
        return None


def _leave(scratch: Scratch, suspect: Suspect, why: str) -> None:
    scratch.conclude(suspect.number, LEFT, reason=why)
    scratch.mark([suspect], "done")


def _alone(scratch: Scratch, stripe: Stripe, suspect: Suspect, by: Actor, audit_metadata: dict[str, Any]) -> None:
    """One whose batch could not be written, since somebody wrote to one of its accounts meanwhile."""
    for _ in range(stripe_events.ATTEMPTS):
        changes = _planned(scratch, stripe, suspect, _books(scratch, [suspect])[suspect.user_id])
        if changes is None:
            return
        try:
            outcomes = apply_together([changes], by=by, **audit_metadata)
        except Changed:
            continue
        _conclude(scratch, [(suspect, changes)], outcomes)
        return
    _leave(scratch, suspect, "The account was changed at the same moment, again and again: run the resync again.")


def _conclude(scratch: Scratch, planned: list[tuple[Suspect, Changes]], outcomes: list[Outcome]) -> None:
    """Say of each difference what became of it: one that was no longer there is gone."""
    became = {outcome.entry.id: outcome.state for outcome in outcomes}
    scratch.db.execute("BEGIN")
    for suspect, changes in planned:
        wrote = {(each.kind, each.subject) for each in named(changes)}
        for difference in scratch.differences(suspect.number):
            if difference.action != REPAIR:
                continue
            key = (difference.kind, difference.subject)
            # A kill between the writing and this leaves it to be found written.
            is_ours = key in wrote or suspect.state == "writing"
            action, why = _ending(is_ours, became.get(difference.subject))
            scratch.conclude(suspect.number, action, only=key, reason=why)
        scratch.mark([suspect], "done")
    scratch.db.execute("COMMIT")


def _ending(is_ours: bool, state: State | None) -> tuple[str, str]:
    if state is None or state in (State.POSTED, State.REPEATED):
        return (REPAIRED, "") if is_ours else (GONE, "It was so no longer when it was to be mended.")
    if state in (State.BY_APP, State.NOTHING):
        return GONE, "The OmniChat app credited it meanwhile."
    return LEFT, f"It could not be posted: {state.value}."


def _give_batteries(scratch: Scratch, suspects: list[Suspect], by: Actor) -> None:
    """A battery with the sum of the entries, for those who still have none."""
    findings = [each for each in audit_users([s.user_id for s in suspects]) if each.kind == "no battery"]
    correct(findings, by=by)
    for suspect in suspects:
        scratch.conclude(suspect.number, REPAIRED)
    scratch.mark(suspects, "done")


def moved_since(stripe: Stripe, newest: str) -> set[str] | None:
    """Customers of whom Stripe told something after an event; None where that is too much to go through, or unknown."""
    after = {"ending_before": newest} if newest else {}
    page = _events(stripe, limit=100, **after)
    if page is None or page.get("has_more"):
        return None
    things = [shapes.dig(event, "data", "object") or {} for event in shapes.items_of(page)]
    if any(each.get("object") in _NAMELESS and shapes.id_of(each.get("customer")) is None for each in things):
        return None
    customers = [each if each.get("object") == "customer" else each.get("customer") for each in things]
    return {id for each in customers if (id := shapes.id_of(each))}


# These name their payment alone.
_NAMELESS = ("refund", "dispute", "charge", "payment_intent", "checkout.session")


def newest_event(stripe: Stripe) -> str:
    return next((str(event["id"]) for event in shapes.items_of(_events(stripe, limit=1))), "")


def _events(stripe: Stripe, **params: Any) -> dict[str, Any] | None:
    """None for a key that may not read events."""
    try:
        return stripe.page("/v1/events", **params)
    except StripeDown:
        raise
    except StripeTrouble:
        return None
