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

LIMIT = 1200
WINDOW = 300.0
# Background work goes slower when less than this part of the limit is left, and waits when less than that is.
SLOW_BELOW, STOP_BELOW = 0.5, 0.2

_in_background: ContextVar[bool] = ContextVar("d1_in_background", default=False)


@contextmanager
def background() -> Iterator[None]:
    """Requests sent within are background work: they are slowed first, so that pages never have to wait."""
    token = _in_background.set(True)
    try:
        yield
    finally:
        _in_background.reset(token)


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
        self._told: tuple[float, int] | None = None

    def spend(self) -> float:
        """Count a request; in the background, wait first as long as is due. The seconds waited."""
        waited = self._wait() if _in_background.get() else 0.0
        with self._lock:
            self._sent.append(self.clock())
        return waited

    def _wait(self) -> float:
        waited = 0.0
        while pause := self.pause():
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
            if self._told is None or self._told[0] <= now - self.window:
                return own
            since = sum(1 for moment in self._sent if moment > self._told[0])
            return min(own, self._told[1] - since)

    def _until_next_free(self) -> float:
        with self._lock:
            oldest = self._sent[0] if self._sent else self.clock()
            return max(0.05, min(oldest + self.window - self.clock(), 5.0))

    def tell(self, remaining: str | None) -> None:
        """Take over what the header `x-ratelimit-remaining` says."""
        if remaining and remaining.isdigit():
            with self._lock:
                self._told = (self.clock(), int(remaining))


# One for the process: Cloudflare counts over all tokens and databases of a user.
budget = Budget()
