"""Stripe's API as this console asks it: plain JSON by the `stripe` client, at a bounded rate, with errors in sentences.

Typed objects of the client cost 20 times the time of the JSON below them, so none are made. The client repeats nothing
unless told, and never a 429: the rate and the repetitions are ours. https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

logger = logging.getLogger(__name__)

#: The version whose shapes we ask for. A webhook's body has that of its endpoint, see `stripe_shapes`.
API_VERSION = "2026-10-28.endive"
TIMEOUT_SECONDS = 10
PAGE = 100
#: Kept open, for all threads of a process.
CONNECTIONS = 16
_TRIES = 5
_LONGEST_PAUSE = 8.0
# Stripe allows 100 requests a second live and 25 in a sandbox; the app needs some of them.
_RATES = {True: 80.0, False: 20.0}


class StripeTrouble(Exception):
    """Stripe gave no answer that could be used. The text is a sentence that says what to do."""


class StripeDown(StripeTrouble):
    """It may well answer later: the network, a limit, or trouble of its own."""


class StripeRefused(StripeTrouble):
    """It refuses the key, or there is none: nothing goes on before somebody sets it right."""


class SameKeyOtherWords(StripeTrouble):
    """The idempotency key was used before, with other parameters."""


@dataclass
class Bucket:
    """At most `rate` requests a second on the average, and as many at once."""

    rate: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        with self._lock:
            now = self.clock()
            self._free_at = max(self._free_at, now - 1.0) + 1.0 / self.rate
            pause = self._free_at - now
        if pause > 0:
            self.sleep(pause)

    def left(self) -> int:
        """Requests that would go out at once; below 0, how many wait."""
        now = self.clock()
        return int((now - max(self._free_at, now - 1.0)) * self.rate)


class Stripe:
    """One account, by its secret key. `calls` counts requests by method and path, without ids."""

    @sensitive_variables("key")
    def __init__(
        self, key: str, base: str = "", *, rate: float | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if not key:
            raise StripeRefused("STRIPE_SECRET_KEY is not set: set it to a secret key of Stripe.")
        import stripe  # A quarter of a second that a page without Stripe need not wait.

        # At lower levels the client logs whole answers, and what would let somebody pay with them.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self.is_live = key.startswith(("sk_live_", "rk_live_"))
        self.calls: Counter[str] = Counter()
        self.budget = Bucket(rate or _RATES[self.is_live], sleep)
        self._sleep = sleep
        self._errors = stripe
        self._client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": base} if base else None,
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS, session=_session(base)),
        )

    def get(self, path: str, **params: Any) -> dict[str, Any] | None:
        """One object; None where there is none of the id."""
        return self._ask("get", path, params, {})

    def page(self, path: str, **params: Any) -> dict[str, Any] | None:
        """One page of a list, as Stripe gives it."""
        return self._ask("get", path, params, {})

    def list(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All objects of a list, newest first, a request for each hundred. Raises StripeTrouble where it goes round."""
        params, ends = {"limit": PAGE, **params}, set()
        while page := self._ask("get", path, params, {}):
            found = page.get("data") or []
            yield from found
            if not page.get("has_more") or not found:
                return
            params["starting_after"] = found[-1]["id"]
            if params["starting_after"] in ends:
                raise StripeTrouble(f"Stripe's list {path} repeats itself, so it would never end: try again.")
            ends.add(params["starting_after"])

    def post(
        self, path: str, params: Mapping[str, Any], *, idempotency_key: str, tries: int = _TRIES
    ) -> dict[str, Any]:
        """Make or change something, once for each key. Raises SameKeyOtherWords."""
        answer = self._ask("post", path, dict(params), {"idempotency_key": idempotency_key}, tries)
        if answer is None:
            raise StripeTrouble(f"Stripe knows no {path}.")
        return answer

    def delete(self, path: str, *, tries: int = _TRIES, **params: Any) -> dict[str, Any] | None:
        """End something. None where there is nothing to end, or no longer."""
        return self._ask("delete", path, params, {}, tries)

    def wait(self, tried: int) -> None:
        """The pause before what was tried so often is tried again."""
        self._sleep(_pause(tried, {}))

    def _ask(
        self, method: str, path: str, params: dict[str, Any], options: dict[str, Any], tries: int = _TRIES
    ) -> dict[str, Any] | None:
        for tried in range(1, tries + 1):
            self.budget.take()
            self.calls[f"{method.upper()} {_without_id(path)}"] += 1
            try:
                response = self._client.raw_request(method, path, **params, **options)
            except self._errors.StripeError as error:
                if error.http_status == 404:
                    return None
                trouble = _told(error, self._errors)
                if not isinstance(trouble, StripeDown) or tried == tries:
                    raise trouble from None
                self._sleep(_pause(tried, error.headers or {}))
                continue
            except Exception as error:
                # The frames of the client hold the key, and a report of an error shows what frames hold.
                logger.error("The stripe client failed: %s", type(error).__name__)
                raise StripeTrouble(f"The stripe client failed ({type(error).__name__}).") from None
            return dict(response.data)
        raise AssertionError("unreachable")


def _session(base: str) -> Any:
    """One for all threads, so that connections stay open. The environment's proxy is looked up once for all calls."""
    import requests

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
    # No proxy has any business between here and a stand-in on this machine.
    if not base.startswith("http://127.0.0.1:"):
        session.proxies.update(requests.utils.get_environ_proxies(base or "https://api.stripe.com"))
    session.trust_env = False
    return session


def _told(error: Any, stripe: Any) -> StripeTrouble:
    """The sentence for an error of the client, whose own text may hold a part of the key."""
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return StripeRefused("Stripe refuses the key: look at STRIPE_SECRET_KEY and at what its key may read.")
    if isinstance(error, stripe.IdempotencyError):
        return SameKeyOtherWords("Stripe has seen this request before, with other words.")
    if isinstance(error, stripe.APIConnectionError):
        return StripeDown("Stripe cannot be reached: look at the network and at STRIPE_API_BASE.")
    if isinstance(error, stripe.CardError):
        return StripeTrouble(f"The card was refused, and nothing was changed: {error.user_message}")
    status = error.http_status or 0
    if status in (409, 429) or status >= 500:
        return StripeDown(f"Stripe answers with status {status} again and again: it is tried again later.")
    if isinstance(error, stripe.InvalidRequestError):
        return StripeTrouble(f"Stripe refuses a request: {error.user_message}")
    return StripeTrouble(f"Stripe's answer cannot be used (status {status}): look at STRIPE_API_BASE.")


def _pause(tried: int, headers: Mapping[str, str]) -> float:
    asked = str(headers.get("retry-after") or headers.get("Retry-After") or "")
    least = float(asked) if asked.isdigit() else 0.25 * 2**tried
    return min(_LONGEST_PAUSE, least) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def _without_id(path: str) -> str:
    return "/".join(part if "_" not in part or part.islower() else "{id}" for part in path.split("/"))


@cache
def _of(key: str, base: str) -> Stripe:
    return Stripe(key, base)


def stripe_of_settings() -> Stripe:
    """One for all of this process, so that their rate is one. Raises StripeRefused without a key."""
    return _of(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
