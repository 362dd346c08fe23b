"""Makes both databases ready from nothing, or brings them up to date."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import Error, connections

from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.migrations import MigrationError, read_migrations
from database.migrator import Migrator, Outcome
from database.router import CONSOLE, OMNICHAT
from database.verification import Verification, verify_schema


class Command(OperatorCommand):
    help = "Migrate the console's own database, apply the SQL migrations to OmniChat's, and verify it."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--no-input", action="store_true", help="destroy without asking")

    def run(self, **options: Any) -> Report:
        if problem := self._migrate_console():
            return _report(Outcome(error=problem), Verification())
        omnichat = connections[OMNICHAT]
        try:
            migrations = read_migrations(Path(settings.SQL_MIGRATIONS_DIR))
            confirm = partial(self.confirm, options=options)
            outcome = Migrator(omnichat, migrations, confirm=confirm, remark=self.remark).migrate()
            return _report(outcome, Verification() if outcome.error else verify_schema(omnichat, migrations))
        except MigrationError as error:
            return _report(Outcome(error=str(error)), Verification())

    def _migrate_console(self) -> str | None:
        try:
            call_command("migrate", database=CONSOLE, verbosity=0, interactive=False, skip_checks=True)
        except Error as error:
            return sentence(error, connections[CONSOLE])
        self.remark("The console's own tables are up to date")
        return None


def _report(outcome: Outcome, found: Verification) -> Report:
    problems = [outcome.error.rstrip(".")] if outcome.error else found.problems
    data = {
        "ok": not problems,
        "schema_version": outcome.version,
        "applied": [{"version": each.version, "name": each.name} for each in outcome.applied],
        "tables": found.tables,
        "drift": [each.as_dict() for each in found.schema.drift],
    }
    counts = f"{len(outcome.applied)} applied; version {outcome.version}, {len(found.tables)} tables, no drift."
    return Report(data, counts, error="; ".join(problems) + "." if problems else None)
