"""The kinds of jobs that there are. Importing this registers them; `console/apps.py` does so at the start."""

from __future__ import annotations

from datetime import UTC, date, time, timedelta
from typing import Any

from django.utils.translation import gettext_lazy

from billing.allowance import give_allowances, today
from chat.usage import summarize_usage, yesterday
from console import schedule
from console.job_pruning import prune
from console.jobs import Failure, Run, kind
from database.words import counted


@kind("battery.allowance", title="Daily allowance", permission="console.change_job")
def allowance(run: Run) -> dict[str, Any]:
    """Credit the allowance of a UTC day (`{"date": "2026-11-22"}`, today without one). Begun again, it credits once."""
    given_day = run.arguments.get("date")
    day = date.fromisoformat(given_day) if given_day else today()
    seen = 0

    def advance(users: int) -> None:
        nonlocal seen
        seen += users
        run.advance(seen, message=f"Allowances of {day}")

    given = give_allowances(day, by=run.actor or "schedule", advance=advance)
    for missed, users in sorted(given.missed.items()):
        run.log(f"{missed} was missed by {counted(users, 'user')}: give it by reset_daily_battery --date {missed}")
    if given.problems:
        for problem in given.problems[:100]:
            run.log(problem)
        raise Failure(f"{counted(len(given.problems), 'user')} could not be credited; the first: {given.problems[0]}")
    return {"date": str(day), "credited": given.credited, "units": given.units, "given_before": given.given}


schedule.register(
    "allowance",
    gettext_lazy("Daily allowance"),
    "battery.allowance",
    at=time(0, 5),
    arguments=lambda now: {"date": str(now.astimezone(UTC).date())},
)


#: Days before yesterday that the nightly rebuild looks at again: a call may be written late.
LATE_DAYS = 2


@kind("usage.summary", title="Usage summary", permission="console.change_job")
def usage_summary(run: Run) -> dict[str, Any]:
    """Rebuild the daily summaries of the days since `{"since": "2026-11-20"}`; without it of all that have calls."""
    before = yesterday() + timedelta(days=1)
    since = run.cursor or run.arguments.get("since")

    def advance(done: int, total: int, day: date) -> None:
        run.advance(done, total=total, cursor=str(day))

    return vars(summarize_usage(date.fromisoformat(since) if since else None, before, advance=advance))


schedule.register(
    "usage_summary",
    gettext_lazy("Usage summary"),
    "usage.summary",
    at=time(0, 35),
    arguments=lambda now: {"since": str(now.astimezone(UTC).date() - timedelta(days=1 + LATE_DAYS))},
)


@kind("console.pruning", title="Pruning of jobs and sessions", permission="console.change_job")
def pruning(run: Run) -> dict[str, Any]:
    return dict(prune(advance=run.advance))


schedule.register("console_pruning", gettext_lazy("Pruning of jobs and sessions"), "console.pruning", at=time(1, 5))
