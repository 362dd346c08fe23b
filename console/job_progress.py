"""How far a job is, in words and for the bar that refreshes itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext, ngettext

from console.models import Job, JobState


def in_words(time: timedelta) -> str:
    """`40 seconds`, `3 minutes`, `2 hours`, `4 days`: to the nearest, for people."""
    seconds = max(0, round(time.total_seconds()))
    if seconds < 90:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    if seconds < 90 * 60:
        return gettext("%(n)d minutes") % {"n": round(seconds / 60)}
    if seconds < 36 * 3600:
        return gettext("%(n)d hours") % {"n": round(seconds / 3600)}
    return gettext("%(n)d days") % {"n": round(seconds / 86400)}


def amount(job: Job) -> str:
    """`1,200 of 5,000 (24%)`; empty where nothing is counted."""
    if job.total:
        return gettext("%(done)s of %(total)s (%(percent)s%%)") % {
            "done": f"{job.done:,}",
            "total": f"{job.total:,}",
            "percent": job.percent,
        }
    return f"{job.done:,}" if job.done else ""


def remark(job: Job) -> str:
    """What stands under the bar: the kind's own message, and what is left or what is waited for."""
    if job.cancel_asked and job.state == JobState.RUNNING:
        return gettext("It was asked to stop, and does so at its next step.")
    if job.state == JobState.QUEUED:
        return job.error or gettext("It waits for a worker.")
    if job.state == JobState.RUNNING and job.estimate is not None:
        left = gettext("about %(time)s left") % {"time": in_words(timedelta(seconds=job.estimate))}
        return f"{job.message} · {left}" if job.message else left
    return job.error or job.message


def progress_of(job: Job) -> dict[str, Any]:
    """What the page shows and its module is told, the words ready. `percent` is null where nobody can know."""
    return {
        "state": job.state,
        "label": str(JobState(job.state).label),
        "percent": job.percent,
        "amount": amount(job),
        "remark": remark(job),
        "estimate": job.estimate,
        "ended": job.has_ended,
    }
