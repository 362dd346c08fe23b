"""Credits the daily allowance."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import CommandParser

from billing.allowance import Allowances, give_allowances, today
from database.commands import OperatorCommand, Report
from database.words import counted


def past_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; give one as 2026-11-22") from None
    if day > today():
        raise ArgumentTypeError(f"{text} has not begun yet; it is {today()} in UTC")
    return day


class Command(OperatorCommand):
    help = "Credit the allowance of a UTC day to every user with an active or trialing subscription, once."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=past_day, metavar="D", help="the UTC day, such as one missed (today)")

    def run(self, **options: Any) -> Report:
        day = options["date"] or today()
        with self.progress(f"Allowances of {day}") as bar:
            given = give_allowances(
                day, by="reset_daily_battery", advance=lambda users: bar.advance(bar.task_ids[0], users)
            )
        for missed, users in sorted(given.missed.items()):
            self.remark(
                f"{missed} was missed by {counted(users, 'user')}: give it by reset_daily_battery --date {missed}"
            )
        for problem in given.problems:
            self.remark(problem)
        return Report(_data(given), _counts(given), _error(given))


def _data(given: Allowances) -> dict[str, Any]:
    return {
        "date": str(given.day),
        "credited": given.credited,
        "units": given.units,
        "given_before": given.given,
        "without_allowance": given.nothing,
        "missed": [{"date": str(day), "users": users} for day, users in sorted(given.missed.items())],
        "problems": given.problems,
    }


def _counts(given: Allowances) -> str:
    return (
        f"{given.day}: {counted(given.units, 'unit')} to {counted(given.credited, 'user')}; "
        f"{given.given:,} had theirs before, "
        f"{given.nothing:,} have no allowance."
    )


def _error(given: Allowances) -> str | None:
    if not given.problems:
        return None
    return f"{counted(len(given.problems), 'user')} could not be credited; the first: {given.problems[0]}"
