"""What the console forgets by itself: jobs that ended long ago, and sessions that are over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone

from console.models.job import ENDED, Job
from database.router import CONSOLE

#: A job with a key of its own is kept for ever: the same key must never start it again.
KEPT_FOR = timedelta(days=90)
PORTION = 1000


def prune(*, advance: Callable[[int], None] = lambda removed: None) -> dict[str, int]:
    """Remove ended jobs after 90 days, unless they have a key of their own, and sessions that are over."""
    old = Job.objects.using(CONSOLE).filter(state__in=ENDED, ended_at__lt=timezone.now() - KEPT_FOR)
    forgotten = old.filter(Q(key=None) | Q(key__startswith="schedule:"))
    jobs = 0
    while ids := list(forgotten.values_list("pk", flat=True)[:PORTION]):
        forgotten.filter(pk__in=ids).delete()
        jobs += len(ids)
        advance(jobs)
    sessions, _ = Session.objects.using(CONSOLE).filter(expire_date__lt=timezone.now()).delete()
    return {"jobs": jobs, "sessions": sessions}
