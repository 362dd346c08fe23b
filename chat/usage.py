"""The daily summaries of usage, rebuilt from the calls themselves, for whole days.

Everything is computed in the database: however many calls there are, none of them travels. A portion of days is one
transaction, which reads the calls and writes the rows, so that a call that comes meanwhile counts wholly or not at all.

A user's day is one row. Where the OmniChat app has made it, it keeps its id and gets the right figures; where there are
several, one of the app's stays; where there is none, one is made whose id comes from the user and the day. The row of a
day without calls is set to zero: no row that stands alone is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connections

from database.router import OMNICHAT
from database.transactions import Step, run_batch

#: Calls of one transaction, if they are of several days.
PORTION = 20_000

# Of a call without a date the moment at which it was written, which may be Unix seconds. The form is that of the index.
_MOMENT = (
    "CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') "
    "ELSE strftime('%%Y-%%m-%%d %%H:%%M:%%f', created_at, 'unixepoch') END"
)
_DAY = f"substr(CASE WHEN date IS NULL THEN {_MOMENT} ELSE date END, 1, 10)"
_IN = f"(date >= %s AND date < %s OR date IS NULL AND {_MOMENT} >= %s AND {_MOMENT} < %s)"
_DAYS = f"""
SELECT {_DAY} AS day, count(*) FROM api_usage WHERE user_id IS NOT NULL AND {_IN}
GROUP BY day HAVING day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' ORDER BY day
"""  # noqa: S608
_TOTALS = f"""
WITH calls AS (
  SELECT user_id, {_DAY} AS day, coalesce(model, '') AS model, count(*) AS calls,
    sum(CASE WHEN typeof(battery_used) = 'integer' THEN battery_used ELSE 0 END) AS units
  FROM api_usage WHERE user_id IS NOT NULL AND {_IN} GROUP BY 1, 2, 3
), totals AS (
  SELECT user_id, day, sum(units) AS units, sum(calls) AS calls,
    coalesce(json_group_object(model, calls) FILTER (WHERE model <> ''), '{{}}') AS models
  FROM calls GROUP BY 1, 2
)
"""  # noqa: S608
_NOW = "strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now')"
_OURS = "'usage:' || s.user_id || ':' || substr(s.date, 1, 10)"
_UNITE = f"""
DELETE FROM daily_usage_summary AS s WHERE date >= %s AND date < %s AND EXISTS (
  SELECT 1 FROM daily_usage_summary o WHERE o.user_id = s.user_id AND substr(o.date, 1, 10) = substr(s.date, 1, 10)
  AND o.id <> s.id AND o.id <> {_OURS} AND (s.id = {_OURS} OR o.id < s.id)) RETURNING 1
"""  # noqa: S608
# The app writes the models in the order in which they were first used.
_MODELS = """
CASE WHEN json_valid(s.models_used) THEN (SELECT json_group_object(coalesce(key, '') || '', value)
  FROM (SELECT key, value FROM json_each(s.models_used) ORDER BY key)) END
"""
_CORRECT = f"""
{_TOTALS}
UPDATE daily_usage_summary AS s
SET total_battery_used = t.units, total_messages = t.calls, models_used = t.models, updated_at = {_NOW}
FROM totals t
WHERE s.user_id = t.user_id AND s.date >= %s AND s.date < %s AND substr(s.date, 1, 10) = t.day
  AND (s.total_battery_used IS NOT t.units OR s.total_messages IS NOT t.calls
    OR s.models_used IS NOT t.models AND {_MODELS} IS NOT t.models)
RETURNING 1
"""  # noqa: S608
_CLEAR = f"""
{_TOTALS}
UPDATE daily_usage_summary
SET total_battery_used = 0, total_messages = 0, models_used = '{{}}', updated_at = {_NOW}
WHERE date >= %s AND date < %s
  AND (total_battery_used IS NOT 0 OR total_messages IS NOT 0 OR models_used IS NOT '{{}}')
  AND (user_id, substr(date, 1, 10)) NOT IN (SELECT user_id, day FROM totals)
RETURNING 1
"""  # noqa: S608
_ADD = f"""
{_TOTALS}
INSERT INTO daily_usage_summary
  (id, user_id, date, total_battery_used, total_messages, models_used, created_at, updated_at)
SELECT 'usage:' || t.user_id || ':' || t.day, t.user_id, t.day, t.units, t.calls, t.models, {_NOW}, {_NOW}
FROM totals t WHERE NOT EXISTS (
  SELECT 1 FROM daily_usage_summary s
  WHERE s.user_id = t.user_id AND s.date >= %s AND s.date < %s AND substr(s.date, 1, 10) = t.day)
ON CONFLICT (id) DO NOTHING
RETURNING 1
"""  # noqa: S608
_COUNT = "SELECT count(*) FROM daily_usage_summary WHERE date >= %s AND date < %s"


@dataclass
class Summaries:
    """What a rebuild found: `days` that have calls, summary `rows` of these days, and how many of them were wrong."""

    days: int = 0
    rows: int = 0
    added: int = 0
    corrected: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Portion:
    """The days from `first` to before `end`, of which `days` have calls."""

    first: date
    end: date
    days: int


def summarize_usage(
    since: date | None, before: date, *, advance: Callable[[int, int, date], None] = lambda done, total, day: None
) -> Summaries:
    """Rebuild the summaries of the days from `since` (None: the first that has calls) to before `before`.

    Run twice, by two at once, or after a kill, it leaves the same rows. `advance` gets the days done, all days, and the
    first day that is still to do. A request for the list of days on D1, then one for each portion of days.
    """
    found = Summaries()
    days = _days_with_calls(since, before)
    found.days = len(days)
    done = 0
    for portion in _portions(days, since, before):
        _rebuild(portion, found)
        done += portion.days
        advance(done, found.days, portion.end)
    return found


def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def _days_with_calls(since: date | None, before: date) -> list[tuple[date, int]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_DAYS, _bounds(since or date.min, before) * 2)
        return [(day, calls) for text, calls in cursor.fetchall() if (day := _day(text))]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _portions(days: list[tuple[date, int]], since: date | None, before: date) -> Iterator[Portion]:
    """Days between those with calls belong to the portion before: their rows, if any, are wrong."""
    if not days:
        if since is not None:
            yield Portion(since, before, 0)
        return
    first, number, held = since or days[0][0], 0, 0
    for day, calls in days:
        if number and held + calls > PORTION:
            yield Portion(first, day, number)
            first, number, held = day, 0, 0
        number, held = number + 1, held + calls
    yield Portion(first, before, number)


def _rebuild(portion: Portion, found: Summaries) -> None:
    own = _bounds(portion.first, portion.end)
    steps: list[Step] = [(_UNITE, own), *((sql, own * 3) for sql in (_CORRECT, _CLEAR, _ADD)), (_COUNT, own)]
    united, corrected, cleared, added, [(rows,)] = run_batch(connections[OMNICHAT], steps)
    found.removed += len(united)
    found.corrected += len(corrected) + len(cleared)
    found.added += len(added)
    found.rows += rows


def _bounds(first: date, end: date) -> list[str]:
    return [first.isoformat(), end.isoformat()]
