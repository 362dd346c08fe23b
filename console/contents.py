"""What messages say: hidden until somebody with the right gives a reason, which is kept, and for a while only."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Length, Substr
from django.utils.translation import gettext

from chat.models import Conversation, Message
from console.staff_events import record
from database.instants import Instant
from database.paging import Order, Page, Place, Walk
from database.search import equals

RIGHT = "chat.read_message"
#: How long one sees a conversation after its reason was given.
OPEN_FOR = timedelta(minutes=30)
SHORTEST, LONGEST = 10, 1000
#: Messages of a page, and characters of each that are shown.
MESSAGES, CHARACTERS = 50, 20_000
#: Conversations that a session keeps open; the one opened first is closed.
MOST_OPEN = 20
_KEPT = "contents_open_until"
_ORDER = Order("created", Instant("created_at"), descending=False)

Session = MutableMapping[str, Any]


class ReasonRefused(Exception):
    """A sentence that says what is wrong with the reason."""


def checked(reason: str) -> str:
    """The reason as it is kept. Raises ReasonRefused."""
    reason = " ".join(reason.split())
    if not SHORTEST <= len(reason) <= LONGEST:
        raise ReasonRefused(gettext("Give a reason of %d to %d characters, such as a ticket.") % (SHORTEST, LONGEST))
    return reason


def open_for_a_while(session: Session, conversation: Conversation, *, by: User, reason: str) -> None:
    """Keep why `by` reads the conversation, then let this session read it. Raises ReasonRefused."""
    detail = {"user": conversation.user_id, "reason": checked(reason), "minutes": OPEN_FOR.seconds // 60}
    record("contents.read", by=by, subject=str(conversation.pk), detail=detail)
    until = time.time() + OPEN_FOR.total_seconds()
    kept = {**_open(session), str(conversation.pk): [by.pk, until]}
    session[_KEPT] = dict(list(kept.items())[-MOST_OPEN:])


def is_open(session: Session, conversation_id: str, *, by: User) -> bool:
    whose, _ = _open(session).get(conversation_id, (None, 0.0))
    return bool(whose == by.pk)


def _open(session: Session) -> dict[str, Any]:
    """Those whose time has not run out."""
    return {key: (whose, until) for key, (whose, until) in session.get(_KEPT, {}).items() if until > time.time()}


def page_of(conversation_id: str, after: Place | None) -> Page:
    """Messages in their order, each with `words` and `length`. One query, and one more past rows without a date."""
    rows = Message.objects.defer("content", "metadata")
    shown = rows.annotate(words=Substr("content", 1, CHARACTERS), length=Length("content"))
    return Walk(_ORDER, equals("conversation_id", conversation_id), place=after).page(shown, MESSAGES)
