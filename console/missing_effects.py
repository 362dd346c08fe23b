"""What the console knows to be done in OmniChat's database, and a restore took away: grants and webhook events.

Importing this lets each restore look for them; `console/apps.py` does so at the start. They are applied again under
the ids that they had, so that what is there after all is not doubled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from django.db import connections
from django.db.models import Model, Q

from billing.clerk_events import is_deleted
from billing.ledger import Outcome, State, post
from billing.models import BatteryTransaction
from chat.models import User
from console import inbox
from console.grant_expiry import ACTOR
from console.grant_reversal import debit
from console.grants import post_again
from console.models import Grant, InboxEvent, InboxSource, InboxState
from database.after_restore import Effects, NotApplied, register_effects
from database.router import CONSOLE

T = TypeVar("T")

_PORTION = 1000
#: A line of an event's effect that says what the ledger has: `invoice:in_1: +6,000 units to user_1, posted`.
_LINE = re.compile(r"(\S+): [+-][\d,]+ units to .+, (?:posted|repeated|credited by the app \(row (.+)\))")
_DONE = (State.POSTED, State.REPEATED, State.NOTHING)


def _portions(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, _PORTION)):
        yield some


def _there(model: type[Model], ids: Iterable[str]) -> set[str]:
    """Those of the ids that have a row."""
    rows = model._base_manager
    return {key for some in _portions(ids) for key in rows.filter(pk__in=some).values_list("pk", flat=True)}


def _is_set_up(model: type[Model]) -> bool:
    """A console that was never set up knows of nothing."""
    return model._meta.db_table in connections[CONSOLE].introspection.table_names()


# Grants


def _missing_grants(wanted: Q, entry_id: Callable[[Grant], str], words: str) -> Iterator[tuple[str, str]]:
    if not _is_set_up(Grant):
        return
    grants = Grant.objects.using(CONSOLE).filter(wanted).order_by("requested_at", "pk")
    for some in _portions(grants.iterator(chunk_size=_PORTION)):
        there = _there(BatteryTransaction, map(entry_id, some))
        yield from ((str(grant.pk), words.format(grant)) for grant in some if entry_id(grant) not in there)


def _effects_of_grants(
    wanted: Q, entry_id: Callable[[Grant], str], words: str, apply: Callable[[Grant], Outcome]
) -> Effects:
    def again(id: str) -> None:
        grant = Grant.objects.using(CONSOLE).select_related("requested_by", "decided_by", "reversal_by").get(pk=id)
        outcome = apply(grant)
        if outcome.state not in _DONE:
            raise NotApplied(f"The ledger says of {outcome.entry.id}: {outcome.state.value}.")

    return Effects(lambda: _missing_grants(wanted, entry_id, words), again)


def _reverse_again(grant: Grant) -> Outcome:
    entry = debit(grant, grant.reversal_entry_id, grant.reversed_units or 0, "reversal")
    return post([entry], by=grant.reversal_by or grant.operator, reason=grant.reversal_text)[0]


def _expire_again(grant: Grant) -> Outcome:
    return post([debit(grant, grant.expiry_entry_id, grant.expired_units or 0, "expiry")], by=ACTOR)[0]


# Events


def _processed(source: InboxSource) -> Iterator[InboxEvent]:
    if not _is_set_up(InboxEvent):
        return
    events = InboxEvent.objects.using(CONSOLE).filter(source=source, state=InboxState.PROCESSED).order_by("pk")
    yield from events.only("event_id", "type", "subject", "effect", "happened_at").iterator(chunk_size=_PORTION)


def _entries(event: InboxEvent) -> list[str]:
    """The ids of the ledger's rows that an event left or found."""
    found = (_LINE.fullmatch(line) for line in event.effect)
    return [match[2] or match[1] for match in found if match]


def _missing_of_stripe() -> Iterator[tuple[str, str]]:
    for some in _portions(_processed(InboxSource.STRIPE)):
        entries = {event.event_id: _entries(event) for event in some}
        there = _there(BatteryTransaction, dict.fromkeys(id for ids in entries.values() for id in ids))
        for event in some:
            if gone := [id for id in entries[event.event_id] if id not in there]:
                yield event.event_id, f"{event.type}, {', '.join(gone)}"


def _missing_of_clerk() -> Iterator[tuple[str, str]]:
    """The newest event of each user whose row is gone, or who is there again and was deleted."""
    newest: dict[str, InboxEvent] = {}
    for event in _processed(InboxSource.CLERK):
        known = newest.get(event.subject)
        if not any(line.startswith("Observed") for line in event.effect) and (
            known is None or _rank(event) >= _rank(known)
        ):
            newest[event.subject] = event
    users = {subject.removeprefix("user:"): event for subject, event in newest.items()}
    there = _there(User, users)
    for user_id, event in users.items():
        is_gone = user_id not in there
        if event.type == "user.deleted":
            is_gone = not is_gone and not is_deleted(user_id)
        if is_gone:
            yield event.event_id, f"{event.type}, {user_id}"


def _rank(event: InboxEvent) -> tuple[bool, str]:
    return event.type == "user.deleted", event.happened_at.isoformat() if event.happened_at else ""


def _replay(source: InboxSource) -> Callable[[str], None]:
    def again(id: str) -> None:
        event = inbox.replay(InboxEvent.objects.using(CONSOLE).get(source=source, event_id=id))
        if event.state not in (InboxState.PROCESSED, InboxState.IGNORED):
            raise NotApplied(event.error or "Somebody else is working on it.")

    return again


_GIVEN = Q(state__in=(Grant.State.APPLIED, Grant.State.REVERSED))
_REVERSED, _EXPIRED = Q(reversed_units__gt=0), Q(expired_units__gt=0)
# In the order in which they build on each other: a user, what was given, what was taken back.
register_effects("user event", Effects(_missing_of_clerk, _replay(InboxSource.CLERK)))
register_effects("payment event", Effects(_missing_of_stripe, _replay(InboxSource.STRIPE)))
register_effects("grant", _effects_of_grants(_GIVEN, lambda grant: grant.entry_id, "{0}", post_again))
register_effects(
    "grant reversal",
    _effects_of_grants(_REVERSED, lambda grant: grant.reversal_entry_id, "{0.reversed_units:,} of {0}", _reverse_again),
)
register_effects(
    "grant expiry",
    _effects_of_grants(_EXPIRED, lambda grant: grant.expiry_entry_id, "{0.expired_units:,} of {0}", _expire_again),
)
