"""A user's ledger as it is shown: entries by page, who made each and why, and the balance day by day.

Each of these costs the same at a million entries as at ten: pages go by key, and a day's balance is one look into the
index of the user's entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson
from django.db import connections
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Value
from django.utils.translation import gettext

from billing.causes import Cause, causes_of
from billing.ledger_chain import CORRECTION
from billing.models import BatteryTransaction, TransactionType
from database.fields import JSONTextField
from database.instants import EXPRESSION, Instant
from database.models import AuditLog
from database.paging import Holds, Order, Page, Place, RowId, Unindexed, Walk
from database.router import OMNICHAT

#: Entries of a page, and of one query of an export.
PAGE, PIECE = 50, 2000
#: Entries that are looked through for those of some types.
WINDOW = 20_000
#: Newest first, and among entries of one moment by the order of insertion, which is that of their balances.
ORDER = Order("created", Instant("created_at"), tie=RowId(), field="created_at")

_MOMENT = EXPRESSION.format(c="t.created_at")
# Instants are compared as texts: all those of a day sort before the next day's name.
_SUMMARY = f"""
WITH RECURSIVE days(day) AS (SELECT %s UNION ALL SELECT date(day, '+1 day') FROM days WHERE day < %s)
SELECT u.email, b.user_id IS NOT NULL, b.total_balance, b.daily_allowance, (
  SELECT json_group_array(json_array(day, (
    SELECT t.balance_after FROM battery_transactions t
    WHERE t.user_id = asked.id AND {_MOMENT} < date(day, '+1 day') ORDER BY {_MOMENT} DESC, t.rowid DESC LIMIT 1)))
  FROM days)
FROM (SELECT %s AS id) asked LEFT JOIN users u ON u.id = asked.id LEFT JOIN user_battery b ON b.user_id = asked.id
"""  # noqa: S608


@dataclass(frozen=True)
class Summary:
    """`email` is None where there is no such user. `days` are (day, the balance that its end left; None before all)."""

    user_id: str
    email: str | None
    has_battery: bool
    balance: Any
    allowance: Any
    days: list[tuple[date, int | None]]


@dataclass(frozen=True)
class Line:
    """An entry, who made it (None: the OmniChat app), why, and what is to be noted: (css name, label, explanation)."""

    entry: Any
    by: str | None
    causes: list[Cause]
    marks: list[tuple[str, str, str]]


def summarize(user_id: str, last: date, days: int) -> Summary:
    """The user, the battery, and the balance at the end of each of the `days` up to `last`. One query."""
    first = last - timedelta(days=days - 1)
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_SUMMARY, [str(first), str(last), user_id])
        email, has_battery, balance, allowance, series = cursor.fetchone()
    closing = [(date.fromisoformat(day), after if type(after) is int else None) for day, after in orjson.loads(series)]
    return Summary(user_id, email, bool(has_battery), balance, allowance, sorted(closing))


def page_of(user_id: str, place: Place | None, *, backwards: bool) -> Page:
    """A page of the ledger. One query, or two where the rows without a date begin."""
    return Walk(ORDER, Q(user_id=user_id), place=place, backwards=backwards).page(_entries(), PAGE)


def credits_of(user_id: str, most: int) -> list[Any]:
    """The newest entries that are no usage, out of the newest `WINDOW` of the user. Two queries."""
    rest = ~Q(Holds(Unindexed(F("type")), "=", Value(TransactionType.USAGE)))
    return Walk(ORDER, Q(user_id=user_id), rest=rest, window=WINDOW).page(_entries(), most).rows


def _entries() -> QuerySet[Any]:
    """Each entry with the metadata of its row in the audit log, in the same query."""
    # The plus keeps SQLite from the index of the types, which would give it all entries of the ledger each time.
    is_ledgers = Q(Holds(Unindexed(F("resource_type")), "=", Value("battery_transactions")))
    told = AuditLog.objects.filter(is_ledgers, resource_id=OuterRef("pk")).values(told=F("metadata"))
    audit = Subquery(told[:1], output_field=JSONTextField())
    rows: QuerySet[Any] = BatteryTransaction.objects.annotate(audited=audit)
    return rows


def line_of(entry: Any) -> Line:
    return Line(entry, _by(entry), causes_of(entry), list(_marks(entry)))


def lines_of(user_id: str) -> Iterator[Line]:
    """The whole ledger, newest first, a query for each `PIECE`: memory does not grow with it."""
    place, more = None, True
    while more:
        page = Walk(ORDER, Q(user_id=user_id), place=place).page(_entries(), PIECE)
        yield from map(line_of, page.rows)
        place, more = page.place(-1), page.later


def _by(entry: Any) -> str | None:
    for told in (entry.audited, entry.metadata):
        by = told.get("by") if isinstance(told, dict) else None
        name = by.get("username") or by.get("name") if isinstance(by, dict) else by
        if isinstance(name, str) and name:
            return name
    return None


def _marks(entry: Any) -> Iterator[tuple[str, str, str]]:
    metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
    if metadata.get("overdrawn"):
        yield "failed", gettext("overdrawn"), gettext("The entry took the balance under zero.")
    elif type(entry.balance_after) is int and entry.balance_after < 0:
        yield "failed", gettext("under zero"), gettext("The balance was under zero after this entry.")
    asked = metadata.get("asked")
    if type(asked) is int:
        why = gettext("%s units were to be taken; no more were there.") % f"{-asked:,}"
        yield "warning", gettext("clipped"), why
    if str(entry.pk).startswith(CORRECTION):
        yield "requested", gettext("correction"), gettext("It gives or takes nothing: the balance was so already.")
