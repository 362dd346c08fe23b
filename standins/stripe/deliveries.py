"""Webhooks sent to a URL, and sent again as Stripe does it: at longer and longer intervals, for three days."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field

import urllib3

from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.signing import signed
from standins.stripe.store import Thing

# Seconds of Stripe's clock between the tries; the last is repeated until three days are over.
BACKOFF = (300, 1_800, 7_200, 18_000, 36_000)
GIVES_UP = 3 * DAY
TIMEOUT = 20.0  # seconds that the endpoint has to answer


@dataclass
class Delivery:
    """One event on its way to one URL. `answers` are the statuses so far; 0 where no answer came."""

    event: str
    url: str
    begun: int
    answers: list[int] = field(default_factory=list)
    again_at: int | None = None

    @property
    def arrived(self) -> bool:
        return bool(self.answers) and 200 <= self.answers[-1] < 300


class Deliveries:
    """Sends in a thread of its own, one after the other, so that a deed never waits for who receives its event.

    `version` is the API version of the endpoint, the account's by default. `types` limits what is sent.
    """

    def __init__(self, account: Account, secret: str, url: str | None = None) -> None:
        self.account, self.secret, self.url = account, secret, url
        self.version: str | None = None
        self.types: set[str] | None = None
        self.made: list[Delivery] = []
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
        self._thread: threading.Thread | None = None
        account.listeners.append(self._take)

    def stop(self) -> None:
        if self._thread:
            self._queue.put(None)
            self._thread.join(TIMEOUT)
        self._http.clear()

    def send(self, event: Thing, url: str | None = None, *, secret: str | None = None, at: int | None = None) -> int:
        """One try, now; the status, 0 where no answer came."""
        target = url or self.url
        if target is None:
            raise ValueError("There is no URL to deliver to: set deliver_to.")
        with self.account.lock:
            shown = self.account.render_event(event, self.version or self.account.api_version)
        body, headers = signed(shown, secret or self.secret, at)
        try:
            status = self._http.request("POST", target, body=body, headers=headers).status
        except urllib3.exceptions.HTTPError:
            return 0
        if 200 <= status < 300:
            with self.account.lock:
                event["pending_webhooks"] = 0
        return status

    def again(self) -> int:
        """Sends once more what has not arrived; how many."""
        open_ones = [each for each in self.made if each.answers and not each.arrived]
        for delivery in open_ones:
            delivery.again_at = None
            self._queue.put(delivery)
        return len(open_ones)

    def wait(self) -> None:
        """Until everything that is on its way had its answer. What is due later is not waited for."""
        self._queue.join()

    def _take(self, event: Thing) -> None:
        if self.url and (self.types is None or event["type"] in self.types):
            event["pending_webhooks"] = 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            delivery = Delivery(event["id"], self.url, self.account.clock.now())
            self.made.append(delivery)
            self._queue.put(delivery)

    def _work(self) -> None:
        while True:
            try:
                delivery = self._queue.get(timeout=0.2)
            except queue.Empty:
                self.send_due()
                continue
            try:
                if delivery is None:
                    return
                self._try(delivery)
            finally:
                self._queue.task_done()

    def _try(self, delivery: Delivery) -> None:
        event = self.account.store["event"].get(delivery.event)
        delivery.answers.append(self.send(event, delivery.url))
        now = self.account.clock.now()
        pause = BACKOFF[min(len(delivery.answers), len(BACKOFF)) - 1]
        late = now + pause - delivery.begun > GIVES_UP
        delivery.again_at = None if delivery.arrived or late else now + pause

    def send_due(self) -> None:
        """What Stripe's clock says is to be tried again; the thread looks by itself several times a second."""
        with self.account.lock:
            now = self.account.clock.now()
            for delivery in self.made:
                if delivery.again_at is not None and delivery.again_at <= now:
                    delivery.again_at = None
                    self._queue.put(delivery)
