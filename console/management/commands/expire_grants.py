"""Takes back what is left of expired grants."""

from __future__ import annotations

from typing import Any

from console import grant_reversal, grants, jobs
from console.models import JobState
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "Take back what is left of grants whose last day is over (UTC), once; and finish what a crash left undone."

    def run(self, **options: Any) -> Report:
        resumed = grants.resume() + grant_reversal.resume()
        with self.progress("Expired grants") as bar:
            job = jobs.run_here(
                "grants.expire", {}, by=None, progress=lambda done, total: bar.update(bar.task_ids[0], completed=done)
            )
        done = {"expired": 0, "units": 0, **(job.result or {})}
        data = {**done, "resumed": resumed}
        counts = (
            f"{counted(done['expired'], 'grant')} expired, {counted(done['units'], 'unit')} taken "
            f"back; {resumed:,} resumed."
        )
        error = None if job.state == JobState.DONE else job.error or "It was stopped: run it again."
        return Report(data, counts, error)
