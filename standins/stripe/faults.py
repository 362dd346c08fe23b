"""Faults on demand."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from standins.stripe.errors import StripeError

KINDS = ("429", "500", "409", "slow", "cut", "repeat")


@dataclass
class Fault:
    """`after`: what was asked for is done, and the fault strikes the answer. `seconds` is for `slow`."""

    kind: str
    path: str | None = None
    method: str | None = None
    times: int = 1
    after: bool = False
    seconds: float = 1.0
    skip: int = 0
    kept: bool = False


class Faults:
    """The faults that wait, and the latency of each call in seconds."""

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.per_second: int | None = None  # calls beyond it are answered by 429
        self._second = (0, 0)
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def plan(
        self, kind: str, *, path: str | None = None, method: str | None = None, times: int = 1, after: bool = False,
        seconds: float = 1.0, skip: int = 0, kept: bool = False,
    ) -> None:  # fmt: skip
        """Strike `times` calls whose path begins with `path`, after letting `skip` of them pass.

        429, 500, 409: Stripe's own errors. slow: `seconds` late. cut: the connection is closed without an answer.
        `kept`: a 500 is kept under its idempotency key, so that a second try with it is answered by the same 500, as
        Stripe does where it had begun.
        repeat: a list begins again from its first page, whatever the cursor.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind}: a fault is one of {', '.join(KINDS)}")
        with self._lock:
            self._planned.append(Fault(kind, path, method, times, after, seconds, skip, kept))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def over_the_limit(self) -> bool:
        """Counts this call into the second that runs; whether it is one too many."""
        if self.per_second is None:
            return False
        with self._lock:
            now = int(time.monotonic())
            count = self._second[1] + 1 if self._second[0] == now else 1
            self._second = (now, count)
            return count > self.per_second

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this call."""
        with self._lock:
            for fault in self._planned:
                if path.startswith(fault.path or "") and fault.method in (None, method):
                    return self._strike(fault)
        return None

    def _strike(self, fault: Fault) -> Fault | None:
        if fault.skip:
            fault.skip -= 1
            return None
        fault.times -= 1
        if fault.times <= 0:
            self._planned.remove(fault)
        return fault


def error(kind: str) -> StripeError:
    if kind == "429":
        message = "Request rate limit exceeded. Learn more about rate limits: https://stripe.com/docs/rate-limits."
        headers = {"Stripe-Rate-Limited-Reason": "global-rate", "Retry-After": "1"}
        return StripeError(message, status=429, code="rate_limit", headers=headers)
    if kind == "409":
        message = "This object cannot be accessed right now because another API request is currently accessing it."
        return StripeError(message, status=409, code="lock_timeout", headers={"Stripe-Should-Retry": "true"})
    return StripeError("An unknown error occurred.", status=500, type="api_error")
