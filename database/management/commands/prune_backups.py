"""Removes old backups."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from database.backup import remove_backups
from database.backup_files import Backups, backups_at
from database.backup_pruning import Keeping, to_remove
from database.backup_sqlite import BackupError
from database.commands import OperatorCommand, Report


class Command(OperatorCommand):
    help = "Remove old backups. The newest verified one always stays."
    local = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--keep-last", type=_count, metavar="N", default=0, help="keep the last N")
        parser.add_argument("--keep-daily", type=_count, metavar="N", default=0, help="keep the last of N days")
        parser.add_argument("--keep-weekly", type=_count, metavar="N", default=0, help="keep the last of N weeks")
        parser.add_argument("--keep-monthly", type=_count, metavar="N", default=0, help="keep the last of N months")
        parser.add_argument("--storage", metavar="ADDRESS", help="a folder or another address than BACKUP_STORAGE")
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
        parser.add_argument("--no-input", action="store_true", help="remove without asking")

    def run(self, **options: Any) -> Report:
        keeping = Keeping(*(options[f"keep_{name}"] for name in ("last", "daily", "weekly", "monthly")))
        if keeping == Keeping():
            raise CommandError("Say how many to keep, such as --keep-last 7. Nothing was removed.", returncode=2)
        try:
            backups = backups_at(options["storage"] or settings.BACKUP_STORAGE)
            records = backups.records()
            names = [record["backup"] for record in to_remove(records, keeping)]
            return self._remove(backups, names, len(records), options)
        except BackupError as error:
            return Report({"removed": 0}, "", error=str(error))

    def _remove(self, backups: Backups, names: list[str], count: int, options: dict[str, Any]) -> Report:
        kept = count - len(names)
        if options["dry_run"]:
            data = {"removed": 0, "would_remove": names, "kept": kept}
            return Report(data, f"{len(names)} of {count} would go, {kept} stay.", lines=names)
        if names:
            self.confirm(f"Remove {len(names)} of {count} backups in {backups.place.text}?", options)
        removed = list(self.tracked(remove_backups(backups, names), "Removing", len(names)))
        data = {"removed": len(removed), "names": removed, "kept": kept}
        return Report(data, f"{len(removed)} removed, {kept} kept.", lines=removed)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)
