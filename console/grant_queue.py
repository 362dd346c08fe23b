"""Grants that wait for a second person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet

from console import grants
from console.models.grant import Grant
from database.router import CONSOLE


def waiting_for(person: User | AnonymousUser) -> QuerySet[Grant] | None:
    """What this person may decide on; None where that is nothing ever."""
    if not person.has_perm("console.approve_grant"):
        return None
    assert isinstance(person, User)
    return grants.for_others_than(person).filter(state=Grant.State.REQUESTED)


@dataclass(frozen=True)
class Settled:
    """`decided` by this call, of them `applied` to the ledger; `late` came too late, or are this person's own."""

    decided: int
    applied: int
    late: int


def settle(ids: Sequence[UUID], decision: str, *, by: User, text: str) -> Settled:
    """Approve (and post) or reject grants. Raises GrantRefused, and `OutcomeUnknown` where D1's answer was lost."""
    if decision == "reject":
        decided = grants.reject(ids, by=by, text=text)
        return Settled(len(decided), 0, len(ids) - len(decided))
    decided = grants.approve(ids, by=by, text=text)
    outcomes: dict[UUID, Any] = grants.apply(decided)
    applied = Grant.objects.using(CONSOLE).filter(pk__in=outcomes, state=Grant.State.APPLIED).count()
    return Settled(len(decided), applied, len(ids) - len(decided))
