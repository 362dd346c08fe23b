"""Works off the inbox of webhooks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.stripe_api import StripeTrouble
from console import inbox
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "Work off the events of Stripe and Clerk that wait in the inbox."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--retry-failed", action="store_true", help="try again at once what failed or is parked")
        parser.add_argument("--backfill", action="store_true", help="first fetch what Stripe sent and never came here")

    def run(self, **options: Any) -> Report:
        fetched = self._backfill() if options["backfill"] else 0
        if options["retry_failed"]:
            inbox.retry_failed()
        with self.progress("Events", inbox.due().count()) as bar:
            worked = inbox.work_off(advance=lambda events: bar.advance(bar.task_ids[0], events))
        left = inbox.health()
        data = {
            "processed": worked.count("processed"),
            "ignored": worked.count("ignored"),
            "failed": worked.count("failed"),
            "parked": worked.count("parked"),
            "fetched": fetched,
            "waiting": left.waiting,
        }
        return Report(data, _counts(data), _error(worked, data))

    def _backfill(self) -> int:
        try:
            with self.progress("Events at Stripe") as bar:
                return inbox.backfill(lambda events: bar.advance(bar.task_ids[0], events))
        except StripeTrouble as trouble:
            raise CommandError(str(trouble)) from trouble


def _counts(data: dict[str, int]) -> str:
    return (
        f"{data['processed']:,} processed, {data['ignored']:,} ignored, {data['failed']:,} failed, "
        f"{data['parked']:,} parked; {data['waiting']:,} wait."
    )


def _error(worked: inbox.Worked, data: dict[str, int]) -> str | None:
    if worked.stopped:
        return (
            f"{worked.stopped} {counted(data['waiting'], 'event waits, and is', 'events wait, and are')} tried again."
        )
    if data["failed"] or data["parked"]:
        return (
            f"{counted(data['failed'], 'event')} failed, {data['parked']:,} parked: the inbox in the console says why."
        )
    return None
