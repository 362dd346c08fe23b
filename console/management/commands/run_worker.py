"""Works off jobs, webhooks and the schedule."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from console.models import Job, JobState
from console.worker import THREADS, Worker, work_off_all
from database.commands import OperatorCommand, Report
from database.router import CONSOLE
from database.words import counted


class Command(OperatorCommand):
    help = "Work off jobs, webhooks and the schedule until it is ended by Ctrl-C or a plain kill."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--until-empty", action="store_true", help="end when nothing waits any more")
        parser.add_argument(
            "--threads", type=int, choices=range(1, 17), default=THREADS, metavar="N", help=f"jobs at once ({THREADS})"
        )

    def run(self, **options: Any) -> Report:
        begun = timezone.now()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        worked = work_off_all() if options["until_empty"] else self._work(options["threads"])
        ended = Job.objects.using(CONSOLE).filter(ended_at__gte=begun)
        failed = ended.filter(state=JobState.FAILED).count()
        data = {"worked": worked, "failed": failed}
        # A service that is ended by hand has not failed for what its jobs did.
        told = f"{counted(failed, 'job')} failed; {'its page says' if failed == 1 else 'their pages say'} why."
        error = told if failed and options["until_empty"] else None
        return Report(data, f"{counted(worked, 'job')} worked off, {failed:,} failed meanwhile.", error)

    def _work(self, threads: int) -> int:
        worker = Worker(threads)
        worker.start()
        self.remark(f"Working off jobs, {threads} at once. Ctrl-C ends it; running jobs are put back.")
        try:
            worker.join()
        except KeyboardInterrupt:
            worker.ask_to_stop()
            self.remark("Ending: jobs stop at their next step. Ctrl-C again ends it at once.")
            worker.join()
        return worker.worked
