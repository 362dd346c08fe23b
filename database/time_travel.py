"""D1's own way back: any minute of the last 30 days. https://developers.cloudflare.com/d1/reference/time-travel/"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError
from django.utils.dateparse import parse_datetime

from d1.api import Client, Retry, client_for
from d1.base import DatabaseWrapper as D1Wrapper
from database.restore_build import RestoreError
from database.restore_marker import undo

_BOOKMARK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}")
ATTEMPTS = 10
PAUSE = 1.0


@dataclass(frozen=True)
class Journey:
    """To `bookmark`, the moment `when`; `back` is the bookmark of now, which is the way to undo it."""

    when: str
    bookmark: str
    back: str

    @property
    def undo(self) -> str:
        return undo(self.back)


def plan(connection: BaseDatabaseWrapper, when: str) -> Journey:
    """The bookmarks of a moment in the past and of now. Reads only.

    `when` is a bookmark, or a date and time in ISO 8601, which is UTC where it names no zone. Raises RestoreError for
    what is no moment, or none that D1 remembers.
    """
    client = _client(connection)
    moment = when if _BOOKMARK.fullmatch(when) else _bookmark(client, f"?timestamp={quote(_moment(when))}", when)
    return Journey(when, moment, _bookmark(client, "", "now"))


def _client(connection: BaseDatabaseWrapper) -> Client:
    if not isinstance(connection, D1Wrapper):
        raise RestoreError("Time travel is D1's, and this is a SQLite file: restore a backup. Nothing was touched.")
    return client_for(connection.endpoint)


def _moment(text: str) -> str:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise RestoreError(f"{text} is no moment: give 2026-11-22T14:03:00Z, or a bookmark. Nothing was touched.")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise RestoreError(f"{text} is not over yet. Nothing was touched.")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bookmark(client: Client, query: str, when: str) -> str:
    try:
        return str(client.get(f"/time_travel/bookmark{query}")["bookmark"])
    except Retry as error:
        raise error.error from None
    except OperationalError:
        raise
    except Exception as error:
        raise RestoreError(f"D1 has no bookmark of {when}: {error}. Nothing was touched.") from error


def travel(connection: BaseDatabaseWrapper, journey: Journey, pause: Callable[[float], None] = time.sleep) -> str:
    """Put the database back in place, and wait until it answers; gives the bookmark that D1 names as the way back.

    Requests that run meanwhile are cancelled by D1. Raises RestoreError, or OutcomeUnknown where the answer was lost:
    to do it again is harmless.
    """
    client = _client(connection)
    try:
        answer = client.post(f"/time_travel/restore?bookmark={quote(journey.bookmark)}")
    except OperationalError:
        raise
    except Exception as error:
        raise RestoreError(f"D1 did not go back: {error}. Nothing was touched.") from error
    _await(connection, pause)
    return str(answer.get("previous_bookmark") or journey.back)


def _await(connection: BaseDatabaseWrapper, pause: Callable[[float], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM sqlite_master")
            return
        except OperationalError:
            if attempt == ATTEMPTS:
                raise
            pause(PAUSE)
