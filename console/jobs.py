"""Jobs: work that takes longer than a click. docs/jobs.md tells how to write a kind of job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from console.job_queue import enqueue, never, run_claimed, silent, take, work_ticket
from console.job_run import KEEP, KINDS, STALE_AFTER, Cancelled, Failure, Kind, Lost, PutBack, Run, claim, storable
from console.models.job import Job, JobState
from database.router import CONSOLE

__all__ = [
    "KEEP",
    "PERIODIC",
    "Cancelled",
    "Failure",
    "Kind",
    "Lost",
    "Periodic",
    "PutBack",
    "Run",
    "cancel",
    "kind",
    "may_control",
    "periodic",
    "retry",
    "run_here",
    "start",
    "title_of",
    "work_off",
]

Work = Callable[[Run], dict[str, Any]]


def kind(name: str, *, title: str, permission: str = "") -> Callable[[Work], Work]:
    """Register a function as a kind of job. Who has `permission` ("app.codename") may start it; "" is for all."""

    def register(work: Work) -> Work:
        KINDS[name] = Kind(name, title, work, permission)
        return work

    return register


def start(
    name: str,
    arguments: dict[str, Any],
    *,
    by: User | None,
    title: str = "",
    key: str | None = None,
    total: int | None = None,
) -> Job:
    """Queue a job; a worker begins it when the transaction around has ended. The same key is the same job, never two.

    `by` None is the console itself. Raises PermissionDenied where `by` may not, and KeyError for an unknown kind.
    """
    _check_permission(KINDS[name], by)
    with transaction.atomic(using=CONSOLE):
        job, is_new = _job(name, arguments, by=by, title=title, key=key, total=total, in_command=False)
        if is_new:
            enqueue(job)
    return job


def run_here(
    name: str,
    arguments: dict[str, Any],
    *,
    by: User | None,
    title: str = "",
    key: str | None = None,
    progress: Callable[[int, int | None], None] = silent,
) -> Job:
    """Run a job now, in this process, as commands do; `progress` gets `done` and `total`. No worker takes it up.

    A job of the same key that is done, or runs elsewhere, is given back as it is; any other goes on at its cursor.
    """
    _check_permission(KINDS[name], by)
    job, _ = _job(name, arguments, by=by, title=title, key=key, total=None, in_command=True)
    stale = Q(state=JobState.RUNNING, heartbeat_at__lt=timezone.now() - STALE_AFTER)
    open_ = Q(state__in=(JobState.QUEUED, JobState.FAILED, JobState.CANCELED)) | stale
    lease = claim(Job.objects.filter(open_, pk=job.pk), in_command=True, cancel_asked=False)
    if lease is not None:
        run_claimed(job.pk, lease, stopping=never, progress=progress)
    return Job.objects.using(CONSOLE).get(pk=job.pk)


def work_off(limit: int | None = None, until_empty: bool = True, *, stopping: Callable[[], bool] = never) -> int:
    """Work off queued jobs in this thread, and say how many. `until_empty` False leaves those that come meanwhile."""
    worked, begun = 0, timezone.now()
    while (limit is None or worked < limit) and not stopping():
        ticket = take()
        if ticket is None:
            break
        work_ticket(ticket, stopping=stopping)
        worked += 1
        if not until_empty and ticket.enqueued_at >= begun:
            break
    return worked


def cancel(job: Job, *, by: User) -> bool:
    """Ask a job to stop. One that waits stops now, one that runs at its next step. False where it has ended."""
    jobs = Job.objects.using(CONSOLE).filter(pk=job.pk)
    waiting = jobs.filter(state=JobState.QUEUED)
    ended = waiting.update(state=JobState.CANCELED, cancel_asked=True, canceled_by=by, ended_at=timezone.now())
    return bool(ended or jobs.filter(state=JobState.RUNNING).update(cancel_asked=True, canceled_by=by))


def retry(job: Job) -> bool:
    """Queue a failed or canceled job again; it goes on at its cursor. False where it is neither, or a command's."""
    ended = (JobState.FAILED, JobState.CANCELED)
    over = Job.objects.using(CONSOLE).filter(pk=job.pk, state__in=ended, in_command=False)
    with transaction.atomic(using=CONSOLE):
        queued = over.update(
            state=JobState.QUEUED, attempts=0, cancel_asked=False, canceled_by=None, error="", ended_at=None,
        )  # fmt: skip
        if queued:
            enqueue(job)
    return bool(queued)


def may_control(job: Job, user: User) -> bool:
    """Who started a job may stop and repeat it, if its kind is still theirs to start; so may who may change jobs."""
    kind = KINDS.get(job.kind)
    if user.has_perm("console.change_job"):
        return True
    return job.actor_id == user.pk and (kind is None or not kind.permission or user.has_perm(kind.permission))


def title_of(job: Job) -> str:
    """What its kind is called; the bare name of one that the code no longer has."""
    return str(KINDS[job.kind].title) if job.kind in KINDS else job.kind


@dataclass(frozen=True)
class Periodic:
    name: str
    every: timedelta
    work: Callable[[], object]


PERIODIC: dict[str, Periodic] = {}


def periodic(name: str, every: float, function: Callable[[], object]) -> None:
    """Have each worker call a quick function every so many seconds. Several may call it at once.

    One that returns True has more to do, and is called again as soon as the others that are due have had their turn.
    """
    PERIODIC[name] = Periodic(name, timedelta(seconds=every), function)


def _check_permission(kind: Kind, by: User | None) -> None:
    if by is not None and kind.permission and not by.has_perm(kind.permission):
        raise PermissionDenied(f"{by} may not start this: {kind.title}.")


def _job(
    name: str, arguments: dict[str, Any], *, by: User | None, title: str, key: str | None, **values: Any
) -> tuple[Job, bool]:
    fields = {
        "kind": name,
        "arguments": arguments,
        "actor": by,
        "title": storable(str(title or KINDS[name].title))[:200],
        **values,
    }
    if key is None:
        return Job.objects.using(CONSOLE).create(**fields), True
    return Job.objects.using(CONSOLE).get_or_create(key=key, defaults=fields)
