"""A session's own facts: since when, last used, last proven, and whether with a second factor.

They are kept in the session itself, so a page costs no query for them. Times are Unix seconds.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from console.signin.policy import duties_of

#: A session ends so many seconds after it began, and after it was last used.
LONGEST, IDLE = 8 * 60 * 60, 30 * 60
#: How often use is written down and duties are asked anew.
NOTED = 60
_KEY = "signin"
#: Parts of what browsers call themselves. The first that is there counts: most also name those below them.
_AGENTS = (
    (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"),
     ("Chrome/", "Chrome"), ("Safari/", "Safari")),
    (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
     ("Macintosh", "macOS"), ("Linux", "Linux")),
)  # fmt: skip


def begin(*, request: HttpRequest, user: AbstractBaseUser, **signal: Any) -> None:
    """Note the facts of a session that begins. Listens to `user_logged_in` of Django."""
    now = time.time()
    records = get_authentication_records(request, user)
    second = any(record.get("method") == "mfa" for record in records)
    # Somebody else vouched for this person, perhaps long ago.
    vouched = getattr(request, "vouched_at", now)
    request.session[_KEY] = {
        "at": now,
        "seen": now,
        "fresh": now if second else min(vouched, now),
        "second": second,
        **asdict(duties_of(user)),
    }


def facts(request: HttpRequest) -> dict[str, Any]:
    """Those of a session that is not signed in are empty."""
    found = request.session.get(_KEY)
    return found if isinstance(found, dict) else {}


def has_ended(request: HttpRequest) -> bool:
    known, now = facts(request), time.time()
    return not known or now - known["at"] >= LONGEST or now - known["seen"] >= IDLE


def note_use(request: HttpRequest) -> None:
    """At most once a minute: when it was used, and what its person owes by now."""
    known = facts(request)
    if time.time() - known["seen"] >= NOTED and isinstance(request.user, AbstractBaseUser):
        request.session[_KEY] = {**known, "seen": time.time(), **asdict(duties_of(request.user))}


def note_proof(*, request: HttpRequest, method: str, user: Any = None, **signal: Any) -> None:
    """A password or factor was proven anew. Listens to `authentication_step_completed` of allauth."""
    if known := facts(request):
        second = known["second"] or method == "mfa"
        request.session[_KEY] = {**known, "fresh": time.time(), "second": second}


def note_factors(*, request: HttpRequest, **signal: Any) -> None:
    """Who sets a factor up has just proven it. Listens to allauth's `authenticator_added` and `..._removed`."""
    known = facts(request)
    if known and isinstance(request.user, AbstractBaseUser):
        duties = asdict(duties_of(request.user))
        request.session[_KEY] = {**known, **duties, "second": known["second"] or duties["has_factor"]}


def note_password(request: HttpRequest) -> None:
    if known := facts(request):
        request.session[_KEY] = {**known, "fresh": time.time(), "owes_password": False}


@dataclass(frozen=True)
class OwnSession:
    """A session of whoever asks: its row, when it was last used, and whether it is the one that asks."""

    row: UserSession
    seen_at: datetime
    is_this: bool

    @property
    def browser(self) -> str:
        """`Firefox, Windows`. What is not known is told as it is."""
        known = [next((words for part, words in names if part in self.row.user_agent), "") for names in _AGENTS]
        return ", ".join(filter(None, known)) or self.row.user_agent[:80]


def own_sessions(request: HttpRequest) -> list[OwnSession]:
    """Whoever asks, in each browser where they are signed in: this one first, then by last use."""
    found = UserSession.objects.purge_and_list(request.user)
    kept = {row.session_key: row for row in Session.objects.filter(pk__in=[one.session_key for one in found])}
    now, this = time.time(), request.session.session_key
    living = []
    for one in found:
        known = kept[one.session_key].get_decoded().get(_KEY, {}) if one.session_key in kept else {}
        seen = known.get("seen", 0)
        if now - seen < IDLE and now - known["at"] < LONGEST:
            living.append(OwnSession(one, datetime.fromtimestamp(seen, UTC), one.session_key == this))
    return sorted(living, key=lambda one: (not one.is_this, -one.seen_at.timestamp()))


def end_others(request: HttpRequest) -> int:
    """End all sessions of whoever asks but this one; gives how many there were."""
    others = UserSession.objects.filter(user_id=request.user.pk).exclude(session_key=request.session.session_key)
    ended = 0
    for one in others:
        one.end()
        ended += 1
    return ended


def end_one(request: HttpRequest, pk: int) -> bool:
    """End one's own session. Not that of somebody else: this is False where `pk` is none of one's own."""
    one = UserSession.objects.filter(user_id=request.user.pk, pk=pk).first()
    if one is None:
        return False
    one.end()
    return True


def end_all_of(user: AbstractBaseUser) -> None:
    for one in UserSession.objects.filter(user_id=user.pk):
        one.end()
