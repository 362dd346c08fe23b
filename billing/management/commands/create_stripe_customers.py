"""Makes a Stripe customer for every user who has none."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.customers import create_customers
from billing.stripe_api import StripeTrouble, stripe_of_settings
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "Make a Stripe customer for every user who has none, one for each, however often it runs."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the users who lack one")

    def run(self, **options: Any) -> Report:
        try:
            with self.progress("Users") as bar:
                made = create_customers(
                    stripe_of_settings(),
                    dry_run=options["dry_run"],
                    advance=lambda users: bar.advance(bar.task_ids[0], users),
                )
        except StripeTrouble as trouble:
            raise CommandError(str(trouble)) from trouble
        data = {"created": made.created, "linked": made.linked, "lacking": made.lacking, "problems": made.problems}
        for problem in made.problems:
            self.remark(problem)
        counts = (
            f"{counted(made.lacking, 'user')} had no customer: {made.created:,} made, {made.linked:,} found and linked."
        )
        return Report(data, counts, _error(options["dry_run"], made.lacking, made.problems))


def _error(dry_run: bool, lacking: int, problems: list[str]) -> str | None:
    if problems:
        return f"{counted(len(problems), 'user')} got no customer; the first: {problems[0]}"
    if dry_run and lacking:
        return f"{counted(lacking, 'user has', 'users have')} no Stripe customer."
    return None
