"""What a nightly job looks at and the home page tells of: the schema of OmniChat's database, and the backups.

Problems are kept as rows of `Summary`, one each, so that counting them is part of the home page's one query.
Importing this registers the job, its time and what is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connections, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext

from console import schedule
from console.dashboard import Need, Staff, need
from console.jobs import Run, kind
from console.models import Summary
from database.backup_files import backups_at
from database.backup_sqlite import BackupError
from database.failures import sentence
from database.migrations import MigrationError, read_migrations
from database.read_only import read_only
from database.router import CONSOLE, OMNICHAT
from database.verification import verify_schema

KIND = "health.check"
#: Who sees what is wrong with the database: whoever sees all jobs.
SEES = "console.view_job"
#: Backups that the page of the findings lists.
MOST = 10
_NAME = "health"


@dataclass(frozen=True)
class Health:
    """What the last look found. `problems` are sentences by their subject, `backups` the newest first."""

    looked_at: datetime
    problems: dict[str, list[str]]
    backups: list[dict[str, Any]]

    @property
    def is_well(self) -> bool:
        return not any(self.problems.values())


def look(now: datetime | None = None) -> Health:
    """Look at the schema and the backups, and keep what is found. On D1 some ten requests."""
    backup_problems, backups = _backups()
    health = Health(now or timezone.now(), {"schema": _schema(), "backups": backup_problems}, backups)
    rows = [
        Summary(name=f"{_NAME}:{subject}:{number}", value=words, counted_at=health.looked_at)
        for subject, found in health.problems.items()
        for number, words in enumerate(found)
    ]
    whole = {"problems": health.problems, "backups": health.backups}
    rows.append(Summary(name=_NAME, value=whole, counted_at=health.looked_at))
    kept = Summary.objects.using(CONSOLE)
    with transaction.atomic(using=CONSOLE):
        kept.filter(name__startswith=_NAME).delete()
        kept.bulk_create(rows)
    return health


def last_look() -> Health | None:
    """What was found last; None where nobody has looked yet."""
    kept = Summary.objects.using(CONSOLE).filter(name=_NAME).first()
    return Health(kept.counted_at, kept.value["problems"], kept.value["backups"]) if kept else None


def _schema() -> list[str]:
    try:
        with read_only() as connection:
            return verify_schema(connection, read_migrations(Path(settings.SQL_MIGRATIONS_DIR))).problems
    except MigrationError as error:
        return [str(error)]
    except Error as error:
        return [sentence(error, connections[OMNICHAT])]


def _backups() -> tuple[list[str], list[dict[str, Any]]]:
    """What is wrong with the backups, and the newest. How old the last is, `console.backup_events` tells."""
    try:
        records = backups_at(settings.BACKUP_STORAGE).records()
    except BackupError as error:
        return [str(error)], []
    whole = [record for record in records if not record["partial"] and not record["anonymized"]]
    problems = []
    if not whole:
        problems.append(gettext("There is no backup: run manage.py backup_database, or the schedule's entry Backup."))
    elif whole[-1].get("problems") and not whole[-1]["verified_at"]:
        problems.append(gettext("The newest backup is damaged: make another, and see manage.py verify_backup."))
    shown = ("backup", "created_at", "rows", "bytes", "verified_at", "encrypted")
    return problems, [{name: record.get(name) for name in shown} for record in reversed(whole[-MOST:])]


@kind(KIND, title="Look at schema and backups", permission=SEES)
def check(run: Run) -> dict[str, Any]:
    health = look()
    for words in _all(health.problems.values()):
        run.log(words)
    return {subject: len(found) for subject, found in health.problems.items()}


def _all(found: Iterable[list[str]]) -> Iterable[str]:
    return (words for each in found for words in each)


def _problems_of(subject: str) -> Callable[[Staff], QuerySet[Any] | None]:
    def rows(staff: Staff) -> QuerySet[Any] | None:
        return Summary.objects.filter(name__startswith=f"{_NAME}:{subject}:") if staff.has_perm(SEES) else None

    return rows


def _schema_in_words(n: int) -> str:
    one, many = "%(n)s problem of OmniChat's schema", "%(n)s problems of OmniChat's schema"
    return ngettext(one, many, n) % {"n": f"{n:,}"}


schedule.register("health", gettext_lazy("Look at schema and backups"), KIND, at=time(3, 15))
need(Need("schema", _problems_of("schema"), _schema_in_words, lambda: reverse("health")))
need(
    Need(
        "backup storage",
        _problems_of("backups"),
        lambda n: gettext("Something is wrong with the backups"),
        lambda: reverse("health"),
    )
)
