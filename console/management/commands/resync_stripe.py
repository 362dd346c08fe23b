"""Compares OmniChat with Stripe, and mends what differs."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from billing.resync.run import MANY, Wish
from billing.resync.scratch import Difference
from console.models import ResyncRun, ResyncState
from console.resync import TROUBLE, looked_at, perform
from database.commands import OperatorCommand, Report
from database.words import counted

_AGO = re.compile(r"(\d{1,6})\s*([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
#: Differences that are printed without --json.
_PRINTED = 200


def moment(text: str) -> datetime:
    """A date, a moment in UTC unless it says otherwise, or how long ago: 90m, 12h, 7d."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no moment; give one as 2026-11-22, 2026-11-22T14:00, or 12h") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found > datetime.now(UTC):
        raise ArgumentTypeError(f"{text} has not come yet; it is {datetime.now(UTC):%Y-%m-%dT%H:%M} in UTC")
    return found


class Command(OperatorCommand):
    help = "Compare OmniChat with Stripe, mend what can be mended, and list what is for a person."

    def add_options(self, parser: CommandParser) -> None:
        whom = parser.add_mutually_exclusive_group()
        whom.add_argument("--user", metavar="ID", nargs="+", action="extend", default=[], help="these users alone")
        whom.add_argument(
            "--since",
            metavar="WHEN",
            type=moment,
            help="what changed since: 12h, or 2026-11-22T14:00; over 30 days ago: everybody, and each payment since",
        )
        parser.add_argument("--dry-run", action="store_true", help="write nothing; exit 1 where something differs")
        parser.add_argument("--no-input", action="store_true", help=f"do not ask before more than {MANY} repairs")

    def run(self, **options: Any) -> Report:
        wish = Wish(tuple(sorted(set(options["user"]))), options["since"], options["dry_run"])
        found: list[Difference] = []
        try:
            with self.progress("Resync") as bar:
                run = perform(
                    wish,
                    name=self.operator(),
                    ask=self._asking(options, bar),
                    progress=lambda step, done, total: bar.update(
                        bar.task_ids[0], description=step, completed=done, total=total
                    ),
                    tell=found.append,
                )
        except TROUBLE as trouble:
            raise CommandError(str(trouble)) from trouble
        return _report(wish, run, found)

    def _asking(self, options: dict[str, Any], bar: Any) -> Callable[[int], bool]:
        def ask(repairs: int) -> bool:
            if options["no_input"]:
                return True
            if not sys.stdin.isatty():
                return False
            bar.stop()
            self.stderr.write(
                f"{counted(repairs, 'difference is', 'differences are')} to be mended. Type yes to go on: ", ending=""
            )
            return self._confirmed()

        return ask


def _report(wish: Wish, run: ResyncRun, found: list[Difference]) -> Report:
    data = {
        "calls": run.calls,
        "compared": run.compared,
        "differences": [each.as_dict() for each in found],
        "applied": run.applied,
        "left": run.left,
        "payments_since": run.payments_since.isoformat() if run.payments_since else None,
        "resync": run.pk,
    }
    lines = [_line(each) for each in found[:_PRINTED]]
    if len(found) > _PRINTED:
        lines.append(f"… and {len(found) - _PRINTED:,} more: --json has all, and so have Findings in the console.")
    lines.append(looked_at(run))
    counts = (
        f"{counted(run.compared, 'user')} compared by {counted(run.calls, 'call')}: "
        f"{counted(len(found), 'difference')}, {run.applied:,} mended, {run.left:,} left for a person."
    )
    return Report(data, counts, _error(wish, run, found), lines)


def _line(each: Difference) -> str:
    why = f" ({each.reason})" if each.reason else ""
    return f"{each.action:9} {each.kind} {each.user_id or ''} {each.subject}: {each.found} → {each.expected}{why}"


def _error(wish: Wish, run: ResyncRun, found: list[Difference]) -> str | None:
    open_ = sum(each.action == "found" for each in found)
    if run.state == ResyncState.WAITING:
        return f"{open_:,} differences can be mended, which is more than {MANY}: add --no-input to mend them all."
    if wish.dry_run and found:
        return f"{counted(len(found), 'difference was', 'differences were')} found, and nothing was written."
    if open_ and settings.STRIPE_EFFECTS == "observe":
        return f"{counted(open_, 'difference')} can be mended, but STRIPE_EFFECTS is observe: nothing was written."
    left = counted(run.left, "difference is", "differences are")
    return f"{left} left for a person: see Findings in the console." if run.left else None
