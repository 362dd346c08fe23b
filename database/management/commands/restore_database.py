"""Restores OmniChat's database, or a copy of it, from a backup; on D1 also by its own time travel."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from database.after_restore import Missing, apply_again, missing_effects
from database.archive_errors import ArchiveError
from database.backup_sqlite import BackupError
from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.migrations import MigrationError, read_migrations
from database.restore import Restore, Restored
from database.restore_build import RestoreError
from database.restore_console import restore_console
from database.restore_marker import undo
from database.restore_sources import Backup, open_source
from database.restore_target import connect_to
from database.router import OMNICHAT
from database.time_travel import plan, travel
from database.verification import verify_schema
from database.words import counted

_NOTHING: dict[str, Any] = {"restored": {}, "rows": 0}


class Command(OperatorCommand):
    help = (
        "Restore OmniChat's database from a backup: a path, a name in the storage, or latest. Asks before it replaces."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("backup", nargs="?", metavar="BACKUP", help="a path, a name in the storage, or latest")
        parser.add_argument(
            "--into", metavar="URL", help="sqlite:///FILE or d1://ACCOUNT/DATABASE in place of OmniChat's"
        )
        parser.add_argument("--tables", metavar="a,b", help="replace these tables alone")
        parser.add_argument("--time-travel", metavar="TIMESTAMP", help="put D1 back as it was then; or a bookmark")
        parser.add_argument("--apply-again", action="store_true", help="apply again what is missing after a restore")
        parser.add_argument("--console", action="store_true", help="put the console's own tables back, too")
        parser.add_argument("--no-input", action="store_true", help="replace without asking")

    def run(self, **options: Any) -> Report:
        self._check_usage(options)
        try:
            connection = connect_to(options["into"]) if options["into"] else connections[OMNICHAT]
        except ValueError as error:
            raise CommandError(f"--into: {error}", returncode=2) from None
        try:
            if options["time_travel"]:
                return self._travel(connection, options)
            done = self._restore(connection, options) if options["backup"] else Restored()
            done.console = self._restore_console(options) if options["console"] else {}
            return _report(done, *self._after(options))
        except (RestoreError, ArchiveError, BackupError, MigrationError) as error:
            return Report(_NOTHING, "", error=str(error))
        except OSError as error:
            return Report(_NOTHING, "", error=_of_disk(error))
        except (Error, sqlite3.Error) as error:
            return Report(_NOTHING, "", error=sentence(error, connection))

    def _check_usage(self, options: dict[str, Any]) -> None:
        wanted = [bool(options["backup"]), bool(options["time_travel"]), bool(options["apply_again"])]
        if not any(wanted) or (options["time_travel"] and sum(wanted) > 1):
            raise CommandError("Give one of BACKUP, --time-travel TIMESTAMP and --apply-again.", returncode=2)
        if options["time_travel"] and (options["tables"] or options["into"] or options["console"]):
            raise CommandError("Time travel takes the whole database, in place, and no other.", returncode=2)
        if options["console"] and (options["into"] or not options["backup"]):
            raise CommandError("--console puts the console's own tables back, and takes a BACKUP.", returncode=2)

    def _restore(self, connection: BaseDatabaseWrapper, options: dict[str, Any]) -> Restored:
        tables = [name.strip() for name in (options["tables"] or "").split(",") if name.strip()]
        if options["tables"] is not None and not tables:
            raise CommandError("--tables names no table.", returncode=2)
        source = open_source(options["backup"])
        with self.progress("Restoring") as bar:

            def confirm(question: str) -> None:
                bar.stop()
                self.confirm(question, options)
                bar.start()

            restore = Restore(source, connection, tables, confirm, self.remark)
            restore.watch = lambda rows: bar.advance(bar.task_ids[0], rows)
            done = restore.run()
        for remark in done.remarks:
            self.remark(remark)
        return done

    def _restore_console(self, options: dict[str, Any]) -> dict[str, int]:
        self.confirm("Replace the console's own tables (staff, grants, inbox, runs), too?", options)
        with closing(open_source(options["backup"])) as source:
            if not isinstance(source, Backup):
                raise RestoreError("A dump of others has no tables of the console; OmniChat's are restored.")
            return restore_console(source.archive, self.remark)

    def _after(self, options: dict[str, Any]) -> tuple[list[Missing], int, list[str]]:
        """What the restored database lacks that is known elsewhere; of a copy that is nobody's business.

        Gives that, how much of it was applied again, and what went wrong with the rest.
        """
        if options["into"]:
            return [], 0, []
        try:
            missing = missing_effects()
        except Error as error:
            return (
                [],
                0,
                [f"What happened since the backup cannot be looked for: {sentence(error, connections[OMNICHAT])}"],
            )
        if not missing or not options["apply_again"]:
            return missing, 0, []
        self.confirm(f"Apply {len(missing):,} missing effects again?", options)
        return missing, *apply_again(missing)

    def _travel(self, connection: BaseDatabaseWrapper, options: dict[str, Any]) -> Report:
        journey = plan(connection, options["time_travel"])
        self.remark(f"The bookmark of {journey.when} is {journey.bookmark}; that of now is {journey.back}.")
        self.remark(f"To undo it: {journey.undo}")
        self.confirm(f"Put the D1 database {connection.settings_dict['NAME']} back to {journey.when}?", options)
        back = travel(connection, journey)
        found = verify_schema(connection, read_migrations(Path(settings.SQL_MIGRATIONS_DIR)))
        missing, _, problems = self._after(options)
        rows = sum(found.tables.values())
        data = {
            "restored": found.tables,
            "rows": rows,
            "bookmark": journey.bookmark,
            "previous_bookmark": back,
            "undo": undo(back),
            "missing": [each._asdict() for each in missing],
        }
        problems = [*found.problems, *problems]
        problem = f"It is back, and {'; '.join(problems)}." if problems else None
        return Report(
            data,
            f"{counted(len(found.tables), 'table')}, {counted(rows, 'row')} as of {journey.when}.",
            problem,
            _lines(missing),
        )


def _of_disk(error: OSError) -> str:
    return f"{error.strerror or error}: {error.filename or 'the backup'}. What was there before is still there."


def _report(done: Restored, missing: list[Missing], applied: int, problems: list[str]) -> Report:
    rows = sum(done.tables.values())
    data: dict[str, Any] = {
        "restored": done.tables,
        "rows": rows,
        "console": done.console,
        "kept": done.kept and str(done.kept),
        "bookmark": done.bookmark,
        "undo": done.bookmark and undo(done.bookmark),
        "remarks": done.remarks,
        "missing": [each._asdict() for each in missing],
        "applied_again": applied,
        "not_applied": problems,
    }
    kept = f" The old file is {done.kept}." if done.kept else ""
    counts = f"{counted(len(done.tables), 'table')}, {counted(rows, 'row')} restored.{kept}"
    if missing:
        lacking = counted(len(missing), "effect is", "effects are")
        rest = f"{lacking} missing: restore_database --apply-again makes {'it' if len(missing) == 1 else 'them'} again."
        counts += f" {f'{applied} of {len(missing):,} missing effects applied again.' if applied else rest}"
    error = f"{counts} {'; '.join(problems)}" if problems else None
    return Report(data, counts, error, _lines(missing))


def _lines(missing: list[Missing]) -> list[str]:
    return [f"missing: {each.kind} {each.id}: {each.text}" for each in missing]
