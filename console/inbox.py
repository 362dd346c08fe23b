"""The inbox of webhooks: an event is kept once under its own id, and worked off afterwards, once in its effect.

Who works one off claims it by a conditional UPDATE with a lease. A kill at any moment leaves the lease to run out, and
the event to be done again, which the ids of its effects make harmless.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4

from django.db import connections
from django.db.models import Q, QuerySet
from django.utils import timezone

from billing.stripe_api import stripe_of_settings
from console.inbox_arrivals import Arrival, arrival_of_stripe
from console.inbox_crew import Crew
from console.inbox_handling import LEASE, Down, Noting, handle, let_wait
from console.models.inbox import OPEN, InboxEvent, InboxSource, InboxState
from database.router import CONSOLE, OMNICHAT

#: Events that one worker takes at once, those of one customer together. Its other rounds wait so long.
BATCH = 500
#: Customers whose events are worked off at once: where a call takes 150 ms they ask as often as Stripe allows.
THREADS = 12
_counting = threading.Lock()
# What Django would build anew at each delivery.
_COLUMNS = (*Arrival.__dataclass_fields__, "received_at")
_ROW = f"({', '.join(['%s'] * len(_COLUMNS))}, 0, '', '[]', '')"


@dataclass
class Worked:
    """How many events ended how, and why it stopped before all were done."""

    states: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    def count(self, *states: str) -> int:
        return sum(self.states[state] for state in states)


def keep(arrivals: list[Arrival]) -> None:
    """Keep events in the inbox. One that is there already stays as it is."""
    if not arrivals:
        return
    connection, now = connections[CONSOLE], timezone.now()
    cells = [cell for arrival in arrivals for cell in (*vars(arrival).values(), now)]
    moment = connection.ops.adapt_datetimefield_value
    # One statement is a transaction of its own, and holds SQLite's lock while it runs, not while its thread waits.
    rows = ", ".join([_ROW] * len(arrivals))
    sql = f"INSERT INTO console_inboxevent ({', '.join(_COLUMNS)}, attempts, error, effect, lease) VALUES {rows}"  # noqa: S608
    with connection.cursor() as cursor:
        sent = [moment(cell) if isinstance(cell, datetime) else cell for cell in cells]
        cursor.execute(f"{sql} ON CONFLICT DO NOTHING", sent)


def work_off(limit: int | None = None, *, advance: Callable[[int], None] = lambda events: None) -> Worked:
    """Work off what is due, until nothing is or `limit` events are done."""
    worked, crew = Worked(), Crew(THREADS)
    try:
        while limit is None or worked.states.total() < limit:
            lease, events = claim(BATCH if limit is None else min(BATCH, limit - worked.states.total()))
            if not events:
                break
            worked.stopped = _handle_all(events, lease, worked, advance, crew)
            if worked.stopped:
                let_wait(lease, worked.stopped)
                break
    finally:
        crew.disband()
    return worked


def _handle_all(
    events: list[InboxEvent], lease: str, worked: Worked, advance: Callable[[int], None], crew: Crew
) -> str:
    """Handle events, several subjects at once; why it stopped ahead of the end, or nothing."""
    groups, noting = _groups(events), Noting()
    threads = min(_threads(), len(groups))
    stops: list[str] = []

    def take_turns() -> None:
        try:
            stops.append(_take_turns(groups, lease, worked, advance, noting))
        finally:
            groups.clear()

    if threads == 1:
        take_turns()
    else:
        crew.run(take_turns, threads)
    noting.write()
    return next(filter(None, stops), "")


def _take_turns(
    groups: deque[list[InboxEvent]], lease: str, worked: Worked, advance: Callable[[int], None], noting: Noting
) -> str:
    """Handle one group after the other, until none is left or something is down: that, as a sentence."""
    while groups:
        try:
            group = groups.popleft()
        except IndexError:  # Another thread was quicker.
            break
        try:
            states = handle(group, lease, noting)
        except Down as down:
            return str(down)
        with _counting:
            worked.states.update(states)
            advance(len(group))
    return ""


def _groups(events: list[InboxEvent]) -> deque[list[InboxEvent]]:
    groups: dict[tuple[str, str], list[InboxEvent]] = {}
    for event in events:
        groups.setdefault((event.source, event.subject or event.event_id), []).append(event)
    # Clerk's first: who signs up is made though Stripe is down.
    return deque(group for _, group in sorted(groups.items(), key=lambda item: item[0][0]))


def _threads() -> int:
    """One where other threads would not see what this one sees: in a transaction, or of a database in memory."""
    for alias in (CONSOLE, OMNICHAT):
        connection = connections[alias]
        if connection.in_atomic_block or getattr(connection, "is_in_memory_db", bool)():
            return 1
    return THREADS


def retry_failed() -> int:
    """Make events due that failed or are parked, now; how many."""
    asleep = InboxEvent.objects.using(CONSOLE).filter(state__in=(InboxState.FAILED, InboxState.PARKED))
    return asleep.update(next_at=timezone.now(), state=InboxState.FAILED, attempts=0)


def backfill(advance: Callable[[int], None] = lambda events: None) -> int:
    """Keep all events that Stripe still has, 30 days back: those that were lost on their way. Raises StripeTrouble."""
    kept = InboxEvent.objects.using(CONSOLE).filter(source=InboxSource.STRIPE)
    before = kept.count()
    events = stripe_of_settings().list("/v1/events")
    while portion := [arrival_of_stripe(event) for event in islice(events, 100)]:
        keep(portion)
        advance(len(portion))
    return kept.count() - before


def due() -> QuerySet[InboxEvent]:
    """What is to be worked off now, and nobody has claimed."""
    now = timezone.now()
    waits = Q(state__in=(InboxState.RECEIVED, InboxState.FAILED)) & (Q(next_at=None) | Q(next_at__lte=now))
    again = Q(state=InboxState.PARKED, next_at__lte=now)
    return InboxEvent.objects.using(CONSOLE).filter(waits | again).filter(_free(now))


def _free(now: datetime) -> Q:
    return Q(leased_until=None) | Q(leased_until__lt=now)


def claim(limit: int, **only: Any) -> tuple[str, list[InboxEvent]]:
    """Take up to `limit` events that are due; the lease, and the events in the order in which they came.

    Those of a customer whose other events somebody holds are left for later.
    """
    lease, now = uuid4().hex, timezone.now()
    # Whoever holds one has not noted it as done yet; by its state it is found without looking through all.
    held = InboxEvent.objects.using(CONSOLE).filter(state__in=OPEN, leased_until__gte=now).exclude(subject="")
    free = due().filter(**only).exclude(subject__in=held.values("subject"))
    ids = list(free.order_by("pk").values_list("pk", flat=True)[:limit])
    if not ids or not due().filter(pk__in=ids).update(lease=lease, leased_until=now + LEASE):
        return lease, []
    return lease, list(InboxEvent.objects.using(CONSOLE).filter(pk__in=ids, lease=lease).order_by("pk"))


def replay(event: InboxEvent) -> InboxEvent:
    """Work an event off again, whatever became of it; the event as it is afterwards."""
    known = InboxEvent.objects.using(CONSOLE).filter(pk=event.pk)
    known.filter(_free(timezone.now())).update(state=InboxState.RECEIVED, next_at=None, attempts=0)
    lease, events = claim(1, pk=event.pk)
    noting = Noting()
    try:
        for each in events:
            handle([each], lease, noting)
        noting.write()
    except Down as down:
        let_wait(lease, str(down))
    return known.get()


@dataclass(frozen=True)
class Health:
    """How the inbox is: when the oldest that waits came, how many fail or are parked, when the last of each came."""

    waiting: int
    oldest: datetime | None
    failing: int
    parked: int
    last: Mapping[str, datetime]


def health() -> Health:
    events = InboxEvent.objects.using(CONSOLE)
    waiting = events.filter(state__in=(InboxState.RECEIVED, InboxState.FAILED))
    oldest = waiting.order_by("received_at").values_list("received_at", flat=True).first()
    last = {}
    for source in InboxSource.values:
        at = events.filter(source=source).order_by("-received_at").values_list("received_at", flat=True).first()
        if at is not None:
            last[source] = at
    return Health(
        waiting.count(),
        oldest,
        events.filter(state=InboxState.FAILED).count(),
        events.filter(state=InboxState.PARKED).count(),
        last,
    )
