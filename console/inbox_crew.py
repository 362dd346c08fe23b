"""The threads that work off events side by side: most of the time Stripe, or D1, is waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Crew:
    """At most so many threads. Their connections stay open from one turn to the next: to open them takes as long."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "inbox")
        self._opened: set[BaseDatabaseWrapper] = set()

    def run(self, turn: Callable[[], None], threads: int) -> None:
        """Have so many threads call it at once. Raises what it raises in one of them."""
        # What is background work stays so in the threads.
        turns = [self._pool.submit(copy_context().run, self._take, turn) for _ in range(threads)]
        wait(turns)
        for each in turns:
            each.result()

    def _take(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        finally:
            mine = connections.all(initialized_only=True)
            for connection in mine:
                # They are closed by the thread that disbands the crew.
                connection.inc_thread_sharing()
            self._opened.update(mine)

    def disband(self) -> None:
        self._pool.shutdown()
        for connection in self._opened:
            connection.close()
