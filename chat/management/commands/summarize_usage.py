"""Rebuilds the daily summaries of usage."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from chat.usage import Summaries, summarize_usage, yesterday
from database.commands import OperatorCommand, Report
from database.words import counted


def begun_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; give one as 2026-11-22") from None
    if not date(1970, 1, 1) <= day <= datetime.now(UTC).date():
        raise ArgumentTypeError(f"{text} is before 1970, or has not begun yet in UTC")
    return day


class Command(OperatorCommand):
    help = "Rebuild daily_usage_summary from api_usage, for all days that are over or for those that are named."

    def add_options(self, parser: CommandParser) -> None:
        days = parser.add_mutually_exclusive_group()
        days.add_argument("--date", type=begun_day, metavar="D", help="this UTC day alone, also today")
        days.add_argument("--since", type=begun_day, metavar="D", help="from this UTC day to yesterday")

    def run(self, **options: Any) -> Report:
        since, before = options["since"], yesterday() + timedelta(days=1)
        if options["date"]:
            since, before = options["date"], options["date"] + timedelta(days=1)
        with self.progress("Days") as bar:
            found = summarize_usage(
                since,
                max(before, since or before),
                advance=lambda done, total, day: bar.update(bar.task_ids[0], completed=done, total=total),
            )
        return Report(vars(found), _counts(found))


def _counts(found: Summaries) -> str:
    return (
        f"{counted(found.days, 'day')} with calls, {counted(found.rows, 'row')}: "
        f"{found.added:,} added, {found.corrected:,} corrected, "
        f"{found.removed:,} double ones removed."
    )
