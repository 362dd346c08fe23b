"""Time zones as SQL: what to add to a moment to have a zone's clock.

SQLite knows no zones, so a zone's changes of offset, which Python knows, are written into the statement as a search
tree. Changes are known from 1850 to 2100; before and after, the first and the last offset hold.
"""

# django-stubs leave out this function.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db.backends.utils import split_tzname_delta

DAY = 86400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = int(datetime(1850, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())

# Offsets in seconds, each with the second from which it holds; the first holds from the beginning (None).
Steps = list[tuple[int | None, int]]


@lru_cache(maxsize=64)
def shift(stored: str, shown: str) -> str:
    """SQL in `v`, the seconds since 1970 on the clock of the zone `stored`: the seconds to the clock of `shown`."""
    name, sign, delta = split_tzname_delta(shown)
    fixed = 0
    if delta:
        hours, minutes = delta.split(":")
        fixed = (int(hours) * 60 + int(minutes)) * (60 if sign == "+" else -60)
    # As in Django's sqlite3 backend: a name that was an offset alone leaves the stored zone.
    return _tree(_shifted(_steps(stored, name or stored), fixed))


def _shifted(steps: Steps, fixed: int) -> Steps:
    """The steps for a clock that is first put forward by a fixed number of seconds."""
    return [(None if start is None else start - fixed, offset + fixed) for start, offset in steps]


def _steps(stored: str, shown: str) -> Steps:
    """What to add to the clock of one zone to have the other's. A clock put back shows its first pass (fold=0)."""
    if stored == shown:
        return [(None, 0)]
    found: Steps = []
    walls = _walls(stored)
    for number, (start, offset) in enumerate(walls):
        end = walls[number + 1][0] if number + 1 < len(walls) else None
        for begin, target in changes(shown):
            wall = None if begin is None else begin + offset
            if end is not None and wall is not None and wall >= end:
                break
            if found and start is not None and (wall is None or wall <= start):
                found = [step for step in found if step[0] is None or step[0] < start]
                wall = start
            found.append((wall, target - offset))
    return [step for number, step in enumerate(found) if number == 0 or found[number - 1][1] != step[1]]


def _walls(name: str) -> Steps:
    """A zone's offsets by its own clock."""
    steps = changes(name)
    pairs = pairwise(steps)
    later: Steps = [(at + max(before, after), after) for (_, before), (at, after) in pairs if at is not None]
    return [steps[0], *later]


@lru_cache(maxsize=64)
def changes(name: str) -> Steps:
    """A zone's offsets from UTC, each with the second since 1970 from which it holds."""
    zone = ZoneInfo(name)
    found: Steps = [(None, _offset(zone, _FIRST))]
    for day in range(_FIRST, _LAST, DAY):
        after = _offset(zone, day + DAY)
        if after != found[-1][1]:
            found.append((_moment(zone, day, day + DAY, found[-1][1]), after))
    return found


def _moment(zone: ZoneInfo, low: int, high: int, before: int) -> int:
    """The second of a change between two moments."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return high


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _tree(steps: Steps) -> str:
    """A binary search over the steps: eight comparisons a row instead of hundreds, and no deep expression."""
    if len(steps) == 1:
        return str(steps[0][1])
    middle = len(steps) // 2
    return f"iif(v<{steps[middle][0]},{_tree(steps[:middle])},{_tree(steps[middle:])})"
