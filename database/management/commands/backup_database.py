"""Makes a backup of OmniChat's database and the console's own tables."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error, connections

from database.backup import Wish, make_backup
from database.backup_d1 import METHODS
from database.backup_files import backups_at
from database.backup_sqlite import BackupError
from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.router import OMNICHAT
from database.words import counted


class Command(OperatorCommand):
    help = "Back OmniChat's database up, every table of it, into one file. The app may go on writing meanwhile."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--to", metavar="DIR", help="a folder or another address in place of BACKUP_STORAGE")
        parser.add_argument("--tables", metavar="a,b", help="these tables alone")
        parser.add_argument("--anonymize", action="store_true", help="make up what is personal: a copy for development")
        parser.add_argument("--no-console", action="store_true", help="leave the console's own tables out")
        parser.add_argument("--method", choices=METHODS, default="auto", help="how D1 is read (auto)")

    def run(self, **options: Any) -> Report:
        tables = [name.strip() for name in (options["tables"] or "").split(",") if name.strip()]
        if options["tables"] is not None and not tables:
            raise CommandError("--tables names no table.", returncode=2)
        wish = Wish(tables, options["anonymize"], not options["no_console"], options["method"])
        try:
            backups = backups_at(options["to"] or settings.BACKUP_STORAGE)
            with self.progress("Backing up") as bar:
                record = make_backup(
                    connections[OMNICHAT],
                    backups,
                    wish,
                    watch=lambda rows: bar.advance(bar.task_ids[0], rows),
                    remark=self.remark,
                )
        except BackupError as error:
            return Report({"backup": None}, "", error=str(error))
        except Error as error:
            return Report({"backup": None}, "", error=sentence(error, connections[OMNICHAT]))
        return _report(record, backups.place.text)


def _report(record: dict[str, Any], place: str) -> Report:
    counts = (
        f"{record['backup']} in {place}: {counted(len(record['tables']), 'table')}, {counted(record['rows'], 'row')}, "
        f"{record['bytes']:,} bytes. verify_backup tells whether it can be restored."
    )
    return Report({**record, "storage": place}, counts)
