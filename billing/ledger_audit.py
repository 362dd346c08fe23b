"""The audit of all ledgers: against themselves, against the balances, and usage against what the calls cost.

One pass over the users in order of their ids, some thousand rows at a time, whatever the size of the tables. Others
write meanwhile, so whoever seems to be wrong is read again, all of it in one transaction, and only what is found then
counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
from django.db import connections

from billing.ledger_chain import Book, Finding
from billing.ledger_correction import SETTLED, correct
from database.audit import Actor
from database.instants import EXPRESSION
from database.router import OMNICHAT
from database.transactions import is_d1, run_batch
from database.values import read_day

#: Rows of each table that are read together, and those of the one user more who begins among them.
PAGE_ROWS = 20_000
#: Entries of one answer of D1, which comes whole: more than a page has, unless one user alone has more.
ANSWER_ROWS = 2 * PAGE_ROWS
#: Users that are read again together.
AGAIN = 200

# Ids that are BLOBs come after all texts; _NOBODYS tells of them.
_RANGE = "user_id > %s AND user_id < x'' AND (%s IS NULL OR user_id <= %s)"
_AT_ONCE = "user_id IN (SELECT value FROM json_each(%s))"
_MOMENT = EXPRESSION.format(c="created_at")
_LEDGER = f"""
SELECT user_id, {_MOMENT}, id, type, amount, balance_after, CASE WHEN type <> 'usage' THEN metadata END
FROM battery_transactions WHERE {{where}} ORDER BY user_id, {_MOMENT}, id
"""  # noqa: S608
_AFTER = f"""{{where}} AND (user_id > %s OR user_id = %s AND (
  coalesce({_MOMENT}, '') > %s OR coalesce({_MOMENT}, '') = %s AND id > %s))"""
_BATTERY = "SELECT user_id, coalesce(total_balance, 0) FROM user_battery WHERE {where}"
_CALLS = """
SELECT user_id, substr(coalesce(date, created_at), 1, 10), sum(battery_used) FROM api_usage WHERE {where} GROUP BY 1, 2
"""
_SUMMARIES = """
SELECT user_id, substr(date, 1, 10), sum(total_battery_used) FROM daily_usage_summary WHERE {where} GROUP BY 1, 2
"""
_READS = (_BATTERY, _CALLS, _SUMMARIES, _LEDGER)
_TABLES = ("battery_transactions", "user_battery", "api_usage", "daily_usage_summary")
_BOUND = "(SELECT user_id FROM {} WHERE user_id > %s AND user_id < x'' ORDER BY user_id LIMIT 1 OFFSET %s)"
_BOUNDS = f"SELECT {', '.join(map(_BOUND.format, _TABLES))}"
# In the order of the index of the intents, a page at a time: D1 ends what takes longer than 30 s.
_PAID = """
SELECT stripe_payment_intent_id, rowid, type, amount, user_id, id FROM battery_transactions
WHERE stripe_payment_intent_id >= %s AND (stripe_payment_intent_id > %s OR rowid > %s)
ORDER BY stripe_payment_intent_id, rowid LIMIT %s
"""
_NOBODYS = "SELECT id FROM battery_transactions WHERE user_id IS NULL OR user_id = '' OR user_id >= x''"

Days = dict[str, dict[str, int]]


@dataclass
class Audit:
    """`users` are those who have a ledger or a battery."""

    users: int = 0
    rows: int = 0
    drift: list[Finding] = field(default_factory=list)


def audit_ledgers(advance: Callable[[int], None] = lambda rows: None) -> Audit:
    """Walk every ledger. Memory is that of a page and of the findings. Reads only."""
    audit = Audit()
    low, more = "", True
    while more:
        bounds = _select(_BOUNDS, [low, PAGE_ROWS] * len(_TABLES))[0]
        high = min((bound for bound in bounds if bound is not None), default=None)
        suspects = _audit_page(low, high, audit, advance)
        for start in range(0, len(suspects), AGAIN):
            audit.drift += audit_users(suspects[start : start + AGAIN])
        low, more = high or "", high is not None
    audit.drift += _paid_twice()
    audit.drift += [Finding(None, id, "user", "a user", None) for (id,) in _select(_NOBODYS, [])]
    return audit


def audit_users(users: list[str]) -> list[Finding]:
    """The findings of these users alone, read in one transaction (on D1 one request)."""
    wanted = orjson.dumps(users).decode()
    balances, calls, summaries, ledger = run_batch(
        connections[OMNICHAT], [(sql.format(where=_AT_ONCE), [wanted]) for sql in _READS]
    )
    judged = _judge(ledger, dict(balances), _by_user(calls), _by_user(summaries))
    return [finding for _, findings in judged for finding in findings]


def _audit_page(low: str, high: str | None, audit: Audit, advance: Callable[[int], None]) -> list[str]:
    """Walk the users after `low` up to `high`; those with a finding."""
    page = [low, high, high]
    balances, calls, summaries = (_select(sql.format(where=_RANGE), page) for sql in _READS[:3])
    suspects = []
    ledger = (_by_answers if is_d1(connections[OMNICHAT]) else _streamed)(page)
    for book, findings in _judge(ledger, dict(balances), _by_user(calls), _by_user(summaries)):
        audit.users += 1
        audit.rows += book.rows
        advance(book.rows)
        if findings:
            suspects.append(book.user)
    return suspects


def _streamed(page: list[Any]) -> Iterator[tuple[Any, ...]]:
    with connections[OMNICHAT].chunked_cursor() as cursor:
        cursor.execute(_LEDGER.format(where=_RANGE), page)
        while rows := cursor.fetchmany(2000):
            yield from rows


def _by_answers(page: list[Any]) -> Iterator[tuple[Any, ...]]:
    """The same in several queries, so that one user's whole ledger does not come in one answer."""
    first, further = (f"{_LEDGER.format(where=where)} LIMIT %s" for where in (_RANGE, _AFTER.format(where=_RANGE)))
    rows = _select(first, [*page, ANSWER_ROWS])
    while rows:
        yield from rows
        user, moment, id, *_ = rows[-1]
        after = [user, user, moment or "", moment or "", id, ANSWER_ROWS]
        rows = _select(further, [*page, *after]) if len(rows) == ANSWER_ROWS else []


