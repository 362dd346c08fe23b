"""Runs of backups, kept in the console's database; and a word on the home page when the last one is old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import Error
from django.db.models import Exists, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from console.dashboard import Need, Staff, need
from console.job_progress import in_words
from console.models import StaffEvent, Summary
from database.archive_format import moment_of
from database.router import CONSOLE

MADE = "backup make"
#: The name of the summary of the last whole backup.
LAST = "last backup"
SEES_BACKUPS = "console.view_staffevent"
#: A backup a night, and the time that one may take.
OLD_AFTER = timedelta(hours=26)
_KEPT = ("rows", "bytes", "sha256", "encrypted", "anonymized", "partial", "verified_at", "problems")


def record_backup(*, action: str, record: dict[str, Any] | None, **signal: Any) -> None:
    """Keep that a backup was made, verified or removed. Listens to `database.backup.backup_done`.

    A console whose database is not there spoils no backup: the record beside the file says the same.
    """
    if record is None:
        return
    detail = {key: record[key] for key in _KEPT if key in record}
    try:
        StaffEvent.objects.create(action=f"backup {action}", subject=record["backup"], detail=detail)
        if not record.get("anonymized") and not record.get("partial"):
            _note_last(action, record)
    except Error:
        return


def _note_last(action: str, record: dict[str, Any]) -> None:
    """For the home page, which shows the age of the last whole backup."""
    if action == "make":
        made = moment_of(record["backup"]) or timezone.now()
        value = {"backup": record["backup"], "verified": False}
        Summary.objects.using(CONSOLE).update_or_create(name=LAST, defaults={"value": value, "counted_at": made})
        return
    ours = Summary.objects.using(CONSOLE).filter(name=LAST, value__backup=record["backup"])
    if action == "remove":
        ours.delete()
    else:
        ours.update(value={"backup": record["backup"], "verified": bool(record.get("verified_at"))})


@dataclass(frozen=True)
class LastBackup:
    """The last whole backup: `age` in words, whether that is old, whether it is known to restore."""

    name: str
    made_at: datetime
    age: str
    is_old: bool
    is_verified: bool


def last_backup(kept: Mapping[str, Summary]) -> LastBackup | None:
    """Of what `console.dashboard.summaries` gave; None where none was made from here."""
    found = kept.get(LAST)
    if found is None:
        return None
    age = timezone.now() - found.counted_at
    value = found.value
    return LastBackup(value["backup"], found.counted_at, in_words(age), age > OLD_AFTER, value["verified"])


def old_backups(staff: Staff) -> QuerySet[StaffEvent] | None:
    """The backups that were made, where the last of them is old. Nobody is told who made none from here."""
    if not staff.has_perm(SEES_BACKUPS):
        return None
    made = StaffEvent.objects.filter(action=MADE, detail__anonymized=False, detail__partial=False)
    recent = made.filter(at__gt=timezone.now() - OLD_AFTER)
    return made.filter(~Exists(recent))


need(
    Need(
        "backups",
        old_backups,
        lambda n: gettext("No backup was made for more than a day: see manage.py list_backups"),
        lambda: reverse("admin:console_staffevent_changelist"),
    )
)
