from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from console.demo import DemoRefused, seed
from database.commands import OperatorCommand, Report


def at_least(least: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or len(text) > 9 or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} on, of nine digits at the most")
        return int(text)

    return number


def demo_day(text: str) -> date:
    day = date.fromisoformat(text)
    if not 1980 <= day.year <= 2900:
        raise ArgumentTypeError("the day's year has to lie between 1980 and 2900")
    return day


class Command(OperatorCommand):
    help = "Fills OmniChat's database with believable demo data, the same for the same seed and day."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=at_least(1), default=200, help="accounts (200)")
        parser.add_argument("--messages", type=at_least(0), default=4_000, help="messages of all accounts (4000)")
        parser.add_argument("--seed", type=at_least(0), default=1, help="another seed gives other data (1)")
        parser.add_argument("--day", type=demo_day, help="the UTC day on which the year ends (today)")
        parser.add_argument("--odd", action="store_true", help="add a few odd rows, as live databases have them")

    def run(self, **options: Any) -> Report:
        users = options["users"]
        day = options["day"] or datetime.now(UTC).date()
        with self.progress("Accounts", users) as bar:
            try:
                seeded = seed(
                    users,
                    options["messages"],
                    seed=options["seed"],
                    day=day,
                    odd=options["odd"],
                    advance=lambda accounts: bar.advance(bar.task_ids[0], accounts),
                )
            except DemoRefused as refusal:
                raise CommandError(str(refusal)) from refusal
        counts = f"{seeded.users} users, {seeded.messages} messages; {seeded.added_users} users are new."
        return Report(vars(seeded), counts)
