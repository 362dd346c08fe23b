"""Backups by the schedule: one is made each night, and old ones are removed where somebody has switched that on.

Importing this registers the kinds.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from datetime import time
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.translation import gettext_lazy as _

from console import schedule
from console.jobs import Failure, Run, kind
from database.backup import make_backup, remove_backups
from database.backup_files import backups_at
from database.backup_pruning import Keeping, to_remove
from database.backup_sqlite import BackupError
from database.router import OMNICHAT

#: What a removal by the schedule leaves: a week of days that are looked at most, then fewer and fewer.
KEEPING = Keeping(last=7, daily=14, weekly=8, monthly=12)
#: Seconds between two steps of progress.
STEP = 1.0


@kind("backup.make", title="Backup", permission="console.change_job")
def make(run: Run) -> dict[str, Any]:
    """Make a backup into BACKUP_STORAGE. Begun again after a kill it starts anew: of half a one nothing is kept."""
    try:
        backups = backups_at(settings.BACKUP_STORAGE)
        record = make_backup(connections[OMNICHAT], backups, watch=_steps(run), remark=run.log)
    except BackupError as error:
        raise Failure(str(error)) from None
    return {name: record[name] for name in ("backup", "rows", "bytes", "sha256")}


@kind("backup.prune", title="Removal of old backups", permission="console.change_job")
def prune(run: Run) -> dict[str, Any]:
    """Remove backups that nothing asks to keep; the newest verified one always stays."""
    removed = []
    try:
        backups = backups_at(settings.BACKUP_STORAGE)
        names = [record["backup"] for record in to_remove(backups.records(), KEEPING)]
        for name in remove_backups(backups, names):
            removed.append(name)
            run.advance(len(removed), total=len(names))
    except BackupError as error:
        raise Failure(str(error)) from None
    return {"removed": removed, "kept": len(backups.records())}


def _steps(run: Run) -> Callable[[int], None]:
    """Progress once a second, however often rows are told of."""
    rows, told = 0, clock.monotonic()

    def watch(more: int) -> None:
        nonlocal rows, told
        rows += more
        if clock.monotonic() - told >= STEP:
            told = clock.monotonic()
            run.advance(rows)

    return watch


schedule.register("backup", _("Backup"), "backup.make", at=time(2, 0))
# Nobody's backups are removed unasked.
schedule.register("backup_pruning", _("Removal of old backups"), "backup.prune", at=time(2, 45), enabled=False)
