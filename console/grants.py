"""Grants of staff: decided in the console's database, then posted to the ledger, then closed.

A crash between these steps is repaired by doing them again: what was decided is found by its key, and the entry of the
ledger has an id derived from the grant. Only what is APPROVED is resumed; what is REQUESTED waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing.ledger import LARGEST, Entry, Outcome, State, post
from console.grant_limits import UNLIMITED, Purse
from console.models.grant import Grant, GrantBulk
from console.models.staff import StaffEvent
from database.router import CONSOLE

#: Grants that are posted in one transaction, on D1 one request.
PORTION = 1000
#: A decided grant is resumed when nobody has closed it for so long.
RESUMED_AFTER = timedelta(seconds=60)
_PROBLEMS = {
    State.UNREADABLE: "The user's balance cannot be read as a number of units: mend it, and it is applied by itself.",
    State.TAKEN: "The ledger has another entry under the id of this grant.",
}
_GONE = "There is no such user any more."


class GrantRefused(Exception):
    """It may not be done, or no longer. Says why."""


class KeyUsed(GrantRefused):
    """The key has a `grant` already, which is another than the one that is asked for."""

    def __init__(self, grant: Grant) -> None:
        super().__init__(f"This key was used before, for {grant.units:,} units to {grant.user_id}.")
        self.grant = grant


@dataclass(frozen=True)
class Wish:
    """A grant that somebody asks for. `key` names the cause: the same key is the same grant."""

    user_id: str
    email: str
    units: int
    category: str
    text: str
    key: str | None = None
    ticket: str = ""
    expires_on: date | None = None
    bulk: GrantBulk | None = None
    bulk_row: int | None = None


def decide(wishes: Sequence[Wish], *, by: User | str) -> list[Grant]:
    """The grants of these wishes: APPROVED within the limits of whoever asks, else REQUESTED; all in one transaction.

    A wish whose key has its grant already gives that one as it is. `by` as a string is whoever sits at the command
    line, without limits. Raises GrantRefused.
    """
    for wish in wishes:
        if not 0 < wish.units <= LARGEST:
            raise GrantRefused(f"A grant gives 1 to {LARGEST:,} units, not {wish.units:,}.")
    try:
        return _decide(wishes, by)
    except IntegrityError:
        # Somebody else used a key a moment ago: now it is found.
        return _decide(wishes, by)


def _decide(wishes: Sequence[Wish], by: User | str) -> list[Grant]:
    keys = [wish.key for wish in wishes if wish.key is not None]
    with transaction.atomic(using=CONSOLE):
        # Two grants of one person at once wait for each other here, so that both count. SQLite locks at BEGIN.
        person = None if isinstance(by, str) else _locked(by)
        known = {grant.key: grant for grant in Grant.objects.using(CONSOLE).filter(key__in=keys)}
        new = [wish for wish in wishes if wish.key is None or wish.key not in known]
        purse = Purse.of(person, [wish.user_id for wish in new]) if person and new else Purse(UNLIMITED)
        made = [_decided(wish, person, by, purse) for wish in new]
        Grant.objects.using(CONSOLE).bulk_create(made)
    by_wish = {id(wish): grant for wish, grant in zip(new, made, strict=True)}
    return [by_wish.get(id(wish)) or _same(known[wish.key], wish) for wish in wishes]


def _locked(by: User) -> User:
    person = User.objects.using(CONSOLE).select_for_update(no_key=True).get(pk=by.pk)
    if not person.is_active or not person.has_perm("console.add_grant"):
        raise GrantRefused(f"{person.get_username()} may not grant anything.")
    return person


def _decided(wish: Wish, person: User | None, by: User | str, purse: Purse) -> Grant:
    now = timezone.now()
    because = purse.take(wish.user_id, wish.units)
    return Grant(
        **vars(wish),
        state=Grant.State.REQUESTED if because else Grant.State.APPROVED,
        waits_because=because,
        requested_at=now,
        requested_by=person,
        operator="" if person else str(by),
        decided_at=None if because else now,
    )


def _same(grant: Grant, wish: Wish) -> Grant:
    if (grant.user_id, grant.units) != (wish.user_id, wish.units):
        raise KeyUsed(grant)
    return grant


def apply(grants: Iterable[Grant | UUID]) -> dict[UUID, Outcome]:
    """Post those of these grants that are APPROVED, and close them: one request to D1 for each thousand.

    Gives what the ledger said of each that was posted. Who began it twice, or at the same time, gives nothing twice.
    Raises `OutcomeUnknown` where D1's answer was lost: the grants stay APPROVED, and are resumed.
    """
    ids = [grant.pk if isinstance(grant, Grant) else grant for grant in grants]
    outcomes: dict[UUID, Outcome] = {}
    for start in range(0, len(ids), PORTION):
        some = Grant.objects.using(CONSOLE).filter(pk__in=ids[start : start + PORTION], state=Grant.State.APPROVED)
        outcomes |= _apply(some.select_related("requested_by", "decided_by"))
    return outcomes


def _apply(grants: QuerySet[Grant]) -> dict[UUID, Outcome]:
    outcomes: dict[UUID, Outcome] = {}
    # Of one call to the ledger all entries have the same actor: as a rule, one.
    deciders = sorted(grants, key=_decider)
    for _, members in groupby(deciders, key=_decider):
        some = list(members)
        first = some[0]
        told = {"approved_by": first.decided_by.get_username()} if first.decided_by else {}
        posted = post([_entry(grant) for grant in some], by=first.requested_by or first.operator, **told)
        outcomes |= {grant.pk: outcome for grant, outcome in zip(some, posted, strict=True)}
    _close(outcomes)
    return outcomes


def post_again(grant: Grant) -> Outcome:
    """Post a grant that was given under the id that it had, where a restore took its entry away."""
    told = {"approved_by": grant.decided_by.get_username()} if grant.decided_by else {}
    by = grant.requested_by or grant.operator
    return post([_entry(grant)], by=by, reason=grant.text, **told)[0]


def _decider(grant: Grant) -> tuple[int, str, int]:
    return grant.requested_by_id or 0, grant.operator, grant.decided_by_id or 0


def _entry(grant: Grant) -> Entry:
    metadata = {"grant": str(grant.pk), "category": grant.category}
    # Who and why is known from OmniChat's database alone, also where the console's is lost.
    why = {"reason": grant.text, "ticket": grant.ticket} if grant.ticket else {"reason": grant.text}
    return Entry(grant.entry_id, grant.user_id, grant.ledger_type, grant.units, metadata=metadata, audit=why)


def _close(outcomes: dict[UUID, Outcome]) -> None:
    now = timezone.now()
    done = [pk for pk, outcome in outcomes.items() if outcome.state in (State.POSTED, State.REPEATED)]
    open_ = Grant.objects.using(CONSOLE).filter(state=Grant.State.APPROVED)
    open_.filter(pk__in=done).update(state=Grant.State.APPLIED, applied_at=now, problem="")
    gone = [pk for pk, outcome in outcomes.items() if outcome.state is State.UNKNOWN_USER]
    if gone:
        open_.filter(pk__in=gone).update(state=Grant.State.REJECTED, decision=_GONE, decided_at=now)
    for pk, outcome in outcomes.items():
        if outcome.state in _PROBLEMS:
            open_.filter(pk=pk).update(problem=_PROBLEMS[outcome.state])


def for_others_than(person: User) -> QuerySet[Grant]:
    """Grants that this person did not ask for, also not by another login of the same email."""
    same = User.objects.using(CONSOLE).filter(email__iexact=person.email) if person.email else User.objects.none()
    # By value: an UPDATE over a join would be one over a subquery, which PostgreSQL does not look at again once it has
    # waited for whoever decided first.
    return Grant.objects.using(CONSOLE).exclude(requested_by_id__in=[person.pk, *same.values_list("pk", flat=True)])


def approve(grants: Sequence[UUID], *, by: User, text: str = "") -> list[Grant]:
    """Approve what waits, except what `by` asked for: those that this call approved. They are not posted yet."""
    return _settle(grants, Grant.State.APPROVED, by, text)


def reject(grants: Sequence[UUID], *, by: User, text: str) -> list[Grant]:
    """Reject what waits: those that this call rejected."""
    return _settle(grants, Grant.State.REJECTED, by, text)


def _settle(ids: Sequence[UUID], state: Grant.State, by: User, text: str) -> list[Grant]:
    if not by.has_perm("console.approve_grant"):
        raise GrantRefused(f"{by.get_username()} may not decide on grants.")
    decided = []
    for pk in ids:
        waiting = for_others_than(by).filter(pk=pk, state=Grant.State.REQUESTED)
        with transaction.atomic(using=CONSOLE):
            # Two who decide at once: the second finds no row that still waits.
            if waiting.update(state=state, decided_by=by, decided_at=timezone.now(), decision=text):
                grant = Grant.objects.using(CONSOLE).select_related("requested_by").get(pk=pk)
                decided.append(grant)
                StaffEvent.objects.using(CONSOLE).create(
                    staff=by, action=f"grant.{state.lower()}", subject=str(pk), detail=_told(grant)
                )
    return decided


def _told(grant: Grant) -> dict[str, object]:
    return {
        "user": grant.user_id,
        "units": grant.units,
        "requested_by": grant.requester,
        "over": grant.waits_because,
        "text": grant.decision,
    }


def resume() -> int:
    """Apply what was decided and not closed for a minute, as after a crash; how many now are. At most a portion."""
    before = timezone.now() - RESUMED_AFTER
    left = Grant.objects.using(CONSOLE).filter(state=Grant.State.APPROVED, decided_at__lte=before)
    ids = list(left.order_by("problem", "decided_at").values_list("pk", flat=True)[:PORTION])
    return sum(outcome.state in (State.POSTED, State.REPEATED) for outcome in apply(ids).values())
