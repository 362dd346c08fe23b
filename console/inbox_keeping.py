"""Events that arrive at once are kept by one INSERT: who waits to write takes along what waits behind.

A commit of SQLite or PostgreSQL waits for the disk, some milliseconds, whether of one row or of fifty. And writers of
one process that met at SQLite's lock would sleep longer than the lock is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError

from console.inbox_arrivals import Arrival

#: Rows of one INSERT.
MOST = 100


@dataclass(eq=False)
class _Waiting:
    arrival: Arrival
    #: Held until it is kept, or refused, or its turn to write: an Event would take four times as long.
    asleep: threading.Lock = field(default_factory=threading.Lock)
    done: bool = False
    error: DatabaseError | None = None


@dataclass
class Keeper:
    """`write` keeps a list of arrivals in one transaction."""

    write: Callable[[list[Arrival]], None]
    _queue: list[_Waiting] = field(default_factory=list)
    _is_writing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, arrival: Arrival) -> None:
        """Return once the arrival is committed. Raises the database's error where it could not be."""
        mine = _Waiting(arrival)
        with self._lock:
            self._queue.append(mine)
            waits, self._is_writing = self._is_writing, True
            mine.asleep.acquire()
        if waits:
            mine.asleep.acquire()
        if not mine.done:
            self._write_what_waits()
        if mine.error:
            raise mine.error

    def _write_what_waits(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[:MOST], self._queue[MOST:]
        try:
            self._try(batch)
        finally:
            # Whatever happens, nobody is left waiting: the first of those who came meanwhile writes next.
            for each in batch:
                each.done = True
            with self._lock:
                self._is_writing = bool(self._queue)
                following = self._queue[:1]
            for each in following + batch:
                each.asleep.release()

    def _try(self, batch: list[_Waiting]) -> None:
        try:
            self.write([each.arrival for each in batch])
        except DatabaseError as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # One that the database refuses takes none of the others along.
            for each in batch:
                self._try([each])
        except BaseException:
            for each in batch:
                each.error = DatabaseError("The events could not be kept.")
            raise
