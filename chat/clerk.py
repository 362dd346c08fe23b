"""Clerk's Backend API: whether users exist. https://clerk.com/docs/reference/backend-api/tag/Users"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from database.verification import CheckFailed, Context, Finding
from database.words import counted

#: Ids in one call; Clerk takes 100 at the most.
IDS_A_CALL = 100
#: Ids that are listed; all are counted.
LISTED = 1000
_PAGE = 5000
_TRIES = 4


class ClerkError(CheckFailed):
    """Clerk was not asked, or gave no answer. The text says what to do."""


@dataclass
class Clerk:
    """Asks with one secret key. An answer of 429 is waited for as long as it says, up to a minute."""

    secret_key: str
    base: str
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not self.secret_key:
            raise ClerkError("CLERK_SECRET_KEY is not set: set it to a secret key of Clerk, or leave out --clerk.")
        retries = urllib3.Retry(connect=2, read=2, redirect=0, status=0, other=0, respect_retry_after_header=False)
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=30), retries=retries)

    def existing(self, ids: Sequence[str]) -> set[str]:
        """Those of up to 100 ids that Clerk knows."""
        query = urlencode([("limit", len(ids)), *(("user_id", each) for each in ids)])
        users = self._get(f"{self.base.rstrip('/')}/users?{query}")
        if not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
            raise ClerkError("Clerk's answer is no list of users: look at CLERK_API_BASE.")
        return {str(user.get("id")) for user in users}

    def _get(self, url: str) -> Any:
        for _ in range(_TRIES):
            response = self._response(url)
            if response.status != 429:
                break
            self.sleep(min(60.0, _seconds(response.headers.get("retry-after"))))
        if response.status in (401, 403):
            raise ClerkError("Clerk refuses the key: look at CLERK_SECRET_KEY.")
        if response.status != 200:
            raise ClerkError(f"Clerk answers with status {response.status}: try again later.")
        try:
            return response.json()
        except ValueError:
            raise ClerkError("Clerk's answer is no JSON: look at CLERK_API_BASE.") from None

    def _response(self, url: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request("GET", url, headers={"Authorization": f"Bearer {self.secret_key}"})
        except urllib3.exceptions.HTTPError:
            # Its text would hold the address with the ids asked for.
            raise ClerkError("Clerk cannot be reached: look at the network and at CLERK_API_BASE.") from None


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 1.0


def verify_users(context: Context) -> Finding:
    """Asks Clerk for every user, 100 a call. Raises ClerkError where it cannot be asked."""
    clerk = Clerk(settings.CLERK_SECRET_KEY, settings.CLERK_API_BASE)
    missing: list[str] = []
    asked = count = 0
    for ids in _ids(context.connection) if context.has("users", "id") else ():
        known = clerk.existing(ids)
        unknown = [each for each in ids if each not in known]
        asked, count = asked + len(ids), count + len(unknown)
        missing += unknown[: LISTED - len(missing)]
        context.watch(len(ids))
    lines = [f"Clerk knows {asked - count:,} of {counted(asked, 'user')}."]
    lines += [f"  unknown to Clerk: {each}" for each in missing[: context.limit]]
    problem = f"{counted(count, 'user does', 'users do')} not exist at Clerk" if count else None
    return Finding({"clerk": {"asked": asked, "missing": missing, "missing_count": count}}, lines, problem)


def _ids(connection: BaseDatabaseWrapper) -> Iterator[list[str]]:
    """All ids of users, at most 100 at once, in order of the key."""
    last = ""
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM users WHERE id > %s ORDER BY id LIMIT %s", [last, _PAGE])
            ids = [row[0] for row in cursor.fetchall()]
        for start in range(0, len(ids), IDS_A_CALL):
            yield ids[start : start + IDS_A_CALL]
        if len(ids) < _PAGE:
            return
        last = ids[-1]
