"""Runs of backups, kept in the console's database; and a word on the home page when the last one is old."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import Error
from django.db.models import Exists, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from console.dashboard import Need, Staff, need
from console.models import StaffEvent

MADE = "backup make"
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
    except Error:
        return


def old_backups(staff: Staff) -> QuerySet[StaffEvent] | None:
    """The backups that were made, where the last of them is old. Nobody is told who made none from here."""
    if not staff.has_perm("console.view_staffevent"):
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
