"""Where a person's words stand beside the tables that hold them: in the audit log, and in the console's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, Q

from chat.models import Conversation, User
from console.models import Finding, Grant, GrantBulk, InboxEvent, InboxState, Note
from console.person import GONE, made_up_email
from console.person_export import remove_files
from database.router import CONSOLE

#: Columns that tell of a person, by the table that an entry of the audit log is about.
_WORDS = {
    "users": frozenset({"email", "name", "avatarUrl"}),
    "conversations": frozenset({"title"}),
    "messages": frozenset({"content", "metadata"}),
}
#: What of a person stays, for accounting and for whoever asks later what was done.
STAYS = (
    "users", "user_subscriptions", "user_battery", "battery_transactions", "api_usage", "daily_usage_summary",
    "audit_logs",
)  # fmt: skip


def left(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in STAYS}


def without_words(entry: Any) -> bool:
    """Take a person's words out of an entry of the audit log; False where there are none."""
    words = _WORDS.get(entry.resource_type, frozenset())
    if not words or not isinstance(entry.metadata, dict):
        return False
    metadata = dict(entry.metadata)
    for side in ("before", "after"):
        cells = metadata.get(side)
        if isinstance(cells, dict):
            metadata[side] = {name: GONE if name in words and cell else cell for name, cell in cells.items()}
    changed = metadata != entry.metadata
    entry.metadata = metadata
    return changed


def forget(user: User) -> int:
    """Take a person out of the console's own tables, in one transaction; the number of rows. Again it finds nothing."""
    user_id, email = str(user.pk), made_up_email(str(user.pk))
    grants = Grant.objects.using(CONSOLE).filter(user_id=user_id)
    with transaction.atomic(using=CONSOLE):
        rows = sum(_forget_in(bulk, user_id, email) for bulk in GrantBulk.objects.using(CONSOLE).filter(
            pk__in=grants.exclude(bulk=None).values("bulk")
        ))  # fmt: skip
        rows += grants.exclude(email__in=("", email)).update(email=email)
        rows += Note.objects.using(CONSOLE).filter(user_id=user_id).delete()[0]
        rows += _forget_events(user) + _forget_findings(user_id)
        rows += _rename(User, [user_id], email)
    remove_files(user_id)
    return rows


def forget_titles(conversations: Iterable[str]) -> None:
    _rename(Conversation, conversations, GONE)


def _rename(model: type[Model], keys: Iterable[str], name: str) -> int:
    """What Django's own log calls a row is its email or title."""
    kind = ContentType.objects.db_manager(CONSOLE).get_for_model(model)
    entries = LogEntry.objects.using(CONSOLE).filter(content_type=kind, object_id__in=list(keys))
    return entries.exclude(object_repr=name).update(object_repr=name)


def _forget_in(bulk: GrantBulk, user_id: str, email: str) -> int:
    rows = [{**row, "email": email} if row.get("user_id") == user_id else row for row in bulk.rows]
    if rows == bulk.rows:
        return 0
    bulk.rows = rows
    bulk.save(using=CONSOLE, update_fields=["rows"])
    return 1


def _forget_events(user: User) -> int:
    """Events that are worked off lose what they told; one that still waits needs it."""
    over = Q(state__in=(InboxState.PROCESSED, InboxState.IGNORED))
    subjects = [key for key in (user.pk, user.stripe_customer_id) if key]
    events = InboxEvent.objects.using(CONSOLE).filter(over, subject__in=subjects).exclude(payload="{}")
    return events.update(payload="{}", effect=[], error="")


def _forget_findings(user_id: str) -> int:
    """That something differed stays; what it was may be an email."""
    findings = Finding.objects.using(CONSOLE).filter(user_id=user_id).exclude(note=GONE)
    return findings.update(found=None, expected=None, reason="", note=GONE)
