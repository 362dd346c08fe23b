"""Cloudflare's limit of requests, and who is slowed before it is reached.

The limit is 1,200 requests in 5 minutes for a user over all tokens; over it everything answers 429 for 5 minutes. This
process counts its own requests, and believes Cloudflare's header when that says that fewer are left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

LIMIT = 1200
WINDOW = 300.0
# Background work goes slower when less than this part of the limit is left, and waits when less than that is.
SLOW_BELOW, STOP_BELOW = 0.5, 0.2

# Takes the seconds of a wait that begins.
Listener = Callable[[float], None]

_in_background: ContextVar[Listener | None] = ContextVar("d1_in_background", default=None)


@contextmanager
def background(on_wait: Listener | None = None) -> Iterator[None]:
    """Requests sent within are background work: they are slowed first, so that pages never have to wait.

    `on_wait` is called at the beginning of each wait, with its seconds as far as they can be known.
    """
    token = _in_background.set(on_wait or _silent)
    try:
        yield
    finally:
        _in_background.reset(token)


def _silent(seconds: float) -> None:
    """Nobody wants to know."""


class _Told(NamedTuple):
    """What Cloudflare said was left, when, and until when that holds. Both in seconds of the budget's clock."""

    at: float
    remaining: int
    until: float


class Budget:
    """Requests of the last five minutes. `clock` and `sleep` are replaced in tests."""

    def __init__(
        self,
        limit: int = LIMIT,
        window: float = WINDOW,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit, self.window, self.clock, self.sleep = limit, window, clock, sleep
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()
        self._told: _Told | None = None

    def spend(self) -> float:
        """Count a request; in the background, wait first as long as is due. The seconds waited."""
        on_wait = _in_background.get()
        waited = self._wait(on_wait) if on_wait else 0.0
        with self._lock:
            self._sent.append(self.clock())
        return waited

    def _wait(self, on_wait: Listener) -> float:
        waited = 0.0
        while pause := self.pause():
            if not waited:
                on_wait(max(pause, self._until_free()))
            self.sleep(pause)
            waited += pause
            if self.left() > self.limit * STOP_BELOW:
                break
        return waited

    def pause(self) -> float:
        """Seconds that background work has to wait before its next request."""
        left = self.left()
        slow, stop = self.limit * SLOW_BELOW, self.limit * STOP_BELOW
        if left > slow:
            return 0.0
        if left <= stop:
            return self._until_next_free()
        # From nothing at SLOW_BELOW to four times the steady pace just above STOP_BELOW.
        return 4 * self.window / self.limit * (slow - left) / (slow - stop)

    def left(self) -> int:
        """Requests that are left in the window, as far as is known here."""
        with self._lock:
            now = self.clock()
            while self._sent and self._sent[0] <= now - self.window:
                self._sent.popleft()
            own = self.limit - len(self._sent)
            if self._told is None or self._told.until <= now:
                return own
            since = sum(1 for moment in self._sent if moment > self._told.at)
            return min(own, self._told.remaining - since)

    def _until_next_free(self) -> float:
        return max(0.05, min(self._until_free(), 5.0))

    def _until_free(self) -> float:
        """Seconds until background work may go on, where it has to wait at all."""
        with self._lock:
            now, stop = self.clock(), int(self.limit * STOP_BELOW)
            # So many have to leave the window before more than `stop` are left.
            surplus = len(self._sent) - (self.limit - stop) + 1
            own = self._sent[surplus - 1] + self.window - now if surplus > 0 else 0.0
            if self._told is None or self._told.remaining > stop:
                return own
            return max(own, self._told.until - now)

    def tell(self, remaining: str | None, retry_after: float | None = None) -> None:
        """Take over what the headers `x-ratelimit-remaining` and, of a refusal, `retry-after` say."""
        if remaining and remaining.isdigit():
            with self._lock:
                now = self.clock()
                until = now + (self.window if retry_after is None else retry_after)
                self._told = _Told(now, int(remaining), until)


# One for the process: Cloudflare counts over all tokens and databases of a user.
budget = Budget()
