"""The queue: a ticket of django-tasks for each job that waits, and what brings back the jobs of killed workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django_tasks import task
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from console.job_run import MAX_ATTEMPTS, STALE_AFTER, Ending, Run, attempt, claim, leased
from console.models.job import Job, JobState
from d1 import background
from database.router import CONSOLE

logger = logging.getLogger(__name__)

KILLED = "Its worker ended {attempts} times in a row before it got any further."
COMMAND_ENDED = "The command that ran it ended too early. Run it again: it goes on where it stopped."


#: A wait that is long enough to be wondered at, in seconds.
LONG_WAIT = 5


def tell_wait(seconds: float) -> None:
    """Of a wait for D1's rate limit: for the log, since nobody else sees why a job stands still."""
    if seconds >= LONG_WAIT:
        logger.warning("Jobs wait %.0f seconds: what is left of D1's rate limit is kept for pages", seconds)


def never() -> bool:
    return False


def silent(done: int, total: int | None) -> None:
    """Tells nobody."""


@task()
def perform(job_id: int) -> None:
    """What a ticket stands for."""
    perform_job(job_id, stopping=never)


def enqueue(job: Job, *, after: timedelta | None = None) -> None:
    """Give a job its ticket, in the transaction of the caller: both are there, or neither."""
    ticket = perform.using(run_after=timezone.now() + after) if after else perform
    job.ticket = ticket.enqueue(job.pk).id  # type: ignore[assignment]
    Job.objects.using(CONSOLE).filter(pk=job.pk).update(ticket=job.ticket)


def take() -> DBTaskResult | None:
    """The next ticket, which no other worker gets."""
    waiting = DBTaskResult.objects.using(CONSOLE).ready().filter(task_path=perform.module_path)
    for ticket in waiting[:10]:
        free = DBTaskResult.objects.using(CONSOLE).filter(pk=ticket.pk, status=TaskResultStatus.READY)
        worker = f"process {os.getpid()}"
        if free.update(status=TaskResultStatus.RUNNING, started_at=timezone.now(), worker_ids=[worker]):
            return ticket
    return None


def work_ticket(ticket: DBTaskResult, *, stopping: Callable[[], bool]) -> None:
    perform_job(ticket.args_kwargs["args"][0], stopping=stopping)
    # What came of it stands in the job.
    DBTaskResult.objects.using(CONSOLE).filter(pk=ticket.pk).delete()


def perform_job(job_id: int, *, stopping: Callable[[], bool]) -> None:
    """Run a job that waits. One that no longer does is left alone: another took it, or it was canceled."""
    lease = claim(Job.objects.filter(pk=job_id, state=JobState.QUEUED))
    if lease is not None:
        # A command is in the background already, and tells of its waits itself.
        with background(tell_wait):
            run_claimed(job_id, lease, stopping=stopping, progress=silent)


def run_claimed(
    job_id: int, lease: str, *, stopping: Callable[[], bool], progress: Callable[[int, int | None], None]
) -> None:
    """Run a job under a lease, and record how that ended."""
    job = Job.objects.using(CONSOLE).select_related("actor").get(pk=job_id)
    job.lease = lease
    try:
        ending = attempt(Run(job, stopping=stopping, progress=progress))
    except BaseException:
        # Ctrl-C in a command, or the end of the process.
        settle(job, Ending(JobState.QUEUED, counts=False))
        raise
    settle(job, ending)


def settle(job: Job, ending: Ending) -> None:
    """Write how an attempt ended, if the job is still ours."""
    if ending.state is None:
        logger.warning("Job %s was taken over by another worker", job.pk)
        return
    state, error = ending.state, ending.error
    if state == JobState.QUEUED and job.in_command:
        state, error = JobState.FAILED, error or COMMAND_ENDED
    ended_at = None if state == JobState.QUEUED else timezone.now()
    values: dict[str, Any] = {"state": state, "error": error, "ended_at": ended_at, "log": job.log, "lease": ""}
    if ending.result is not None:
        values["result"] = ending.result
    if not ending.counts:
        values["attempts"] = F("attempts") - 1
    with transaction.atomic(using=CONSOLE):
        if leased(job).update(**values) and state == JobState.QUEUED:
            enqueue(job, after=_pause(job) if ending.counts else None)


def _pause(job: Job) -> timedelta:
    """Before another try: 5 s, 10 s, 20 s, 40 s."""
    return timedelta(seconds=5 * 2 ** max(0, job.attempts - 1))


def reap(older_than: timedelta = STALE_AFTER) -> int:
    """Put back what killed workers left: running jobs without a heartbeat, and waiting jobs without a ticket."""
    limit = timezone.now() - older_than
    dead = list(Job.objects.using(CONSOLE).filter(state=JobState.RUNNING, heartbeat_at__lt=limit))
    ready = DBTaskResult.objects.using(CONSOLE).filter(status=TaskResultStatus.READY).values("pk")
    waiting = Job.objects.using(CONSOLE).filter(state=JobState.QUEUED, in_command=False, created_at__lt=limit)
    forgotten = list(waiting.filter(Q(ticket=None) | ~Q(ticket__in=ready)))
    return sum(_bury(job, limit) for job in dead) + sum(_renew(job) for job in forgotten)


def _bury(job: Job, limit: Any) -> bool:
    """Take a job from its dead worker: back into the queue, or failed where that has happened too often."""
    hopeless = job.in_command or job.attempts >= MAX_ATTEMPTS
    error = COMMAND_ENDED if job.in_command else KILLED.format(attempts=job.attempts) if hopeless else ""
    state = JobState.CANCELED if job.cancel_asked else JobState.FAILED if hopeless else JobState.QUEUED
    ended_at = None if state == JobState.QUEUED else timezone.now()
    with transaction.atomic(using=CONSOLE):
        freed = leased(job).filter(heartbeat_at__lt=limit)
        if not freed.update(state=state, lease="", error=error, ended_at=ended_at):
            return False
        _drop(job)
        if state == JobState.QUEUED:
            enqueue(job)
    return True


def _renew(job: Job) -> bool:
    with transaction.atomic(using=CONSOLE):
        still = Job.objects.using(CONSOLE).filter(pk=job.pk, state=JobState.QUEUED, ticket=job.ticket)
        if not still.update(ticket=None):
            return False
        _drop(job)
        enqueue(job)
    return True


def _drop(job: Job) -> None:
    if job.ticket is not None:
        DBTaskResult.objects.using(CONSOLE).filter(pk=job.ticket).delete()
