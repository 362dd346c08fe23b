"""What starts by itself. Code registers what there is, with its usual time; staff switch it and move its time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import floor
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from console.job_progress import in_words
from console.job_run import KINDS
from console.jobs import start
from console.models.job import ENDED, Job, ScheduleEntry
from database.router import CONSOLE

logger = logging.getLogger(__name__)

#: The worker looks every quarter of a minute.
SHORTEST_SECONDS = 60
LONGEST_SECONDS = 31 * 24 * 3600


def nothing(now: datetime) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Scheduled:
    """`arguments` are those of the job, made when it starts from the moment that it starts at."""

    name: str
    title: Any
    kind: str
    at: time | None
    every: timedelta | None
    enabled: bool
    arguments: Callable[[datetime], dict[str, Any]]


SCHEDULED: dict[str, Scheduled] = {}


def register(
    name: str,
    title: Any,
    kind: str,
    *,
    at: time | None = None,
    every: timedelta | None = None,
    enabled: bool = True,
    arguments: Callable[[datetime], dict[str, Any]] = nothing,
) -> None:
    """Have a kind of job start each day `at` a time of UTC, or `every` so long, unless staff say otherwise."""
    if (at is None) == (every is None):
        raise ValueError("Give a time of the day or an interval.")
    ScheduleEntry.titles[name] = title
    SCHEDULED[name] = Scheduled(name, title, kind, at, every, enabled, arguments)


def make_entries(now: datetime | None = None) -> None:
    """A row for each registered entry that has none."""
    now = now or timezone.now()
    known = set(ScheduleEntry.objects.using(CONSOLE).values_list("name", flat=True))
    missing = [_entry(scheduled, now) for name, scheduled in SCHEDULED.items() if name not in known]
    if missing:
        # Several workers may start at once.
        ScheduleEntry.objects.using(CONSOLE).bulk_create(missing, ignore_conflicts=True)


def _entry(scheduled: Scheduled, now: datetime) -> ScheduleEntry:
    every = int(scheduled.every.total_seconds()) if scheduled.every else None
    entry = ScheduleEntry(name=scheduled.name, is_enabled=scheduled.enabled, at=scheduled.at, every_seconds=every)
    entry.next_at = next_run(entry, now)
    return entry


def next_run(entry: ScheduleEntry, now: datetime) -> datetime | None:
    """The first moment after `now`. Of an interval the moments are counted from the one that was due last."""
    if entry.at is not None:
        today = datetime.combine(now.astimezone(UTC), entry.at, UTC)
        return today if today > now else today + timedelta(days=1)
    if not entry.every_seconds:
        return None
    every = timedelta(seconds=entry.every_seconds)
    since = entry.next_at if entry.next_at and entry.next_at <= now else now
    return since + every * (floor((now - since) / every) + 1)


def begin_due(now: datetime | None = None) -> int:
    """Start what is due: once, whatever the number of workers, and once for all the times that were missed."""
    now = now or timezone.now()
    make_entries(now)
    due = ScheduleEntry.objects.using(CONSOLE).select_related("last_job").filter(is_enabled=True, next_at__lte=now)
    return sum(_begin(entry, now) for entry in due if entry.name in SCHEDULED)


def _begin(entry: ScheduleEntry, now: datetime) -> bool:
    scheduled, due = SCHEDULED[entry.name], entry.next_at
    assert due is not None
    ours = ScheduleEntry.objects.using(CONSOLE).filter(pk=entry.pk, next_at=due, is_enabled=True)
    with transaction.atomic(using=CONSOLE):
        if not ours.update(last_at=due, next_at=next_run(entry, now)):
            return False
        if entry.last_job and entry.last_job.state not in ENDED:
            logger.warning("%s was due, but the one before is not over: it is left out", entry.name)
            return False
        if scheduled.kind not in KINDS:
            logger.error("%s was due, but there is no kind of job %s: it is left out", entry.name, scheduled.kind)
            return False
        key = f"schedule:{entry.name}:{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        job = start(scheduled.kind, scheduled.arguments(now), by=None, title=str(scheduled.title), key=key)
        ScheduleEntry.objects.using(CONSOLE).filter(pk=entry.pk).update(last_job=job)
    return True


def change(entry: ScheduleEntry, *, is_enabled: bool, at: time | None, every_seconds: int | None) -> None:
    """Switch an entry or move its time. What would have been due while it was off is not made up for."""
    entry.is_enabled, entry.at, entry.every_seconds = is_enabled, at, every_seconds
    entry.next_at = None
    entry.next_at = next_run(entry, timezone.now()) if is_enabled else None
    entry.save(using=CONSOLE, update_fields=["is_enabled", "at", "every_seconds", "next_at"])


class NotStarted(Exception):
    """Why an entry cannot be started now."""


def begin_now(entry: ScheduleEntry, *, by: User) -> Job:
    """Start an entry out of its time. Raises NotStarted, or PermissionDenied where its kind is not for `by`."""
    scheduled = SCHEDULED.get(entry.name)
    if scheduled is None:
        raise NotStarted(gettext("This console no longer has what this entry starts."))
    if entry.last_job and entry.last_job.state not in ENDED:
        raise NotStarted(gettext("It runs already: look at its last job."))
    with transaction.atomic(using=CONSOLE):
        job = start(scheduled.kind, scheduled.arguments(timezone.now()), by=by, title=str(scheduled.title))
        ScheduleEntry.objects.using(CONSOLE).filter(pk=entry.pk).update(last_job=job, last_at=timezone.now())
    return job


def times_of(entry: ScheduleEntry) -> str:
    """`every day at 00:05 UTC`, `every 15 minutes`."""
    if entry.at is not None:
        return gettext("every day at %(time)s UTC") % {"time": f"{entry.at:%H:%M}"}
    return gettext("every %(time)s") % {"time": in_words(timedelta(seconds=entry.every_seconds or 0))}
