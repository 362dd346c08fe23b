"""Takes back what is left of expired grants."""

from __future__ import annotations

from typing import Any

from console import grant_expiry, grant_reversal, grants
from database.commands import OperatorCommand, Report


class Command(OperatorCommand):
    help = "Take back what is left of grants whose last day is over (UTC), once; and finish what a crash left undone."

    def run(self, **options: Any) -> Report:
        resumed = grants.resume() + grant_reversal.resume()
        with self.progress("Expired grants") as bar:
            done = grant_expiry.expire(advance=lambda sums: bar.update(bar.task_ids[0], completed=sums.expired))
        data = {"expired": done.expired, "units": done.units, "resumed": resumed}
        counts = f"{done.expired:,} grants expired, {done.units:,} units were taken back; {resumed:,} resumed."
        return Report(data, counts)
