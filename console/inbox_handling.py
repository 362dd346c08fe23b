"""What becomes of an event of the inbox: handled with those of its subject, put aside where that fails, or let wait."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing import clerk_events, stripe_events
from billing.ledger import Outcome
from billing.stripe_accounts import Changed, Changes, Parked, apply_together
from billing.stripe_api import Stripe, StripeDown, StripeRefused, StripeTrouble, stripe_of_settings
from console.inbox_arrivals import THIN
from console.models.inbox import OPEN, InboxEvent, InboxSource, InboxState
from d1 import OutcomeUnknown
from database.failures import sentence
from database.gathering import Gathering
from database.router import CONSOLE, OMNICHAT

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
#: What was done is noted so much later at the most, when others are done meanwhile.
NOTE_AFTER = timedelta(seconds=1)
#: Tries that may fail by a fault of the event or of ours, before it is left to a person.
MAX_ATTEMPTS = 8
#: What is down, is asked again so much later. These tries do not count.
PAUSE = timedelta(seconds=30)
_PARKED_FOR = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
_LINES = 50
_NOTE = (
    "UPDATE console_inboxevent SET state = %s, effect = %s, processed_at = %s, error = '', next_at = NULL, "
    "lease = '', leased_until = NULL WHERE id = %s AND lease = %s"
)
_writing = Gathering[Changes](lambda batch: apply_together(batch))


class Down(Exception):
    """Stripe or a database cannot be asked now, so the other events would fare no better. The text is a sentence."""


@dataclass(frozen=True)
class Done:
    """A group that was worked off, of which the inbox is still to be told."""

    group: list[InboxEvent]
    lease: str
    state: str
    effect: list[str]


class Noting:
    """Tells the inbox what was done, for several customers in one transaction: each waits for the disk.

    Who is killed before has done it for nothing: once the lease has run out it is done again, which changes nothing.
    """

    def __init__(self) -> None:
        self._done: list[Done] = []
        self._lock = threading.Lock()
        self._since = 0.0

    def add(self, done: Done) -> None:
        with self._lock:
            self._since = self._since if self._done else time.monotonic()
            self._done.append(done)
            is_time = time.monotonic() - self._since > NOTE_AFTER.total_seconds()
        if is_time:
            self.write()

    def write(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        if not done:
            return
        ops = connections[CONSOLE].ops
        now = ops.adapt_datetimefield_value(timezone.now())
        rows = [
            (str(each.state), ops.adapt_json_value(each.effect, None), now, event.pk, each.lease)
            for each in done
            for event in each.group
        ]
        with transaction.atomic(using=CONSOLE), connections[CONSOLE].cursor() as cursor:
            cursor.executemany(_NOTE, rows)


def handle(group: list[InboxEvent], lease: str, noting: Noting) -> Counter[str]:
    """Work off events of one subject together; one by one where that fails, to see which it is. Raises Down.

    The inbox is told of what was done when `noting` writes.
    """
    if not _is_held(group, lease):
        # The lease ran out, and another has them now.
        return Counter()
    try:
        effect = _effect(group)
    except Exception as problem:
        if is_down(problem):
            # Longer than the others: where this one alone meets it, again and again, they go on meanwhile.
            _mine(group, lease).update(**_waiting(_sentence(problem), 2 * PAUSE))
            raise Down(_sentence(problem)) from problem
        if len(group) > 1:
            return sum((handle([event], lease, noting) for event in group), Counter())
        return Counter([_put_aside(group[0], lease, problem)])
    state = InboxState.PROCESSED if effect is not None else InboxState.IGNORED
    # PostgreSQL keeps no NUL, which whoever chooses a name may have put there.
    noting.add(Done(group, lease, state, [line.replace("\0", "") for line in (effect or [])[:_LINES]]))
    return Counter({str(state): len(group)})


def _is_held(group: list[InboxEvent], lease: str) -> bool:
    """Whether all are still ours, for half a lease at least."""
    now = timezone.now()
    if any(not event.leased_until or event.leased_until - now < LEASE / 2 for event in group):
        return _mine(group, lease).update(leased_until=now + LEASE) == len(group)
    # A look costs no commit, for which the disk would be waited for.
    places = ", ".join(["%s"] * len(group))
    with connections[CONSOLE].cursor() as cursor:
        sql = f"SELECT count(*) FROM console_inboxevent WHERE lease = %s AND id IN ({places})"  # noqa: S608
        cursor.execute(sql, [lease, *(event.pk for event in group)])
        return bool(cursor.fetchone() == (len(group),))


def _mine(group: list[InboxEvent], lease: str) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.using(CONSOLE).filter(pk__in=[event.pk for event in group], lease=lease)


def _effect(group: list[InboxEvent], *, dry: bool = False) -> list[str] | None:
    """Bring about what the events hint at; what was written, in lines. None where that is nothing of ours."""
    if group[0].source == InboxSource.CLERK:
        return _effect_of_clerk(group, dry=dry)
    return _effect_of_stripe(group, dry=dry)


def _effect_of_stripe(group: list[InboxEvent], *, dry: bool) -> list[str] | None:
    stripe = stripe_of_settings()
    needs = stripe_events.Needs()
    for event in group:
        content = orjson.loads(event.payload)
        _check_origin(event, content, stripe)
        needs = needs.join(stripe_events.needs_of(content))
    if not needs:
        return None
    if dry or settings.STRIPE_EFFECTS == "observe":
        lines = stripe_events.preview(stripe, needs)
        return lines if dry else [f"Observed, not written: {line}" for line in lines]
    events = [event.event_id for event in group][:_LINES]
    return stripe_events.carry_out(stripe, needs, write=_write, events=events).lines()


def _write(changes: Changes, **audit: Any) -> list[Outcome]:
    """In one transaction with what other threads write now."""
    changes.audit = audit
    if changes:
        _writing.write(changes)
    return changes.outcomes


def _check_origin(event: InboxEvent, content: Mapping[str, Any], stripe: Stripe) -> None:
    if content.get("object") == THIN:
        raise Parked(
            "This is a thin event, which tells too little: choose snapshot payloads at the endpoint in Stripe.",
            tried_again=False,
        )
    if account := content.get("account"):
        raise Parked(
            f"This is an event of the connected account {account!r:.60}, and not of ours: leave out connected accounts "
            "at the endpoint in Stripe.",
            tried_again=False,
        )
    if event.livemode is not None and event.livemode != stripe.is_live:
        mode, other = ("live", "a test key") if event.livemode else ("test", "a live key")
        raise Parked(
            f"This is a {mode} event, and STRIPE_SECRET_KEY is {other}: Stripe sends it here by mistake.",
            tried_again=False,
        )


def _effect_of_clerk(group: list[InboxEvent], *, dry: bool) -> list[str]:
    newest = _newest(group[0].subject)
    event = orjson.loads(newest.payload)
    if dry or settings.STRIPE_EFFECTS == "observe":
        lines = stripe_events.Effect(clerk_events.plan(event)).lines()
        return lines if dry else [f"Observed, not written: {line}" for line in lines]
    stripe = stripe_of_settings() if settings.STRIPE_SECRET_KEY else None
    lines = clerk_events.carry_out(event, stripe, events=[each.event_id for each in group][:_LINES])
    release(clerk_events.user_of(event))
    return lines


def _newest(subject: str) -> InboxEvent:
    """Clerk's events hold the user as it was: the newest that came counts, in whatever order they are worked off."""
    known = InboxEvent.objects.using(CONSOLE).filter(source=InboxSource.CLERK, subject=subject)
    gone = known.filter(type="user.deleted").first()
    return gone or known.order_by("-happened_at", "-pk")[0]


