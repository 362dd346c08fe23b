"""Dates and times in D1's own SQL, with the results of the functions that Django's sqlite3 backend registers.

All take SQL and its parameters and give the same. A text of SQLite (`2026-11-22 14:03:09.123456`) and one of JavaScript
(`2026-11-22T14:03:09.123Z`) are both understood; what is no date gives NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.utils import OperationalError

from d1 import zones

Sql = tuple[str, Sequence[Any]]

# Percent signs are doubled, for the SQL still goes through Django's placeholders.
_FIELDS = {
    "year": "%%Y", "month": "%%m", "day": "%%d", "hour": "%%H", "minute": "%%M", "second": "%%S",
    "week": "%%V", "iso_year": "%%G", "iso_week_day": "%%u", "week_day": "%%w", "quarter": "%%m",
}  # fmt: skip
_DATES = {"year": "%%Y-01-01", "month": "%%Y-%%m-01", "day": "%%Y-%%m-%%d"}
_TIMES = {"hour": "%%H:00:00", "minute": "%%H:%%M:00", "second": "%%H:%%M:%%S"}


def whole(sql: str, params: Sequence[Any]) -> Sql:
    """Without the fraction of a second, which SQLite would round: 23:59:59.9996 would be the next day."""
    return f"substr({sql},1,instr({sql}||'.','.')-1)", [*params, *params]


def local(sql: str, params: Sequence[Any], tzname: str | None, stored: str | None) -> Sql:
    """A stored moment on the clock of a zone, in whole seconds. Without a zone, the stored clock."""
    seconds, doubled = whole(sql, params)
    if not tzname or not stored or tzname == stored:
        return seconds, doubled
    added = zones.shift(stored, tzname)
    # The subquery computes the moment once for all comparisons.
    shown = f"strftime('%%Y-%%m-%%d %%H:%%M:%%S',v+{added},'unixepoch')"
    return f"(SELECT {shown} FROM (SELECT unixepoch({seconds}) AS v))", doubled  # noqa: S608 - compiled SQL


def extract(lookup_type: str, sql: str, params: Sequence[Any]) -> Sql:
    """A part of a date or time as an integer. `sql` may have a fraction of a second."""
    kind = lookup_type.lower()
    if kind not in _FIELDS:
        raise OperationalError(f"Unsupported lookup type: {lookup_type!r}")
    if not sql.startswith(("substr(", "(SELECT strftime(")):
        sql, params = whole(sql, params)
    number = f"CAST(strftime('{_FIELDS[kind]}',{sql}) AS INTEGER)"
    if kind == "week_day":
        return f"({number}+1)", params
    return (f"(({number}+2)/3)", params) if kind == "quarter" else (number, params)


def trunc_date(lookup_type: str, sql: str, params: Sequence[Any]) -> Sql:
    """The first day of the period, as `2026-11-22`."""
    kind = lookup_type.lower()
    if kind == "week":
        return f"date({sql},'weekday 0','-6 days')", params
    if kind == "quarter":
        months = "((CAST(strftime('%%m',v) AS INTEGER)-1)%%3)"
        return f"(SELECT date(v,'start of month','-'||{months}||' months') FROM (SELECT {sql} AS v))", params  # noqa: S608
    if kind not in _DATES:
        raise OperationalError(f"Unsupported lookup type: {lookup_type!r}")
    return f"strftime('{_DATES[kind]}',{sql})", params


def trunc_datetime(lookup_type: str, sql: str, params: Sequence[Any]) -> Sql:
    """The beginning of the period, as `2026-11-22 14:00:00`."""
    kind = lookup_type.lower()
    if kind in _TIMES:
        return f"strftime('%%Y-%%m-%%d {_TIMES[kind]}',{sql})", params
    day, params = trunc_date(lookup_type, sql, params)
    return f"({day}||' 00:00:00')", params


def trunc_time(lookup_type: str, sql: str, params: Sequence[Any]) -> Sql:
    """The beginning of the period within its day, as `14:00:00`."""
    kind = lookup_type.lower()
    if kind not in _TIMES:
        raise OperationalError(f"Unsupported lookup type: {lookup_type!r}")
    return f"strftime('{_TIMES[kind]}',{sql})", params


def cast_date(sql: str, params: Sequence[Any]) -> Sql:
    """The day, as `2026-11-22`."""
    return f"date({sql})", params


def cast_time(sql: str, params: Sequence[Any], seconds: str, seconds_params: Sequence[Any]) -> Sql:
    """The time of day as Python writes it: with six digits of a second, or none if they are zeros."""
    digits = f"substr(rtrim(substr({sql},instr({sql}||'.','.')+1),'Z')||'000000',1,6)"
    fraction = f"replace('.'||{digits},'.000000','')"
    return f"(strftime('%%H:%%M:%%S',{seconds})||{fraction})", [*seconds_params, *params, *params]
