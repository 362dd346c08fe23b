"""What the home page says needs somebody. Importing this registers it; `console/apps.py` does so at the start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import ngettext

from console.dashboard import Need, Staff, need
from console.models import InboxEvent, InboxState, Job, JobState

#: A job that failed longer ago has been seen, or nobody minds.
FAILED_WITHIN = timedelta(days=7)
#: An event that fails for less may pass at its next try.
FAILING_FOR = timedelta(minutes=15)


def _failed_jobs(staff: Staff) -> QuerySet[Any] | None:
    """All that failed for those who look after jobs, their own for all others."""
    failed = Job.objects.filter(state=JobState.FAILED, ended_at__gte=timezone.now() - FAILED_WITHIN)
    return failed if staff.has_perm("console.change_job") else failed.filter(actor_id=staff.pk)


def _failing_events(staff: Staff) -> QuerySet[Any] | None:
    """Tried again by themselves; a person is needed only where they fail for long."""
    if not staff.has_perm("console.view_inboxevent"):
        return None
    return InboxEvent.objects.filter(state=InboxState.FAILED, received_at__lt=timezone.now() - FAILING_FOR)


need(
    Need(
        "failing events",
        _failing_events,
        lambda n: ngettext("%(n)s webhook event fails", "%(n)s webhook events fail", n) % {"n": f"{n:,}"},
        lambda: reverse("admin:console_inboxevent_changelist") + f"?state__exact={InboxState.FAILED}",
    )
)
need(
    Need(
        "jobs",
        _failed_jobs,
        lambda n: ngettext("%(n)s job failed", "%(n)s jobs failed", n) % {"n": f"{n:,}"},
        lambda: reverse("admin:console_job_changelist") + f"?state__exact={JobState.FAILED}",
    )
)
