"""Notes on users: written by one, read by all who may, changed by nobody but whoever wrote them.

Importing this lets timelines tell of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils.text import Truncator
from django.utils.translation import gettext

from console.models import Note, StaffEvent
from console.timeline import Happening, tell
from database.router import CONSOLE

#: So many of an account are shown.
MOST = 50
LONGEST = 4000


class NoteRefused(Exception):
    """Why a note is not kept, as a sentence."""


def notes_of(user_id: str) -> list[Note]:
    """Pinned ones first, then the newest. One query to the console's database."""
    return list(Note.objects.using(CONSOLE).filter(user_id=user_id).select_related("author")[:MOST])


def write(user_id: str, text: str, *, by: User, pinned: bool = False) -> Note:
    """Raises PermissionDenied, and NoteRefused for an empty or overlong text."""
    if not by.has_perm("console.add_note"):
        raise PermissionDenied
    return Note.objects.using(CONSOLE).create(user_id=user_id, text=_text(text), is_pinned=pinned, author=by)


def rewrite(note: Note, text: str, *, by: User) -> None:
    _only_own(note, by)
    note.text = _text(text)
    note.save(using=CONSOLE, update_fields=["text", "updated_at"])


def pin(note: Note, *, pinned: bool, by: User) -> None:
    """Have it stand on top of the account, or no longer."""
    _only_own(note, by)
    Note.objects.using(CONSOLE).filter(pk=note.pk).update(is_pinned=pinned)


def remove(note: Note, *, by: User) -> None:
    """Take it away; that it was there, and whose it was, is kept."""
    _only_own(note, by)
    StaffEvent.objects.using(CONSOLE).create(staff=by, action="note.remove", subject=note.user_id)
    note.delete(using=CONSOLE)


def _only_own(note: Note, by: User) -> None:
    # A superuser's rights are no reason to put words into somebody's mouth.
    if note.author_id != by.pk or not by.has_perm("console.add_note"):
        raise PermissionDenied


def _text(text: str) -> str:
    kept = text.replace("\0", "").replace("\r\n", "\n").strip()
    if not kept:
        raise NoteRefused(gettext("The note is empty: write a few words."))
    if len(kept) > LONGEST:
        words = gettext("The note has %(n)s characters; %(most)s at most are kept. Shorten it.")
        raise NoteRefused(words % {"n": f"{len(kept):,}", "most": f"{LONGEST:,}"})
    return kept


@tell
def _notes(user_id: str, most: int) -> Iterator[Happening]:
    notes = Note.objects.using(CONSOLE).filter(user_id=user_id).select_related("author").order_by("-created_at")
    for note in notes[:most]:
        who = note.author.get_username() if note.author else ""
        words = gettext("Note: %s") % Truncator(note.text).chars(120)
        yield Happening(note.created_at, "staff", words, who, kind="new")
