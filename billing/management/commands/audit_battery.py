"""Compares every ledger with its balance, link by link, and usage with what calls cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from billing.ledger_audit import Audit, audit_ledgers, mend
from billing.ledger_chain import Finding
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "Walk every ledger: chains, balances, causes, signs, and usage beside calls and summaries."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="write the entries that are missing; edits none")

    def run(self, **options: Any) -> Report:
        with self.progress("Entries") as bar:
            audit = audit_ledgers(lambda rows: bar.advance(bar.task_ids[0], rows))
        left = mend(audit.drift, by="audit_battery") if options["fix"] else audit.drift
        unfixed = set(left)
        drift = [{**finding._asdict(), "fixed": finding not in unfixed} for finding in audit.drift]
        data: dict[str, Any] = {"users": audit.users, "rows": audit.rows, "drift": drift}
        if options["fix"]:
            data["fixed"] = len(audit.drift) - len(left)
        lines = [
            f"{finding}{', fixed' if told['fixed'] else ''}" for finding, told in zip(audit.drift, drift, strict=True)
        ]
        return Report(data, _counts(audit, left), _error(left), lines)


def _counts(audit: Audit, left: list[Finding]) -> str:
    fixed = len(audit.drift) - len(left)
    return (
        f"{counted(audit.users, 'user')}, {counted(audit.rows, 'entry', 'entries')}: "
        f"{counted(fixed, 'finding')} fixed, {len(left):,} left."
    )


def _error(left: list[Finding]) -> str | None:
    if not left:
        return None
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(Counter(each.kind for each in left).items()))
    return f"{counted(len(left), 'finding')} ({kinds}). docs/battery.md tells what each means and what to do."
