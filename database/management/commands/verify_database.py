"""Verifies OmniChat's database and prints users beside their subscriptions."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import Error, connections

from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.migrations import MigrationError, read_migrations
from database.read_only import read_only
from database.router import OMNICHAT
from database.verification import CheckFailed, Verification, verify
from database.words import counted


class Command(OperatorCommand):
    help = "Compare OmniChat's database with what the migrations make, and check its rows. Reads only."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--clerk", action="store_true", help="ask Clerk whether the users exist")
        parser.add_argument("--thorough", action="store_true", help="check every index against its table, too")
        parser.add_argument("--limit", type=_count, default=20, metavar="N", help="rows to print of a list (20)")

    def run(self, **options: Any) -> Report:
        requested = ["clerk"] if options["clerk"] else []
        try:
            migrations = read_migrations(Path(settings.SQL_MIGRATIONS_DIR))
            with read_only() as connection, self.progress("Verifying") as bar:
                found = verify(
                    connection,
                    migrations,
                    limit=options["limit"],
                    requested=requested,
                    thorough=options["thorough"],
                    watch=lambda count: bar.advance(bar.task_ids[0], count),
                )
        except (MigrationError, CheckFailed) as error:
            return _unread(str(error))
        except Error as error:
            return _unread(sentence(error, connections[OMNICHAT]))
        return Report(_data(found), _counts(found), _error(found), list(_lines(found, options["limit"])))


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError(f"{text!r} is no whole number from 0 on, of nine digits at the most")
    return int(text)


def _data(found: Verification) -> dict[str, Any]:
    data = {
        "ok": found.ok,
        "schema_version": found.schema_version,
        "tables": found.tables,
        "drift": [each.as_dict() for each in found.schema.drift],
        "more": [each.as_dict() for each in found.schema.more],
        "pending": [{"version": each.version, "name": each.name} for each in found.pending],
        "checksums": found.checksums,
        "foreign_key_violations": found.violations,
        "violating_rows": found.violating,
        "integrity": found.integrity,
        "odd_values": [each.as_dict() for each in found.oddities],
        "mismatches": [],
        "problems": found.problems,
    }
    for finding in found.findings:
        data |= finding.data
    return data


def _unread(problem: str) -> Report:
    return Report(_data(Verification(problems=[problem])), "", error=problem)


def _error(found: Verification) -> str | None:
    if found.ok:
        return None
    return "; ".join(found.problems)[:1].upper() + "; ".join(found.problems)[1:] + "."


def _counts(found: Verification) -> str:
    rows = sum(found.tables.values())
    return (
        f"OK: version {found.schema_version}, {counted(len(found.tables), 'table')}, {counted(rows, 'row')}, no drift, "
        "no broken key, no odd value."
    )


def _lines(found: Verification, limit: int) -> Iterator[str]:
    width = max((len(name) for name in found.tables), default=0)
    for name, count in found.tables.items():
        yield f"{name.ljust(width)}  {count:>12,} {'row' if count == 1 else 'rows'}"
    yield from _section("Drift", [str(each) for each in found.schema.drift], limit)
    yield from _section("More than the migrations make, which is no error", map(str, found.schema.more), limit)
    yield from _section("Not recorded as applied", map(str, found.pending), limit)
    checksums = (f"{each['version']:04} {each['name'] or ''}: {each['problem']}" for each in found.checksums)
    yield from _section("schema_version", checksums, limit)
    yield from _section("Damage", found.integrity, limit)
    violating = [f"{each['table']} row {each['rowid']}: none such in {each['parent']}" for each in found.violating]
    yield from _section("Foreign keys", violating, limit, found.violations)
    yield from _section("Odd values", map(str, found.oddities), limit)
    for finding in found.findings:
        yield ""
        yield from finding.lines


def _section(title: str, lines: Iterable[str], limit: int, total: int | None = None) -> Iterator[str]:
    shown = list(lines)
    if shown:
        count = len(shown) if total is None else total
        yield f"\n{title}: {count:,}"
        yield from (f"  {line}" for line in shown[:limit])
        if count > limit:
            yield f"  and {count - limit:,} more: see --limit and --json"
