"""Moments and durations added, subtracted and multiplied, to the microsecond, in D1's own SQL.

A duration is an integer, in microseconds; a moment is text. The results are those of Django's sqlite3 backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Sql = tuple[str, Sequence[Any]]

DAY = 86_400_000_000


def _micros(name: str) -> str:
    """Microseconds since 1970 (for a time alone, since 2000) of the text in a column."""
    whole = f"substr({name},1,instr({name}||'.','.')-1)"
    digits = f"substr(rtrim(substr({name},instr({name}||'.','.')+1),'Z')||'000000',1,6)"
    return f"(unixepoch({whole})*1000000+CAST({digits} AS INTEGER))"


def difference(lhs: Sql, rhs: Sql) -> Sql:
    """The microseconds from the right moment to the left one."""
    (left, left_params), (right, right_params) = lhs, rhs
    sql = f"(SELECT {_micros('l')}-{_micros('r')} FROM (SELECT {left} AS l,{right} AS r))"  # noqa: S608 - compiled SQL
    return sql, (*left_params, *right_params)


def combine(connector: str, lhs: str, rhs: str) -> str:
    """A moment or duration with a duration, or a duration with a number."""
    if connector == "*":
        return f"({lhs} * {rhs})"
    if connector == "/":
        return f"(CAST({lhs} AS REAL) / {rhs})"
    return f"(SELECT {_sum(connector)} FROM (SELECT {lhs} AS l,{rhs} AS r))"  # noqa: S608 - compiled SQL


def _sum(connector: str) -> str:
    """Of columns `l` and `r`: which of them is the duration only shows when the statement runs."""
    return (
        f"CASE WHEN typeof(l)='integer' AND typeof(r)='integer' THEN l{connector}r"
        f" WHEN typeof(l)='text' AND typeof(r)='integer' THEN {_moved('l', f'{connector}1', 'r')}"
        f" WHEN typeof(l)='integer' AND typeof(r)='text' AND '{connector}'='+' THEN {_moved('r', '+1', 'l')} END"
    )


def _moved(moment: str, sign: str, duration: str) -> str:
    """A date moved by whole days, a moment to the microsecond; a time alone has no date to move, and gives NULL."""
    days = f"(({duration}-({duration}%%{DAY}+{DAY})%%{DAY})/{DAY})"
    day = f"date({moment},({sign}*{days})||' days')"
    return (
        f"CASE WHEN substr({moment},5,1)<>'-' THEN NULL WHEN length({moment})=10 THEN {day}"
        f" ELSE {_text(f'({_micros(moment)}+({sign}*{duration}))')} END"
    )


def _text(micros: str) -> str:
    """Microseconds since 1970 as Python writes a datetime."""
    shown = "strftime('%%Y-%%m-%%d %%H:%%M:%%S',(t-f)/1000000,'unixepoch')||iif(f=0,'',format('.%%06d',f))"
    fraction = "(t%%1000000+1000000)%%1000000 AS f"
    return f"(SELECT {shown} FROM (SELECT t,{fraction} FROM (SELECT {micros} AS t)))"  # noqa: S608 - compiled SQL
