"""One job as it runs: what its kind gets, how it says how far it is, and how it ends."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connections
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from console.models.job import Job, JobState
from database.failures import sentence
from database.router import CONSOLE, OMNICHAT

logger = logging.getLogger(__name__)

#: An argument that was not given: None is a cursor, too.
KEEP: Any = object()
BEAT_EVERY = timedelta(seconds=10)
#: A running job whose heart beat longer ago has lost its worker.
STALE_AFTER = timedelta(seconds=60)
#: Starts without getting any further.
MAX_ATTEMPTS = 5
LOG_CHARACTERS = 20_000
LEFT_OUT = "… the rest of the log is left out.\n"


class Stopped(BaseException):
    """The work ends here, for no fault of its own. No `except Exception` of a kind swallows it."""


class Cancelled(Stopped):
    """Somebody asked for it to stop."""


class Lost(Stopped):
    """Another worker took the job over, since this one gave no sign for too long. Nothing more may be written."""


class PutBack(Stopped):
    """The process ends: another takes the job up at its cursor."""


class Failure(Exception):
    """What a kind raises to fail with a sentence for people, which must hold no secret."""


@dataclass(frozen=True)
class Kind:
    name: str
    title: str
    work: Callable[[Run], dict[str, Any]]
    permission: str


KINDS: dict[str, Kind] = {}


class Run:
    """What a kind of job gets: its arguments, where to go on, and the way to say how far it is."""

    def __init__(self, job: Job, *, stopping: Callable[[], bool], progress: Callable[[int, int | None], None]) -> None:
        self.job = job
        self._stopping = stopping
        self._progress = progress
        self._logged = False

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.job.arguments)

    @property
    def actor(self) -> User | None:
        return self.job.actor

    @property
    def cursor(self) -> Any:
        """What the last `advance` gave, also one of a worker that was killed. None at first."""
        return self.job.cursor

    def advance(self, done: int, *, total: int | None = None, message: str = "", cursor: Any = KEEP) -> None:
        """Say how far the work is, after its effects: one UPDATE. Raises Cancelled, Lost or PutBack to stop here."""
        job = self.job
        if done > job.attempt_done or (cursor is not KEEP and cursor != job.cursor):
            job.attempts = 1
        job.done, job.message, job.heartbeat_at = done, storable(message)[:300], timezone.now()
        job.total = job.total if total is None else total
        job.cursor = job.cursor if cursor is KEEP else cursor
        names = ["done", "total", "message", "heartbeat_at", "attempts"]
        self._save([*names, *(["cursor"] if cursor is not KEEP else []), *(["log"] if self._logged else [])])
        self._logged = False
        self._progress(done, job.total)
        if self._stopping():
            raise PutBack

    def log(self, text: str) -> None:
        """A line for whoever looks at the job. It is kept by the next `advance`, or at the end."""
        if self.job.log.endswith(LEFT_OUT):
            return
        line = f"{timezone.now():%H:%M:%S} {storable(text)}\n"
        self.job.log += line if len(self.job.log) + len(line) <= LOG_CHARACTERS else LEFT_OUT
        self._logged = True

    def _save(self, names: list[str]) -> None:
        values = {name: getattr(self.job, name) for name in names}
        if leased(self.job).filter(cancel_asked=False).update(**values):
            return
        # What was done before the wish was seen is done: the cursor has to say so.
        raise Cancelled if leased(self.job).update(**values) else Lost


def leased(job: Job) -> QuerySet[Job]:
    """The job, as long as it is run by whoever holds this lease."""
    return Job.objects.using(CONSOLE).filter(pk=job.pk, lease=job.lease, state=JobState.RUNNING)


def claim(jobs: QuerySet[Job], **values: Any) -> str | None:
    """Take the one job of `jobs`; None where it is no longer as they say. Gives the lease."""
    now, lease = timezone.now(), uuid4().hex
    taken = jobs.using(CONSOLE).update(
        state=JobState.RUNNING,
        lease=lease,
        heartbeat_at=now,
        attempt_at=now,
        attempt_done=F("done"),
        attempts=F("attempts") + 1,
        started_at=Coalesce(F("started_at"), now),
        ended_at=None,
        error="",
        **values,
    )
    return lease if taken else None


def storable(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """A result as JSON keeps it: what JSON does not know, such as a day, as text."""
    kept: dict[str, Any] = json.loads(json.dumps(result, default=str).replace(r"\u0000", r"\u2400"))
    return kept


@dataclass(frozen=True)
class Ending:
    """How an attempt ended. A state of QUEUED means that it goes on later; None, that the job is another's now."""

    state: JobState | None
    error: str = ""
    result: dict[str, Any] | None = None
    #: Whether the attempt counts towards MAX_ATTEMPTS.
    counts: bool = True


def attempt(run: Run) -> Ending:
    """Run the kind of a job that was claimed."""
    kind = KINDS.get(run.job.kind)
    if kind is None:
        return Ending(JobState.FAILED, f"This console knows no work of the kind {run.job.kind!r}: was it removed?")
    try:
        with beating(run.job):
            return Ending(JobState.DONE, result=plain(kind.work(run) or {}))
    except Stopped as stopped:
        return _stopped(stopped)
    except Failure as failure:
        return Ending(JobState.FAILED, storable(str(failure)))
    except DatabaseError as error:
        logger.warning("Job %s (%s) met an error of a database", run.job.pk, run.job.kind, exc_info=True)
        again = isinstance(error, OperationalError) and run.job.attempts < MAX_ATTEMPTS
        return Ending(JobState.QUEUED if again else JobState.FAILED, sentence(error, connections[OMNICHAT]))
    except Exception as error:
        logger.exception("Job %s (%s) failed", run.job.pk, run.job.kind)
        told = f"A fault of the console ({type(error).__name__}) stopped it. The log of the process says more."
        return Ending(JobState.FAILED, told)


def _stopped(stopped: Stopped) -> Ending:
    if isinstance(stopped, Cancelled):
        return Ending(JobState.CANCELED)
    if isinstance(stopped, Lost):
        return Ending(None)
    return Ending(JobState.QUEUED, counts=False)


@contextmanager
def beating(job: Job) -> Iterator[None]:
    """A thread that shows that this process lives, also through a step that takes minutes."""
    # Inside a block another connection could not see, or would wait for, what the block wrote.
    if connections[CONSOLE].in_atomic_block:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(job, over), name=f"heart of job {job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(job: Job, over: threading.Event) -> None:
    while not over.wait(BEAT_EVERY.total_seconds()):
        try:
            if not leased(job).update(heartbeat_at=timezone.now()):
                return
        except DatabaseError:
            logger.warning("Job %s could not show that it lives", job.pk, exc_info=True)
        finally:
            connections[CONSOLE].close()