def _select(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall())


def _by_user(rows: Iterable[tuple[Any, ...]]) -> Days:
    days: Days = defaultdict(dict)
    for user, day, units in rows:
        days[user][str(day)] = units or 0
    return days


def _judge(
    ledger: Iterable[tuple[Any, ...]], balances: dict[str, Any], calls: Days, summaries: Days
) -> Iterator[tuple[Book, list[Finding]]]:
    """Each user's book, with all findings. `ledger` is in order; the others are taken from as users pass."""
    for user, rows in groupby(ledger, itemgetter(0)):
        yield _judged(Book(user).walk(rows), balances, calls, summaries)
    for user in [*dict.fromkeys([*balances, *calls, *summaries])]:
        yield _judged(Book(user), balances, calls, summaries)


def _judged(book: Book, balances: dict[str, Any], calls: Days, summaries: Days) -> tuple[Book, list[Finding]]:
    balance = balances.pop(book.user, None)
    used = _usage_findings(book, calls.pop(book.user, {}), summaries.pop(book.user, {}))
    return book, [*book.findings, *_balance_findings(book, balance), *used]


def _balance_findings(book: Book, balance: Any) -> Iterator[Finding]:
    if balance is None:
        if book.rows:
            yield Finding(book.user, None, "no battery", book.total, None)
    elif balance != book.total:
        found = balance if isinstance(balance, int) else str(balance)
        yield Finding(book.user, None, "balance" if book.rows else "no ledger", book.total, found)


def _usage_findings(book: Book, calls: dict[str, int], summaries: dict[str, int]) -> Iterator[Finding]:
    """Day by day: units of `usage` rows, of calls, and of the summary. Calls are what both have to be."""
    days = sorted({*book.used, *calls, *summaries})
    gaps = {day: book.used.get(day, 0) - calls.get(day, 0) for day in days}
    for day in days:
        # A call right before midnight, whose entry came after it.
        if gaps[day] and gaps.get(following := _day_after(day)) == -gaps[day]:
            gaps[day] = gaps[following] = 0
        if gaps[day]:
            yield Finding(book.user, day, "usage", calls.get(day, 0), book.used.get(day, 0))
        if summaries.get(day, 0) != calls.get(day, 0) and (day in summaries or day != _today()):
            yield Finding(book.user, day, "summary", calls.get(day, 0), summaries.get(day))


def _day_after(day: str) -> str:
    value = read_day(day)
    return str(value + timedelta(days=1)) if isinstance(value, date) and value < date.max else ""


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _paid_twice() -> Iterator[Finding]:
    """Credits of one type for one payment intent, all but the first, whoever got them."""
    for intent, rows in groupby(_paid(), itemgetter(0)):
        first: dict[Any, str] = {}
        for _, _, kind, amount, user, id in rows:
            if type(amount) is int and amount > 0 and first.setdefault(kind, id) != id:
                yield Finding(user, id, "cause", f"one entry for payment intent {intent}", f"{first[kind]} as well")


def _paid() -> Iterator[tuple[Any, ...]]:
    """All entries with a payment intent, in its order, and among equals in that of their insertion."""
    intent, rowid = "", 0
    while rows := _select(_PAID, [intent, intent, rowid, PAGE_ROWS]):
        yield from rows
        intent, rowid = rows[-1][:2]


def mend(drift: list[Finding], *, by: Actor) -> list[Finding]:
    """Write correcting entries for the findings that they settle; the findings that are left."""
    users = list(dict.fromkeys(each.user for each in drift if each.kind in SETTLED and each.user))
    still: set[Finding] = set()
    for start in range(0, len(users), AGAIN):
        portion = users[start : start + AGAIN]
        correct([finding for finding in drift if finding.user in set(portion)], by=by)
        still |= set(audit_users(portion))
    seen = {(each.user, each.kind, each.row) for each in still}
    return [each for each in drift if each.kind not in SETTLED or (each.user, each.kind, each.row) in seen]
