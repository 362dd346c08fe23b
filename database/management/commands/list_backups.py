"""Lists the backups that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from database.backup_files import backups_at
from database.backup_sqlite import BackupError
from database.commands import OperatorCommand, Report
from database.words import counted


class Command(OperatorCommand):
    help = "List the backups that are kept: age, size, rows, schema version, and when each was verified."
    local = False

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--storage", metavar="ADDRESS", help="a folder or another address than BACKUP_STORAGE")

    def run(self, **options: Any) -> Report:
        try:
            backups = backups_at(options["storage"] or settings.BACKUP_STORAGE)
            records, unrecorded = backups.records(), backups.unrecorded()
        except BackupError as error:
            return Report({"backups": []}, "", error=str(error))
        now = datetime.now(UTC)
        shown = [{**record, "age_seconds": int(_age(record, now).total_seconds())} for record in records]
        data = {"backups": shown, "unrecorded": unrecorded, "storage": backups.place.text}
        size = sum(record["bytes"] for record in records)
        counts = f"{counted(len(records), 'backup')} in {backups.place.text}, {_size(size)}."
        return Report(data, counts, lines=list(_lines(records, unrecorded, now)))


def _age(record: dict[str, Any], now: datetime) -> timedelta:
    return now - datetime.fromisoformat(record["created_at"])


def _lines(records: list[dict[str, Any]], unrecorded: list[str], now: datetime) -> Iterator[str]:
    for record in records:
        version = "?" if record["schema_version"] is None else record["schema_version"]
        verified = record["verified_at"] or ("damaged" if record.get("problems") else "never")
        kinds = [kind for kind in ("encrypted", "anonymized", "partial") if record[kind]]
        parts = [
            record["backup"].ljust(41),
            f"{_words(_age(record, now)):>9} old",
            f"{_size(record['bytes']):>9}",
            f"{record['rows']:>12,} rows",
            f"version {version}",
            f"verified {verified}",
        ]
        yield "  ".join([*parts, *kinds])
    for name in unrecorded:
        yield f"{name}: without a record, so not listed; verify_backup looks whether it is whole, and records it."


def _words(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _size(count: int) -> str:
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