def preview(event: InboxEvent) -> list[str]:
    """What working an event off would write now, in lines; nothing is written. Raises as working off does."""
    return _effect([event], dry=True) or []


def tried(event: InboxEvent) -> tuple[list[str], str]:
    """As `preview`, and what stands in the way as a sentence."""
    try:
        return preview(event), ""
    except Exception as problem:
        return [], _sentence(problem)


def release(words: str) -> int:
    """Make parked events due whose error names something that is there now, such as a user; how many."""
    parked = InboxEvent.objects.using(CONSOLE).filter(state=InboxState.PARKED, error__contains=words)
    return parked.update(next_at=timezone.now())


def set_aside(event: InboxEvent) -> bool:
    """Leave a parked event as it is, for good: whether it was still parked."""
    parked = InboxEvent.objects.using(CONSOLE).filter(pk=event.pk, state=InboxState.PARKED, lease="")
    return bool(parked.update(state=InboxState.IGNORED, next_at=None))


def is_down(problem: BaseException) -> bool:
    """Whether it is the world's fault, and passes: no try counts."""
    if isinstance(problem, StripeDown | StripeRefused):
        return True
    return isinstance(problem, OperationalError | InterfaceError)


def _sentence(problem: BaseException) -> str:
    if isinstance(problem, Parked | StripeTrouble):
        return str(problem)
    if isinstance(problem, OutcomeUnknown):
        return "D1's answer was lost: the event is tried again, and counts once."
    if isinstance(problem, DatabaseError | InterfaceError):
        return sentence(problem, connections[OMNICHAT])  # type: ignore[arg-type]
    if isinstance(problem, Changed):
        return "The account was changed at the same moment, again and again."
    logger.error("An event could not be worked off", exc_info=problem)
    return f"A fault of the console ({type(problem).__name__}). The log of the process says more."


def _put_aside(event: InboxEvent, lease: str, problem: BaseException) -> str:
    """FAILED, to be tried again by itself, or PARKED; which of them."""
    attempts = event.attempts + 1
    parked = isinstance(problem, Parked)
    state = InboxState.PARKED if parked or attempts >= MAX_ATTEMPTS else InboxState.FAILED
    _mine([event], lease).update(
        state=state, attempts=attempts, error=_sentence(problem), next_at=_next_at(problem, state, attempts),
        lease="", leased_until=None,
    )  # fmt: skip
    return str(state)


def _next_at(problem: BaseException, state: str, attempts: int) -> datetime | None:
    if isinstance(problem, Parked):
        wait = _PARKED_FOR[min(attempts, len(_PARKED_FOR)) - 1]
        return timezone.now() + wait if problem.tried_again else None
    return None if state == InboxState.PARKED else timezone.now() + timedelta(seconds=15 * 2**attempts)


def let_wait(lease: str, error: str) -> None:
    """Give back what was claimed and not done, for somewhat later."""
    InboxEvent.objects.using(CONSOLE).filter(state__in=OPEN, lease=lease).update(**_waiting(error, PAUSE))


def _waiting(error: str, pause: timedelta) -> dict[str, Any]:
    return {"error": error, "next_at": timezone.now() + pause, "lease": "", "leased_until": None}
