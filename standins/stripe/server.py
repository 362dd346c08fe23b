"""The stand-in as a server on 127.0.0.1, and as an object in Python."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from standins.stripe import bulk, renewals
from standins.stripe.account import Account
from standins.stripe.clock import Clock
from standins.stripe.deliveries import Deliveries
from standins.stripe.faults import Faults
from standins.stripe.http import Front
from standins.stripe.idempotency import Idempotency
from standins.stripe.people import People
from standins.stripe.signing import signed
from standins.stripe.store import Thing
from standins.stripe.versions import LATEST

KEY = "sk_test_standin"


class StripeServer(People):
    """Serves in threads of this process while the `with` lasts. The same seed makes the same ids.

    `now` (Unix seconds) is where Stripe's clock begins; it ticks on unless frozen. `after_dunning` is what becomes of a
    subscription whose retries have all failed: "unpaid", "canceled" or "past_due".
    """

    key = KEY

    def __init__(
        self, seed: int = 0, webhook_secret: str = "whsec_test", deliver_to: str | None = None, *, port: int = 0,
        now: int | None = None, frozen: bool = False, livemode: bool = False, api_version: str = LATEST,
        after_dunning: str = "unpaid", event_days: int = 30, latency: float = 0.0,
    ) -> None:  # fmt: skip
        self.secret = webhook_secret
        self._settings = {
            "now": now, "frozen": frozen, "livemode": livemode, "api_version": api_version,
            "after_dunning": after_dunning, "event_days": event_days,
        }  # fmt: skip
        self.calls: Counter[str] = Counter()
        self.faults = Faults(latency)
        self._port = port
        self._front: Front | None = None
        self._open_account(seed, deliver_to)

    def _open_account(self, seed: int, deliver_to: str | None) -> None:
        given: dict[str, Any] = dict(self._settings)
        clock = Clock(given["now"], frozen=given["frozen"])
        self.account = Account(seed, clock=clock, livemode=given["livemode"], api_version=given["api_version"])
        self.account.after_dunning, self.account.event_days = given["after_dunning"], given["event_days"]
        self.idempotency = Idempotency()
        self._make_plans()
        # After the plans, which are there before any endpoint.
        self.deliveries = Deliveries(self.account, self.secret, deliver_to)

    def reset(self, seed: int = 0) -> None:
        """A new account at the same address, for many short histories: the plans are there, no faults, no calls."""
        deliver_to = self.deliver_to
        self.deliveries.stop()
        self.faults.clear()
        self.calls.clear()
        self._open_account(seed, deliver_to)

    def __enter__(self) -> Self:
        self._front = Front(("127.0.0.1", self._port), self)
        threading.Thread(target=self._front.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deliveries.stop()
        if self._front:
            self._front.shutdown()
            self._front.server_close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, for STRIPE_API_BASE."""
        if self._front is None:
            raise RuntimeError("The stand-in serves inside `with StripeServer() as stripe:` only.")
        return f"http://127.0.0.1:{self._front.server_address[1]}"

    @property
    def clock(self) -> int:
        """Stripe's time in Unix seconds. Setting it later does what falls due on the way."""
        return self.account.clock.now()

    @clock.setter
    def clock(self, at: int) -> None:
        with self.account.lock:
            if at >= self.account.clock.now():
                renewals.advance(self.account, at)
            else:
                self.account.clock.set(at)

    @property
    def events(self) -> list[Thing]:
        """All events so far, the first made first."""
        with self.account.lock:
            return list(self.account.events)

    def event(self, id: str | Thing, version: str | None = None) -> Thing:
        """One event, as an endpoint of that API version gets it."""
        with self.account.lock:
            found = self.account.store["event"].get(id if isinstance(id, str) else id["id"])
            return self.account.render_event(found, version or self.account.api_version)

    def signed(self, event: Thing, secret: str | None = None, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a delivery."""
        return signed(event, secret or self.secret, at)

    @property
    def deliver_to(self) -> str | None:
        """The URL that every event is sent to, in the background; None for none."""
        return self.deliveries.url

    @deliver_to.setter
    def deliver_to(self, url: str | None) -> None:
        self.deliveries.url = url

    def deliver(self, event: str | Thing, url: str | None = None) -> int:
        """Sends one event now, once; the status of the answer, 0 where none came."""
        found = self.account.store["event"].get(event if isinstance(event, str) else event["id"])
        return self.deliveries.send(found, url)

    def redeliver(self) -> int:
        """Sends once more whatever has not arrived; how many. `deliveries.wait()` waits for the answers."""
        return self.deliveries.again()

    def bulk(self, count: int, **options: Any) -> Thing:
        """Makes many customers at once: see standins.stripe.bulk.plant."""
        with self.account.lock:
            prices = [self.account.store["price"].get(id) for id in self.prices.values()]
            return bulk.plant(self.account, prices, count, **options)

    def reset_calls(self) -> None:
        self.calls.clear()

    def fault(self, kind: str, path: str | None = None, times: int = 1, after: bool = False, **options: Any) -> None:
        """The next `times` calls whose path begins with `path` go wrong: see standins.stripe.faults."""
        self.faults.plan(kind, path=path, times=times, after=after, **options)
