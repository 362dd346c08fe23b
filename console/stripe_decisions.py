"""What staff decided to do at Stripe: kept before Stripe is asked, and its end after. Both are staff events.

`stripe.NAME` is the decision, `stripe.NAME.done` or `stripe.NAME.refused` its end. One without an end lost its
answer, or its process: sent again with the same key it is looked up, then done once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from billing.stripe_accounts import Changed, Parked
from billing.stripe_actions import Refused, check_effects, follow
from billing.stripe_api import Stripe, StripeTrouble
from billing.stripe_events import Needs
from billing.stripe_shapes import Object
from console.models import StaffEvent
from console.roles import BILLING
from console.staff_events import record
from database.router import CONSOLE

#: So long a decision without an end holds off others on the same object.
BUSY = timedelta(seconds=90)
#: Stripe keeps idempotency keys for a day at least; a form that is older is not sent again.
KEPT = timedelta(hours=12)


class SentBefore(Exception):
    """The form was sent before, and has come to its end. The text says how."""


@dataclass(frozen=True)
class Decision:
    """`object` is Stripe's id, `key` the form's, `asked` what the form sends, `cost` as it was shown."""

    name: str
    user_id: str
    object: str
    key: str
    asked: dict[str, Any] = field(default_factory=dict)
    cost: str = ""
    reason: str = ""

    def kept(self) -> dict[str, Any]:
        return {"object": self.object, "key": self.key, "asked": self.asked, "cost": self.cost, "reason": self.reason}


@dataclass(frozen=True)
class Done:
    """What Stripe gave, what OmniChat's rows became of it, and why they could not follow, if so."""

    found: Object
    lines: list[str]
    problem: str = ""


def perform(
    stripe: Stripe, decision: Decision, *, by: User, looked_at: datetime,
    act: Callable[[], Object], needs: Callable[[Object], Needs],
) -> Done:  # fmt: skip
    """Keep the decision, do it at Stripe, let OmniChat follow, keep the end.

    `looked_at`: when Stripe was read for it. Raises SentBefore, Refused, StripeTrouble, Uncertain.
    """
    check_effects()
    _decide(decision, by, looked_at)
    try:
        found = act()
    except (Refused, StripeTrouble) as refusal:
        _end(decision, by, "refused", {"because": str(refusal)})
        raise
    lines, problem = _follow(stripe, decision, by, needs(found))
    _end(decision, by, "done", {"stripe": str(found.get("id")), "effects": lines[:20], "problem": problem})
    return Done(found, lines, problem)


def is_open(decision: Decision) -> bool:
    """Whether it was decided and has no end yet: sent again, it is looked up. Raises SentBefore for what has ended."""
    own = list(_of(decision.object).filter(detail__key=decision.key))
    if own:
        _check_same(decision, own)
    return bool(own)


def unfinished(object: str) -> list[StaffEvent]:
    """Decisions on an object of Stripe's without an end, newest first."""
    events = list(_of(object).select_related("staff"))
    ended = {event.detail["key"] for event in events if _is_end(event)}
    return [event for event in events if event.detail["key"] not in ended]


def _of(object: str) -> QuerySet[StaffEvent]:
    return StaffEvent.objects.using(CONSOLE).filter(action__startswith="stripe.", detail__object=object)


def _is_end(event: StaffEvent) -> bool:
    return event.action.endswith((".done", ".refused"))


def _decide(decision: Decision, by: User, looked_at: datetime) -> None:
    with transaction.atomic(using=CONSOLE):
        # Decisions of all staff wait for each other here, and each sees those before it. SQLite locks at BEGIN.
        Group.objects.using(CONSOLE).select_for_update(no_key=True).filter(name=BILLING).first()
        events = list(_of(decision.object).select_related("staff"))
        own = [event for event in events if event.detail["key"] == decision.key]
        if own:
            _check_same(decision, own)
            return
        _check_others(events, looked_at)
        record(f"stripe.{decision.name}", by=by, subject=decision.user_id, detail=decision.kept())


def _check_same(decision: Decision, own: list[StaffEvent]) -> None:
    for event in own:
        if event.action.endswith(".done"):
            raise SentBefore(gettext("This form was sent before, and it was done. For another one begin anew."))
        if event.action.endswith(".refused"):
            raise SentBefore(gettext("This form was sent before, and was refused: begin anew."))
        if event.detail["asked"] != decision.asked:
            raise SentBefore(gettext("This form was sent before, with other words: begin anew."))
        if timezone.now() - event.at > KEPT:
            raise SentBefore(gettext("This form is too old to be sent again: look what Stripe has, and begin anew."))


def _check_others(events: list[StaffEvent], looked_at: datetime) -> None:
    ended = {event.detail["key"] for event in events if _is_end(event)}
    for event in events:
        who = event.staff.get_username() if event.staff else "?"
        if event.detail["key"] not in ended and timezone.now() - event.at < BUSY:
            raise Refused(gettext("%s is at it right now: look again in two minutes.") % who)
        if event.at >= looked_at:
            raise Refused(gettext("%s has just changed it: look again.") % who)


def _follow(stripe: Stripe, decision: Decision, by: User, needs: Needs) -> tuple[list[str], str]:
    """What could not follow now comes with Stripe's event, or with a resync."""
    try:
        return follow(stripe, needs, by=by, key=decision.key).lines(), ""
    except (Parked, Changed, StripeTrouble) as problem:
        return [], str(problem) or gettext("the account was changed at the same moment")
    except DatabaseError as problem:
        return [], gettext("OmniChat's database did not answer (%s)") % type(problem).__name__


def _end(decision: Decision, by: User, how: str, detail: dict[str, Any]) -> None:
    with transaction.atomic(using=CONSOLE):
        Group.objects.using(CONSOLE).select_for_update(no_key=True).filter(name=BILLING).first()
        if not any(_is_end(event) for event in _of(decision.object).filter(detail__key=decision.key)):
            kept = {"object": decision.object, "key": decision.key, **detail}
            record(f"stripe.{decision.name}.{how}", by=by, subject=decision.user_id, detail=kept)
