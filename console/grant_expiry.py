"""The end of grants that expire: what is left of each is taken back, once.

A grant can be used until the end of its last day (UTC). What is taken is decided in the console's database first, then
posted under an id derived from the grant, then closed; doing it again finishes what a crash left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from billing.allowance import today
from billing.ledger import Outcome, post
from console.grant_remains import remains
from console.grant_reversal import debit, is_final, taken
from console.grants import PORTION
from console.models.grant import Grant
from database.router import CONSOLE

#: Who takes it back, for the audit log.
ACTOR = "expire_grants"
_GIVEN = (Grant.State.APPLIED, Grant.State.REVERSED)
_NO_REVERSAL_OPEN = Q(reversal_units__isnull=True) | Q(reversed_units__isnull=False)


@dataclass
class Expired:
    """What a run of `expire_grants` did: grants that ended, and the units that were taken back."""

    expired: int = 0
    units: int = 0


def expire_some(day: date, *, after: UUID | None = None) -> tuple[Expired, UUID | None]:
    """Take back what is left of up to a thousand grants whose last day is before `day`, in the order of their ids.

    Two requests to D1. Gives what it did, and the last id; None when there are no more. A second run, or one at the
    same time, takes nothing twice.
    """
    due = _due(day).filter(pk__gt=after) if after else _due(day)
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:PORTION])
    if not ids:
        return Expired(), None
    _decide_expiries(_due(day).filter(pk__in=ids, expiry_units=None))
    return _post_expiries(ids), ids[-1]


def _due(day: date) -> QuerySet[Grant]:
    given = Grant.objects.using(CONSOLE).filter(state__in=_GIVEN, expires_on__lt=day, expired_at=None)
    # While a reversal is being posted nobody knows what is left.
    return given.filter(_NO_REVERSAL_OPEN)


def _decide_expiries(due: QuerySet[Grant]) -> None:
    grants = list(due)
    left = remains(grants) if grants else {}
    with transaction.atomic(using=CONSOLE):
        for grant in grants:
            # What is left was counted with this reversal, or with none.
            same = Grant.objects.using(CONSOLE).filter(pk=grant.pk, expiry_units=None)
            same = same.filter(reversal_units=grant.reversal_units, reversed_units=grant.reversed_units)
            same.update(expiry_units=left[grant.pk])


def _post_expiries(ids: Sequence[UUID]) -> Expired:
    decided = Grant.objects.using(CONSOLE).filter(pk__in=ids, expiry_units__isnull=False, expired_at=None)
    grants = {grant.pk: grant for grant in decided}
    entries = {
        pk: debit(grant, grant.expiry_entry_id, grant.expiry_units, "expiry")
        for pk, grant in grants.items()
        if grant.expiry_units
    }
    outcomes = dict(zip(entries, post(entries.values(), by=ACTOR), strict=True))
    return _close(grants, outcomes)


def _close(grants: Mapping[UUID, Grant], outcomes: Mapping[UUID, Outcome]) -> Expired:
    done = Expired()
    with transaction.atomic(using=CONSOLE):
        for pk in grants:
            outcome = outcomes.get(pk)
            if outcome and not is_final(outcome):
                continue
            units = taken(outcome) if outcome else 0
            closed = Grant.objects.using(CONSOLE).filter(pk=pk, expired_at=None)
            count = closed.update(expired_units=units, expired_at=timezone.now())
            done.expired += count
            done.units += units * count
    return done


def expire(day: date | None = None, advance: Callable[[Expired], None] = lambda total: None) -> Expired:
    """Take back what is left of all grants whose last day is over: before `day`, a UTC day, today without one.

    Two requests to D1 for each thousand grants. `advance` gets the sums so far.
    """
    total = Expired()
    done, last = expire_some(day or today())
    while last is not None:
        total.expired += done.expired
        total.units += done.units
        advance(total)
        done, last = expire_some(day or today(), after=last)
    return total
