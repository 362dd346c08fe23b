"""Several threads write in one transaction: who waits to write takes along what waits behind.

A commit waits for the disk or for D1, some milliseconds, whether of one row or of fifty. And writers of one process
that met at SQLite's lock would sleep longer than the lock is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

#: Items of one transaction.
MOST = 100
Item = TypeVar("Item")


@dataclass(eq=False)
class _Waiting(Generic[Item]):
    item: Item
    #: Held until it was tried, or is its turn to write: an Event would take twenty times as long.
    asleep: threading.Lock = field(default_factory=threading.Lock)
    is_tried: bool = False
    is_written: bool = False


@dataclass
class Gathering(Generic[Item]):
    """`write_all` writes a list of items in one transaction, or raises and writes none."""

    write_all: Callable[[list[Item]], object]
    _queue: list[_Waiting[Item]] = field(default_factory=list)
    _is_writing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, item: Item) -> None:
        """Return once the item is committed. Raises what `write_all` raises for it."""
        mine = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
            waits, self._is_writing = self._is_writing, True
            mine.asleep.acquire()
        if waits:
            mine.asleep.acquire()
        if not mine.is_tried:
            self._write_what_waits()
        if not mine.is_written:
            # One that is refused takes none of the others along.
            self.write_all([item])

    def _write_what_waits(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[:MOST], self._queue[MOST:]
        try:
            self.write_all([each.item for each in batch])
            for each in batch:
                each.is_written = True
        except Exception:
            if len(batch) == 1:
                raise
        finally:
            # Whatever happens, nobody is left waiting: the first of those who came meanwhile writes next.
            for each in batch:
                each.is_tried = True
            with self._lock:
                self._is_writing = bool(self._queue)
                following = self._queue[:1]
            for each in following + batch:
                each.asleep.release()
