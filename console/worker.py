"""What works off jobs: threads of each process that serves, or the command `run_worker`. Any number may run at once."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from console.job_queue import reap, tell_wait
from console.jobs import PERIODIC, Periodic, periodic, work_off
from console.schedule import begin_due
from d1 import background
from database.failures import sentence
from database.router import OMNICHAT

logger = logging.getLogger(__name__)

#: So that a long job does not keep a short one waiting.
THREADS = 2
LOOK_EVERY = timedelta(seconds=1)
#: After an error of the database, such as tables that are not made yet.
PAUSE = timedelta(seconds=15)
#: A server that forks its workers has done so by then.
EMBEDDED_AFTER = timedelta(seconds=2)
#: How long a process that ends waits for its jobs to be put back.
PATIENCE = timedelta(seconds=10)

periodic("jobs of killed workers", 15, reap)
periodic("schedule", 15, begin_due)


class Rounds:
    """Calls each periodic function when it is due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def make(self) -> bool:
        """Whether one has more to do already."""
        more = False
        for name, task in list(PERIODIC.items()):
            now = time.monotonic()
            if now < self._due.get(name, now):
                continue
            has_more = _has_more(task)
            self._due[name] = now if has_more else now + task.every.total_seconds()
            more = more or has_more
        return more


def _has_more(task: Periodic) -> bool:
    try:
        with background(tell_wait):
            return task.work() is True
    except DatabaseError as error:
        why = sentence(error, connections[OMNICHAT])
        logger.warning("%s met an error; it is tried again in %s: %s", task.name, task.every, why)
        return False
    except Exception:
        logger.exception("%s met an error; it is tried again in %s", task.name, task.every)
        return False


class Worker:
    """Threads that work off jobs, and one that makes the rounds, until `stop`."""

    def __init__(self, threads: int = THREADS, *, after: timedelta = timedelta(0)) -> None:
        self._stopping = threading.Event()
        self._after = after
        self._counting = threading.Lock()
        self.worked = 0
        names = [("rounds", self._make_rounds), *((f"jobs {number}", self._work) for number in range(threads))]
        self._threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in names]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Running jobs are put back at their next step."""
        self._stopping.set()

    def join(self, patience: timedelta | None = None) -> bool:
        """Whether all threads have ended within that time."""
        until = time.monotonic() + patience.total_seconds() if patience else None
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()) if until else None)
        return not any(thread.is_alive() for thread in self._threads)

    def _make_rounds(self) -> None:
        rounds = Rounds()
        self._stopping.wait(self._after.total_seconds())
        while not self._stopping.is_set():
            more = rounds.make()
            close_old_connections()
            self._stopping.wait(0 if more else LOOK_EVERY.total_seconds())

    def _work(self) -> None:
        self._stopping.wait(self._after.total_seconds())
        while not self._stopping.is_set():
            self._stopping.wait(self._look().total_seconds())

    def _look(self) -> timedelta:
        """Work off what waits; how long to wait then."""
        try:
            worked = work_off(stopping=self._stopping.is_set)
        except DatabaseError as error:
            logger.warning("The queue of jobs cannot be read; tried again in %s: %s", PAUSE, error)
            return PAUSE
        except Exception:
            logger.exception("A job could not be run; its turn comes again when its heart has stopped for a while")
            return PAUSE
        finally:
            close_old_connections()
        with self._counting:
            self.worked += worked
        return LOOK_EVERY


def work_off_all() -> int:
    """What is due now and what waits, in this thread, until nothing does. How many jobs that were."""
    worked = 0
    while True:
        more = Rounds().make()
        found = work_off()
        worked += found
        if not found and not more:
            return worked


_embedded: Worker | None = None


def embed() -> None:
    """Have this process, which serves pages, work off jobs beside. Called twice it does so once."""
    global _embedded
    if _embedded is not None or not settings.JOBS_EMBEDDED:
        return
    os.register_at_fork(after_in_parent=_leave_to_the_children, after_in_child=_begin)
    atexit.register(end_embedded)
    _begin()


def end_embedded() -> None:
    """Put running jobs back, so that another process goes on with them at once."""
    if _embedded is not None:
        _embedded.ask_to_stop()
        _embedded.join(PATIENCE)


def _begin() -> None:
    global _embedded
    _embedded = Worker(after=EMBEDDED_AFTER)
    _embedded.start()


def _leave_to_the_children() -> None:
    """A process that forks others to serve has loaded the console for them alone."""
    if _embedded is not None:
        with suppress(RuntimeError):
            _embedded.ask_to_stop()
