"""What OmniChat's ledger says of payments: which causes are settled, which rows are the app's, what counts twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connections

from billing.ledger import Entry
from billing.ledger_settled import CREDITED_BY_APP, WITHIN
from billing.resync.kinds import LEAVE
from billing.resync.scratch import Difference, Scratch
from database.instants import EXPRESSION
from database.router import OMNICHAT
from database.values import read_instant

PAGE = 5000
#: Of a user's ledger: no usage, and no daily allowances, of which there are many.
CREDITS = f"""
SELECT t.user_id, t.id, t.type, t.amount, t.stripe_payment_intent_id, {EXPRESSION.format(c="t.created_at")},
  coalesce(instr(t.metadata, '"post":'), 0) > 0, t.metadata
FROM battery_transactions t
WHERE t.user_id IN (MINE) AND t.type <> 'usage' AND t.id NOT LIKE 'allowance:%%'
ORDER BY t.rowid
"""  # noqa: S608
_NOTES = """
SELECT id, userId, resourceId, action FROM audit_logs WHERE id > %s AND id < 'settled;' ORDER BY id LIMIT %s
"""
_BOUGHT = ("purchase", "subscription", "subscription_upgrade")
_STRIPE_ID = re.compile(r"\b(?:in|cs|pi|evt)_[A-Za-z0-9_]{6,}")


class Row(NamedTuple):
    user_id: str
    id: str
    type: str
    amount: Any
    intent: str | None
    moment: str | None
    is_ours: int
    metadata: str | None

    @property
    def at(self) -> datetime | None:
        found = read_instant(self.moment)
        if not isinstance(found, datetime):
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass
class Book:
    """A user's credits. `settled` are causes that are done without an entry of ours."""

    rows: list[Row] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)

    @property
    def causes(self) -> set[str]:
        return self.settled | {row.id for row in self.rows}

    def free(self) -> list[Row]:
        """Credits of the app's that no cause has taken."""
        return [
            row for row in self.rows
            if not row.is_ours and row.id not in self.taken and type(row.amount) is int and row.amount > 0
        ]  # fmt: skip

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of the entries that are not there, neither as ours nor as the app's: as the ledger itself decides."""
        free = self.free()
        left = []
        for entry in entries:
            if entry.id in self.causes:
                continue
            row = _of_app(entry, free)
            if row is None:
                left.append(entry)
            else:
                free.remove(row)
        return left

    def credits_of_periods(self) -> int:
        """Credits for whole periods, not for upgrades."""
        upgrades = {row.id for row in self.rows if '"subscription_update"' in (row.metadata or "")}
        ours = sum(cause.startswith("invoice:") for cause in self.causes - upgrades)
        return ours + sum(row.type == "subscription" and not _is_allowance(row) for row in self.free())


def _is_allowance(row: Row) -> bool:
    return '"date"' in (row.metadata or "")


def _of_app(entry: Entry, free: list[Row]) -> Row | None:
    if entry.amount < 0 or entry.settlement is None or entry.settlement.paid_at is None:
        return None
    for row in free:
        if entry.payment_intent and row.intent == entry.payment_intent:
            return row
    for row in free:
        fits = row.amount == entry.amount and row.type in entry.settlement.types
        if fits and not (row.intent and entry.payment_intent) and _is_near(row.at, entry.settlement.paid_at):
            return row
    return None


def _is_near(at: datetime | None, paid_at: datetime) -> bool:
    return at is not None and abs(at - paid_at) <= WITHIN


def keep_notes(scratch: Scratch) -> None:
    """The causes that are settled without an entry, into the scratch file: all of OmniChat's, a page at a time."""
    last = "settled:"
    while True:
        with connections[OMNICHAT].cursor() as cursor:
            cursor.execute(_NOTES, [last, PAGE])
            rows = cursor.fetchall()
        scratch.db.executemany(
            "INSERT OR REPLACE INTO notes VALUES (?, ?, ?)",
            [
                (id.removeprefix("settled:"), user, row if action == CREDITED_BY_APP else "")
                for id, user, row, action in rows
            ],
        )
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def books_of(users: Iterable[str], rows: Iterable[tuple[Any, ...]], scratch: Scratch) -> dict[str, Book]:
    books = {user: Book() for user in users}
    for cells in rows:
        if cells[0] in books:
            books[cells[0]].rows.append(Row(*cells))
    for user, book in books.items():
        for cause, row in scratch.db.execute("SELECT cause, row_id FROM notes WHERE user = ?", [user]).fetchall():
            book.settled.add(cause)
            book.taken.add(row)
    return books


def twice(user_id: str, book: Book, paid: int) -> Iterator[Difference]:
    """Payments that were credited more than once, the app's deliveries being repeated. `paid` are packs of one size.

    One cause is told by its payment intent, by Stripe's ids in the metadata, or by one size within a day.
    """
    first: dict[tuple[str, str], Row] = {}
    told: set[str] = set()
    credits = [row for row in book.rows if row.type in _BOUGHT and type(row.amount) is int and row.amount > 0]
    for row in credits:
        for key in {row.intent, *_STRIPE_ID.findall(row.metadata or "")} - {None}:
            before = first.setdefault((str(key), row.type), row)
            if before is not row and not (before.is_ours and row.is_ours) and row.id not in told:
                told.add(row.id)
                yield _twice(user_id, row, before)
    yield from _close_by(user_id, [row for row in credits if row.id not in told and not _is_allowance(row)], paid)


def _close_by(user_id: str, credits: list[Row], paid: int) -> Iterator[Difference]:
    alike: dict[tuple[str, int], list[Row]] = {}
    for row in credits:
        alike.setdefault((row.type, row.amount), []).append(row)
    for given in alike.values():
        # Ours are one for each cause; reading their dates would be a fifth of a resync's time.
        if all(row.is_ours for row in given):
            continue
        rows = sorted((row for row in given if row.at is not None), key=lambda row: str(row.moment))
        for before, row in pairwise(rows):
            differ = before.intent and row.intent and before.intent != row.intent
            if differ or (before.is_ours and row.is_ours) or not _is_near(row.at, before.at):  # type: ignore[arg-type]
                continue
            if row.type != "purchase" or paid < len(rows):
                yield _twice(user_id, row, before)


def _twice(user_id: str, row: Row, before: Row) -> Difference:
    reason = (
        "A resync takes no battery away. If it is one payment, take the second credit back by hand, as far as it is "
        "not used."
    )
    found = f"{row.amount:,} units by {before.id} and by {row.id}"
    return Difference("credited_twice", user_id, row.id, f"{row.amount:,} units once", found, LEAVE, reason)
