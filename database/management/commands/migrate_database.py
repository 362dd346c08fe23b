"""Applies the pending SQL migrations to OmniChat's database, or reverts, plans or adopts them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error, connections

from database.adoption import Adoption, examine, refusal
from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.migration_log import read_log
from database.migrations import Migration, MigrationError, read_migrations
from database.migrator import Migrator, Outcome, Plan
from database.read_only import read_only
from database.router import OMNICHAT
from database.words import counted

#: --adopt without a number.
WRANGLERS = -1


class Command(OperatorCommand):
    help = "Apply pending SQL migrations to OmniChat's database, each with its schema_version row in one transaction."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", action="store_true", help="show the SQL and its hazards, and write nothing")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--to", type=int, metavar="N", help="go up or down to version N; 0 is before the first")
        what.add_argument(
            "--adopt",
            type=int,
            nargs="?",
            const=WRANGLERS,
            metavar="N",
            help="record 1 to N as applied, if the tables are there; without N, what wrangler's d1_migrations records",
        )
        what.add_argument("--rerun", type=int, metavar="N", help="apply file N again, as it is now")
        parser.add_argument("--mend", action="store_true", help="with --adopt: add missing columns and indexes")
        parser.add_argument("--directory", metavar="DIR", help="where the files are, in place of migrations/")
        parser.add_argument("--no-input", action="store_true", help="destroy without asking")

    def run(self, **options: Any) -> Report:
        if options["mend"] and options["adopt"] is None:
            raise CommandError("--mend belongs to --adopt: say --adopt N --mend. Nothing was done.", returncode=2)
        try:
            migrations = read_migrations(Path(options["directory"] or settings.SQL_MIGRATIONS_DIR))
            if options["plan"]:
                return self._plan(migrations, options)
            return _report(self._migrate(migrations, options))
        except MigrationError as error:
            return _report(Outcome(error=str(error), version=_recorded()))
        except Error as error:
            return _report(Outcome(error=sentence(error, connections[OMNICHAT])))

    def _plan(self, migrations: list[Migration], options: dict[str, Any]) -> Report:
        with read_only() as connection:
            migrator = Migrator(connection, migrations)
            if options["adopt"] is not None:
                adoption = examine(connection, migrations, _version(options["adopt"]), mend=options["mend"])
                return _examined(adoption, migrations)
            return _planned(migrator.plan(options["to"], rerun=options["rerun"]))

    def _migrate(self, migrations: list[Migration], options: dict[str, Any]) -> Outcome:
        confirm = partial(self.confirm, options=options)
        migrator = Migrator(connections[OMNICHAT], migrations, confirm=confirm, remark=self.remark)
        if options["adopt"] is not None:
            return migrator.adopt(_version(options["adopt"]), mend=options["mend"])
        if options["rerun"] is not None:
            return migrator.rerun(options["rerun"])
        return migrator.migrate(options["to"])


def _version(adopted: int) -> int | None:
    return None if adopted == WRANGLERS else adopted


def _recorded() -> int:
    """The version of the database, where it is the files that are wrong."""
    try:
        with read_only() as connection:
            return read_log(connection).version
    except (Error, MigrationError):
        return 0


def _listed(migrations: list[Migration]) -> list[dict[str, Any]]:
    return [{"version": each.version, "name": each.name} for each in migrations]


def _report(outcome: Outcome) -> Report:
    data = {
        "applied": _listed(outcome.applied),
        "reverted": _listed(outcome.reverted),
        "pending": _listed(outcome.pending),
        "adopted": _listed(outcome.adopted),
        "differences": [each.as_dict() for each in outcome.differences],
        "checksums_filled": _listed(outcome.filled),
        "version": outcome.version,
        "bookmark": outcome.bookmark,
        "error": outcome.error,
    }
    counts = (
        f"{len(outcome.applied)} applied, {len(outcome.reverted)} reverted, {len(outcome.adopted)} adopted, "
        f"{len(outcome.pending)} pending; "
        f"version {outcome.version}."
    )
    return Report(data, counts, error=outcome.error)


def _examined(adoption: Adoption, migrations: list[Migration]) -> Report:
    data = {
        "applied": [],
        "reverted": [],
        "pending": _listed([each for each in migrations if each.version not in adoption.log.records]),
        "adopted": _listed(adoption.migrations) if not adoption.lacking else [],
        "differences": [each.as_dict() for each in adoption.lacking],
        "sql": adoption.mending,
        "version": adoption.log.version,
        "error": None,
    }
    lines = [f"{sql};" for sql in adoption.mending]
    error = refusal(adoption) if adoption.lacking else None
    counts = f"{len(adoption.migrations)} can be adopted. Nothing was written."
    return Report(data, counts, error=error, lines=lines)


def _planned(plan: Plan) -> Report:
    files = [each for each, _ in plan.batches]
    data = {
        "applied": [],
        "reverted": [],
        "pending": _listed(files) if plan.up else [],
        "to_revert": [] if plan.up else _listed(files),
        "sql": [{"version": each.version, "name": each.name, "statements": sql} for each, sql in plan.batches],
        "warnings": [
            {"version": each.migration.version, "statement": each.number, "text": str(each)} for each in plan.hazards
        ],
        "checksums_missing": _listed(plan.unfilled),
        "version": plan.log.version,
        "error": None,
    }
    lines = []
    for migration, statements in plan.batches:
        lines.append(f"-- {'' if plan.up else 'down/'}{migration}")
        lines += [f"{sql};\n" for sql in statements]
    lines += [f"Warning: {each}" for each in plan.hazards]
    lines += [f"{each} is recorded without a checksum, which a run fills in." for each in plan.unfilled]
    verb = "apply" if plan.up else "revert"
    counts = (
        f"{len(files)} to {verb}, {counted(len(plan.hazards), 'warning')}; version "
        f"{plan.log.version}. Nothing was written."
    )
    return Report(data, counts, lines=lines)
