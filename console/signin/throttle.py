"""How often somebody may try to sign in. Counted in `default`, so that all processes count together.

A try is written down before it is checked and taken away when it succeeds: tries at the same moment count each other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from console.signin.models import SignInAttempt
from database.router import CONSOLE


@dataclass(frozen=True)
class Limit:
    """At most `tries` failures within `window`; `counts` is "both" (who and where from), "subject" or "address"."""

    counts: str
    tries: int
    window: timedelta


#: An address alone is counted only where it is a public one: behind a proxy that is not configured everybody has the
#: proxy's, and one person who mistypes must not lock out all.
LIMITS = (
    Limit("both", 5, timedelta(minutes=15)),
    Limit("subject", 50, timedelta(hours=1)),
    Limit("address", 50, timedelta(minutes=15)),
)
_LONGEST = max(limit.window for limit in LIMITS)


@dataclass(frozen=True)
class Try:
    """A try that may go on, or, where `wait` is set, may not for so many seconds."""

    subject: str
    address: str
    wait: int = 0

    def forget(self) -> None:
        """It succeeded: the failures of the same person at the same address are over."""
        SignInAttempt.objects.using(CONSOLE).filter(subject=self.subject, address=self.address).delete()

    def wait_of_next(self) -> int:
        """Seconds that the same one would have to wait now, after this try; 0 where they may try again."""
        return max(_waits(self.subject, self.address, timezone.now()), default=0)


def begin(name: str, address: str) -> Try:
    """Count a try for `name` (any text, kept as a keyed hash) from `address`, unless a limit is reached."""
    now = timezone.now()
    subject = salted_hmac("console.signin.throttle", name.casefold(), algorithm="sha256").hexdigest()
    network = network_of(address)
    attempts = SignInAttempt.objects.using(CONSOLE)
    attempts.filter(at__lt=now - _LONGEST).delete()
    mine = attempts.create(at=now, subject=subject, address=network)
    wait = max(_waits(subject, network, now, besides=mine.pk), default=0)
    if wait:
        # A refused try does not lengthen the wait of who comes back in time.
        mine.delete()
    return Try(subject, network, wait)


def _waits(subject: str, address: str, now: datetime, besides: int = 0) -> Iterator[int]:
    """Seconds until each limit that is reached, not counting the try `besides`, lets somebody try again."""
    for limit in LIMITS:
        if limit.counts == "address" and not _is_public(address):
            continue
        same = Q() if limit.counts == "address" else Q(subject=subject)
        same &= Q() if limit.counts == "subject" else Q(address=address)
        tries = SignInAttempt.objects.using(CONSOLE).filter(same, at__gt=now - limit.window).exclude(pk=besides)
        newest = list(tries.order_by("-at", "-pk").values_list("at", flat=True)[: limit.tries])
        if len(newest) == limit.tries:
            yield max(1, int((newest[-1] + limit.window - now).total_seconds()) + 1)


def network_of(address: str) -> str:
    """The address as it is counted: an IPv6 client has a /64 network to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_network(address).is_global
    except ValueError:
        return False
