"""What staff did that changed nothing in OmniChat's tables: how it is recorded, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import Error, transaction
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from console import seals
from console.models.staff import HEAD, StaffEvent
from console.models.summary import Summary
from database.router import CONSOLE
from database.verification import Context, Finding, register_check
from database.words import counted

By = AbstractBaseUser | AnonymousUser | None
#: Broken links that are listed; all are counted.
LISTED = 20
#: The event that tells which others were pruned, and how many blocks of numbers one has.
PRUNED, MOST_BLOCKS = "sign_in.pruned", 1000


def record(action: str, *, by: By, subject: str = "", detail: dict[str, Any] | None = None) -> StaffEvent:
    """Keep that `by` did `action`; None is somebody at the command line."""
    event: StaffEvent = StaffEvent.objects.using(CONSOLE).create(
        staff_id=by.pk if by else None, action=action, subject=subject, detail=detail or {}
    )
    return event


def prune(events: QuerySet[StaffEvent]) -> int:
    """Remove these events, and record which they were, so that they are not missing. Gives how many.

    For one kind of events, of little worth when it is old. What is not as it was sealed stays: it is a proof.
    """
    keys, removed = seals.secrets(), 0
    with transaction.atomic(using=CONSOLE):
        found = events.using(CONSOLE).exclude(number=None).order_by("number").iterator(chunk_size=2000)
        blocks = _blocks((each.place, each.place) for each in found if _is_as_sealed(each, keys.get(each.sealed_with)))
        for start in range(0, len(blocks), MOST_BLOCKS):
            portion = blocks[start : start + MOST_BLOCKS]
            record(PRUNED, by=None, detail={"events": portion})
            for block in portion:
                removed += StaffEvent.objects.using(CONSOLE).filter(number__range=block).delete()[0]
    return removed


def _blocks(ranges: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """Numbers from a first to a last; those that touch are put together."""
    blocks: list[tuple[int, int]] = []
    for first, last in sorted((first, last) for first, last in ranges):
        if blocks and first <= blocks[-1][1] + 1:
            first, last = blocks[-1][0], max(last, blocks.pop()[1])
        blocks.append((first, last))
    return blocks


def _is_as_sealed(event: StaffEvent, secret: str | None) -> bool:
    return secret is not None and constant_time_compare(seals.seal(event.sealed_parts(), secret), event.seal)


@dataclass
class Chain:
    """What a walk along all events found. `faults` are sentences, the first of them; `count` is of all."""

    events: int = 0
    pruned: int = 0
    last: str = seals.FIRST
    count: int = 0
    other_key: int = 0
    faults: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        self.count += 1
        if len(self.faults) < LISTED:
            self.faults.append(sentence)


def verify_chain() -> Chain:
    """Walk along all events, oldest first: is each as it was sealed, after the one before, and none gone?"""
    chain, head = Chain(), _head(found := Summary.objects.using(CONSOLE).filter(name=HEAD).first())
    since, keys, number = head.since if head else 1, seals.secrets(), 0
    rows = StaffEvent.objects.using(CONSOLE).exclude(number=None).order_by("number")
    # A note that was changed or slipped in is a fault itself, found on the way.
    notes = rows.filter(action=PRUNED).values_list("detail__events", flat=True)
    gone = dict(_blocks(block for note in notes for block in note))
    for event in rows.iterator(chunk_size=2000):
        if event.place > number + 1 and gone.get(number + 1) == event.place - 1:
            chain.pruned += event.place - 1 - number
            number, chain.last = event.place - 1, event.previous
        _compare(chain, event, number + 1, keys.get(event.sealed_with), since)
        number, chain.last = event.place, event.seal
        chain.events += 1
    if outside := StaffEvent.objects.using(CONSOLE).filter(number=None).count():
        chain.tell(f"{counted(outside, 'event was', 'events were')} never sealed: written past the console")
    _compare_head(chain, head, number, is_there=found is not None)
    return chain


def _head(found: Summary | None) -> seals.Head | None:
    return seals.Head.read(found.value) if found else None


def _compare(chain: Chain, event: StaffEvent, expected: int, secret: str | None, since: int) -> None:
    if event.place != expected:
        chain.tell(f"events {expected} to {event.place - 1} are missing")
    elif event.previous != chain.last:
        chain.tell(f"event {event.place} does not follow the one before it")
    if secret is not None:
        if not _is_as_sealed(event, secret):
            chain.tell(f"event {event.place} was changed")
    elif event.place >= since:
        chain.tell(f"event {event.place} has the seal of an unknown key")
    else:
        chain.other_key += 1


def _compare_head(chain: Chain, head: seals.Head | None, number: int, *, is_there: bool) -> None:
    if head is None:
        if number or is_there:
            chain.tell("the head of the chain is missing or was changed")
        return
    if head.broken:
        chain.tell(f"the head of the chain was missing or changed when event {head.broken} was written")
    if head.number > number:
        chain.tell(f"the newest events, {number + 1} to {head.number}, are missing")
    elif head.number < number or head.last != chain.last:
        chain.tell("the newest event is not the one that the head of the chain names")


def check_chain(context: Context) -> Finding:
    """For `verify_database`. A console whose own database cannot be read has trouble of another kind."""
    try:
        chain = verify_chain()
    except Error:
        return Finding({"staff_events": None})
    data = {
        "events": chain.events,
        "pruned": chain.pruned,
        "faults": chain.faults,
        "sealed_with_another_key": chain.other_key,
    }
    lines = [f"Staff events: {fault}." for fault in chain.faults]
    if chain.other_key:
        lines.append(
            f"Staff events: {chain.other_key:,} were sealed before SECRET_KEY was changed; of these only the order "
            "is certain."
        )
    problem = f"the record of what staff did has {chain.count:,} faults: {chain.faults[0]}" if chain.count else None
    return Finding({"staff_events": data}, lines, problem)


def register() -> None:
    register_check("staff_events", check_chain)
