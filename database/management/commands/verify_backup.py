"""Restores a backup aside and looks whether it is what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from database.backup_files import backups_at
from database.backup_sqlite import BackupError
from database.backup_verification import Verified, verify_backup, verify_file
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "Restore a backup into a scratch database and check it: a name in the storage, latest, or a path."
    local = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("backup", metavar="BACKUP", help="a name in the storage, latest, or a path")
        parser.add_argument("--storage", metavar="ADDRESS", help="a folder or another address than BACKUP_STORAGE")

    def run(self, **options: Any) -> Report:
        try:
            with self.progress("Verifying") as bar:
                return _report(self._verify(options, lambda rows: bar.advance(bar.task_ids[0], rows)))
        except BackupError as error:
            return Report({"ok": False, "tables": {}, "rows": 0, "problems": [str(error)]}, "", error=str(error))

    def _verify(self, options: dict[str, Any], watch: Any) -> Verified:
        """A path is one of the storage where it lies in it: then what is found is noted."""
        text = options["backup"]
        path = Path(text)
        if "/" not in text and not path.is_file():
            backups = backups_at(options["storage"] or settings.BACKUP_STORAGE)
            return verify_backup(backups, backups.named(text), watch)
        beside = backups_at(str(path.parent.absolute()))
        return verify_backup(beside, path.name, watch) if beside.record(path.name) else verify_file(path, watch)


def _report(found: Verified) -> Report:
    problems = [*found.problems, *found.content]
    data = {
        "ok": not problems,
        "restorable": not found.problems,
        "tables": found.tables,
        "rows": found.rows,
        "schema_version": found.schema_version,
        "problems": problems,
        "kind": found.kind,
    }
    counts = (
        f"OK: {counted(len(found.tables), 'table')}, {counted(found.rows, 'row')} come back as they were backed up."
    )
    if not problems:
        return Report(data, counts)
    sentence = "; ".join(problems)
    ending = "." if found.problems else ". The backup itself comes back as it was made."
    return Report(data, counts, error=sentence[:1].upper() + sentence[1:] + ending)
