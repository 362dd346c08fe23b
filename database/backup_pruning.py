"""Which backups may go: a few of the last, of the days, the weeks and the months stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from database.archive_format import moment_of

Record = dict[str, Any]


@dataclass(frozen=True)
class Keeping:
    """How many stay: of the last ones; and of the newest of each day, ISO week and month (UTC) that has one."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


_PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "daily": lambda moment: (moment.year, moment.month, moment.day),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
}


def to_remove(records: Sequence[Record], keeping: Keeping) -> list[Record]:
    """The backups that nothing asks to keep, the oldest first.

    The newest whole one that was verified always stays, and while none was, the newest whole one does. Copies without
    personal data and of some tables are kept and counted by themselves: they stand in for no backup.
    """
    kept: set[str] = set()
    groups: dict[tuple[bool, bool], list[Record]] = {}
    for record in sorted(records, key=_moment, reverse=True):
        groups.setdefault((record["anonymized"], record["partial"]), []).append(record)
    for group in groups.values():
        kept |= _kept(group, keeping)
    if whole := groups.get((False, False)):
        verified = [record for record in whole if record["verified_at"]]
        kept.add((verified or whole)[0]["backup"])
    return [record for record in sorted(records, key=_moment) if record["backup"] not in kept]


def _kept(newest_first: list[Record], keeping: Keeping) -> set[str]:
    kept = {record["backup"] for record in newest_first[: keeping.last]}
    for name, period_of in _PERIODS.items():
        newest: dict[tuple[int, ...], str] = {}
        for record in newest_first:
            newest.setdefault(period_of(_moment(record)), record["backup"])
        kept |= set(list(newest.values())[: getattr(keeping, name)])
    return kept


def _moment(record: Record) -> datetime:
    moment = moment_of(record["backup"])
    assert moment is not None, "a record is of a file with such a name"
    return moment
