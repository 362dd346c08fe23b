"""Taking a grant back, in whole or in part. It happens once.

As with a grant itself it is decided in the console's database first, then posted under an id derived from the grant,
then closed. What is taken is the smaller of what is left of the grant and the balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from billing.ledger import Entry, Outcome, State, post
from console import recipients
from console.grant_remains import remains
from console.grants import PORTION, RESUMED_AFTER, GrantRefused
from console.models.grant import Grant
from console.models.staff import StaffEvent
from database.router import CONSOLE

_POSTED = (State.POSTED, State.REPEATED)


@dataclass(frozen=True)
class Returnable:
    """What a reversal could take now. `left` of the grant and `balance` in units; the balance None where unreadable."""

    left: int
    balance: int | None

    @property
    def units(self) -> int:
        return max(min(self.left, self.balance or 0), 0)


def may_reverse(person: User, grant: Grant) -> bool:
    """Who decides on grants may take back any, who grants their own."""
    own = grant.requested_by_id == person.pk and person.has_perm("console.add_grant")
    return own or person.has_perm("console.approve_grant")


def returnable(grant: Grant) -> Returnable:
    """What is left of a grant and the user's balance: two queries to OmniChat's database."""
    found = recipients.find([grant.user_id]).get(grant.user_id, [])
    user = next((user for user in found if user.id == grant.user_id), None)
    if user is None:
        raise GrantRefused("There is no such user any more, and so nothing to take back.")
    left = 0 if grant.expiry_units is not None else remains([grant])[grant.pk]
    return Returnable(left, user.units if user.is_readable else None)


def reverse(grant: Grant, units: int | None, *, by: User, text: str) -> int:
    """Take back `units` of a grant, or all that is left of it; how many it came to. Raises GrantRefused.

    The first call decides, also between two at the same moment, and a repetition is told. Raises `OutcomeUnknown` where
    D1's answer was lost: then it is finished by itself within minutes.
    """
    if not may_reverse(by, grant):
        raise GrantRefused(f"{by.get_username()} may not take this grant back.")
    there = returnable(grant)
    if there.balance is None:
        raise GrantRefused("The user's balance cannot be read as a number of units: mend it first.")
    if not there.units:
        raise GrantRefused(
            f"Nothing can be taken back: {there.left:,} units are left, the balance is {there.balance:,}."
        )
    wanted = there.left if units is None else units
    if not 0 < wanted <= there.left:
        raise GrantRefused(f"Of this grant {there.left:,} units are left: take back 1 to {there.left:,}.")
    _decide_reversal(grant, wanted, by, text)
    return _post_reversals([grant.pk])[grant.pk]


def _decide_reversal(grant: Grant, units: int, by: User, text: str) -> None:
    untouched = Grant.objects.using(CONSOLE).filter(pk=grant.pk, state=Grant.State.APPLIED, reversal_units=None)
    with transaction.atomic(using=CONSOLE):
        # The units were counted before any expiry: if one came since, they are no longer right.
        if not untouched.filter(expiry_units=None).update(
            reversal_units=units, reversal_by=by, reversal_at=timezone.now(), reversal_text=text
        ):
            raise GrantRefused("This grant was taken back already, or is not given.")
        StaffEvent.objects.using(CONSOLE).create(
            staff=by,
            action="grant.reversed",
            subject=str(grant.pk),
            detail={"user": grant.user_id, "units": units, "text": text},
        )


def _post_reversals(ids: Sequence[UUID]) -> dict[UUID, int]:
    """Finish reversals that were decided; the units that each took."""
    grants = Grant.objects.using(CONSOLE).filter(pk__in=ids, reversal_units__isnull=False)
    units = {}
    for grant in grants.select_related("reversal_by"):
        entry = debit(grant, grant.reversal_entry_id, grant.reversal_units or 0, "reversal")
        assert grant.reversal_by is not None
        (outcome,) = post([entry], by=grant.reversal_by, reason=grant.reversal_text)
        units[grant.pk] = taken(outcome)
        row = Grant.objects.using(CONSOLE).filter(pk=grant.pk)
        # Of two that finish at once, one may have come when the balance was 0: what the ledger has counts.
        unfinished = row.filter(Q(reversed_units=None) | Q(reversed_units=0))
        if is_final(outcome):
            unfinished.update(reversed_units=units[grant.pk], state=Grant.State.REVERSED)
    return units


def debit(grant: Grant, id: str, units: int, cause: str) -> Entry:
    """The entry that takes units of a grant back, clipped to the balance."""
    return Entry(id, grant.user_id, grant.ledger_type, -units, metadata={"grant": str(grant.pk), "cause": cause})


def taken(outcome: Outcome) -> int:
    """The units that an entry took."""
    return -outcome.amount if outcome.state in _POSTED else 0


def is_final(outcome: Outcome) -> bool:
    """Whether nothing more comes of it."""
    # With an unreadable balance it is tried again; a user who is gone has nothing.
    return outcome.state in (*_POSTED, State.NOTHING, State.UNKNOWN_USER)


def resume() -> int:
    """Finish reversals that were decided a minute ago and not closed, as after a crash; how many there were."""
    before = timezone.now() - RESUMED_AFTER
    open_ = Grant.objects.using(CONSOLE).filter(reversal_units__isnull=False, reversed_units=None)
    ids = list(open_.filter(reversal_at__lte=before).values_list("pk", flat=True)[:PORTION])
    return len(_post_reversals(ids))
