"""What the console forgets by itself: jobs and failed sign-ins of long ago, and sessions that are over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone

from console.models.job import ENDED, Job
from console.signin.events import prune_failures
from database.router import CONSOLE

#: A job with a key of its own is kept for ever: the same key must never start it again.
KEPT_FOR = timedelta(days=90)
PORTION = 1000


def prune(*, advance: Callable[[int], None] = lambda removed: None) -> dict[str, int]:
    """Remove ended jobs without a key of their own and failed sign-ins after 90 days, and sessions that are over."""
    old = Job.objects.using(CONSOLE).filter(state__in=ENDED, ended_at__lt=timezone.now() - KEPT_FOR)
    forgotten = old.filter(Q(key=None) | Q(key__startswith="schedule:"))
    jobs = 0
    while ids := list(forgotten.values_list("pk", flat=True)[:PORTION]):
        forgotten.filter(pk__in=ids).delete()
        jobs += len(ids)
        advance(jobs)
    sessions, _ = Session.objects.using(CONSOLE).filter(expire_date__lt=timezone.now()).delete()
    return {"jobs": jobs, "sessions": sessions, "failed_sign_ins": prune_failures()}
