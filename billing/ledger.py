"""The ledger: the one way by which an entry comes into `battery_transactions`, and a balance changes.

An entry and its change of `user_battery.total_balance` are one transaction, on D1 one batch and one request. The id of
an entry comes from its cause, so that the same cause twice is one entry, whoever posts it and however often.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from itertools import islice
from typing import Any

import orjson
from django.db import connections

from billing import ledger_settled, ledger_sql
from billing.ledger_settled import Settlement
from billing.models import TransactionType
from d1.errors import OutcomeUnknown
from database.audit import Actor
from database.audit import entry as audit_entry
from database.router import OMNICHAT
from database.transactions import Step, run_batch

#: So often a call is sent again whose answer was lost. Nine at the most: the number is one digit of a mark.
ATTEMPTS = 8
PAUSE_SECONDS = 0.05
# D1 takes texts of 2,000,000 bytes; entries beyond go into another statement of the same transaction.
PIECE_BYTES = 1_500_000
#: Units that one entry may move, far from where whole numbers of JavaScript end.
LARGEST = 1_000_000_000_000


class Short(Enum):
    """What happens to a debit that is larger than the balance."""

    REFUSE = "refuse"
    CLIP = "clip"  # what is there is taken, and `asked` in the metadata is what should have been
    ALLOW = "allow"  # the balance goes under zero, and `overdrawn` in the metadata says so


#: The policy for debits of each type. Usage has happened already; what is taken back is never more than is there.
POLICIES: Mapping[str, Short] = {
    TransactionType.USAGE: Short.ALLOW,
    TransactionType.REFUND: Short.CLIP,
    TransactionType.BONUS: Short.CLIP,
    TransactionType.PURCHASE: Short.REFUSE,
    TransactionType.SUBSCRIPTION: Short.REFUSE,
}


@dataclass(frozen=True)
class Entry:
    """What is to be posted. `amount` in units, + for a credit, - for a debit.

    `id` is derived from the cause (`grant:...`, `invoice:in_...`, `allowance:USER:DATE`). Its time is that of the
    transaction: the order of a ledger is the order in which balances were made. `audit` goes into its row of the audit
    log alone, which the OmniChat app shows to nobody. `settlement` says how else its cause may be settled. With
    `unless_reset_on` it is refused where `last_daily_reset` is that day by then. Raises ValueError.
    """

    id: str
    user_id: str
    type: TransactionType
    amount: int
    payment_intent: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    short: Short | None = None
    settlement: Settlement | None = None
    audit: Mapping[str, Any] = field(default_factory=dict)
    unless_reset_on: date | None = None

    def __post_init__(self) -> None:
        if not self.id or not self.user_id:
            raise ValueError("An entry needs the id of its cause and a user.")
        if not self.amount or abs(self.amount) > LARGEST:
            raise ValueError(f"An entry moves 1 to {LARGEST:,} units, not {self.amount:,}.")
        TransactionType(self.type)

    @property
    def policy(self) -> Short:
        return self.short or POLICIES[self.type]


class State(Enum):
    POSTED = "posted"
    REPEATED = "repeated"  # the cause had its entry already
    TAKEN = "taken"  # the id belongs to an entry of another user or type
    REFUSED = "refused"  # a debit larger than the balance, or an allowance of a day that the app has given
    NOTHING = "nothing"  # a debit clipped to nothing: the balance is 0 or less
    BY_APP = "credited by the app"  # a row of the app's counts for the cause: `settled_by`
    UNKNOWN_USER = "unknown user"
    UNREADABLE = "unreadable"  # total_balance is no whole number, or beyond 2^53


@dataclass(frozen=True)
class Outcome:
    """What became of an entry. `amount` and `balance_after` are those of the row, else 0 and the present balance."""

    entry: Entry
    state: State
    amount: int
    balance_after: Any
    settled_by: str | None = None

    @property
    def is_posted(self) -> bool:
        return self.state is State.POSTED


def post(entries: Iterable[Entry], *, by: Actor, then: Sequence[Step] = (), **audit_metadata: Any) -> list[Outcome]:
    """Post entries in one transaction, each with its balance and its row in the audit log; the outcome of each.

    On D1 it is one request. Thousands of users go in one statement; several entries of one user are posted in their
    order, each in a statement of its own. `user_battery` is made for who lacks it. `then` are statements of the same
    transaction, run after the entries; `audit_metadata` goes into each audit row beside `by`, `before` and `after`.

    Where D1's answer is lost, the call is sent again; after `ATTEMPTS` it raises `OutcomeUnknown`, and may be repeated
    by the caller with the same ids. Never part of another transaction. Without entries nothing runs, `then` neither.
    """
    asked = list(entries)
    if not asked:
        return []
    mark = uuid.uuid4().hex
    extra: dict[str, Any] = audit_entry("battery.post", by=by, user_id=None, **audit_metadata).metadata or {}
    pieces = list(_pieces({entry.id: entry for entry in reversed(asked)}, asked))

    def steps(attempt: int) -> list[Step]:
        # A mark of its own for each attempt: rows of an earlier one must not move the balance again.
        own = f"{mark}.{attempt}"
        return [step for number, piece in enumerate(pieces) for step in _steps(piece, own, mark, number, extra)]

    answers = iter(send(lambda attempt: [*steps(attempt), *then]))
    rows = [list(islice(answers, _count(piece))) for piece in pieces]
    return _outcomes(asked, pieces, rows)


def foresee(entries: Iterable[Entry]) -> list[Outcome]:
    """What `post` would make of entries now. Writes nothing; one request on D1."""
    asked = list(entries)
    if not asked:
        return []
    pairs = orjson.dumps([(entry.id, entry.user_id) for entry in asked]).decode()
    settling = orjson.dumps([_settlement(entry, entry.settlement) for entry in asked if entry.settlement]).decode()
    found, rows, noted = run_batch(
        connections[OMNICHAT],
        [
            (ledger_settled.FOUND, [settling]),
            (ledger_sql.OUTCOMES, [uuid.uuid4().hex, pairs]),
            (ledger_settled.SETTLED, [pairs]),
        ],
    )
    by_app, by_place = dict(found), {int(row[0]): row[1:] for row in rows}
    notes = {int(row[0]): row[1:] for row in noted}
    moved: dict[str, int] = {}
    outcomes = []
    for place, entry in enumerate(asked):
        outcome = _outcome(entry, *by_place[place], note=notes.get(place))
        if outcome.state in (State.NOTHING, State.REFUSED) and place not in notes:
            outcome = _foreseen(entry, outcome.balance_after + moved.get(entry.user_id, 0), by_app.pop(entry.id, None))
            by_app = {id: row for id, row in by_app.items() if row != outcome.settled_by}
            moved[entry.user_id] = moved.get(entry.user_id, 0) + outcome.amount
        outcomes.append(outcome)
    return outcomes


def _foreseen(entry: Entry, balance: int, settled_by: str | None) -> Outcome:
    if settled_by:
        return Outcome(entry, State.BY_APP, 0, balance, settled_by)
    clips = entry.policy is Short.CLIP
    amount = max(entry.amount, -max(balance, 0)) if clips else entry.amount
    if not amount or (amount < 0 and entry.policy is Short.REFUSE and balance + amount < 0):
        return Outcome(entry, State.NOTHING if clips else State.REFUSED, 0, balance)
    return Outcome(entry, State.POSTED, amount, balance + amount)


def send(steps: Callable[[int], list[Step]]) -> list[list[tuple[Any, ...]]]:
    """Run the steps of an attempt (1, 2, ...) in one transaction, and again where the answer was lost; their rows."""
    for attempt in range(1, ATTEMPTS):
        try:
            return run_batch(connections[OMNICHAT], steps(attempt))
        except OutcomeUnknown:
            time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
    return run_batch(connections[OMNICHAT], steps(ATTEMPTS))


def _pieces(first: Mapping[str, Entry], asked: list[Entry]) -> Iterator[list[Entry]]:
    """Entries that one statement can hold: of each user only one, and not too many bytes."""
    rounds: dict[int, list[Entry]] = {}
    turn: dict[str, int] = {}
    for entry in asked:
        if first[entry.id] is entry:
            turn[entry.user_id] = turn.get(entry.user_id, -1) + 1
            rounds.setdefault(turn[entry.user_id], []).append(entry)
    for members in rounds.values():
        yield from _by_bytes(members)


def _by_bytes(entries: list[Entry]) -> Iterator[list[Entry]]:
    piece: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(orjson.dumps([*_cells(entry), entry.audit]))
        if piece and size + length > PIECE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += length
    yield piece


def _cells(entry: Entry) -> list[Any]:
    metadata = orjson.dumps(dict(entry.metadata)).decode()
    return [
        entry.id, entry.user_id, str(entry.type), entry.amount, entry.payment_intent, metadata, entry.policy.value,
        int(entry.settlement is not None), entry.unless_reset_on,
    ]  # fmt: skip


def _settlement(entry: Entry, settlement: Settlement) -> list[Any]:
    return [
        entry.id, entry.user_id, entry.amount, entry.payment_intent, entry.policy.value, *settlement.cells(),
        entry.audit,
    ]  # fmt: skip


def _steps(piece: list[Entry], own: str, mark: str, number: int, extra: Mapping[str, Any]) -> list[Step]:
    cells = orjson.dumps([_cells(entry) for entry in piece]).decode()
    pairs = orjson.dumps([(entry.id, entry.user_id) for entry in piece]).decode()
    told = orjson.dumps([(entry.id, entry.user_id, entry.audit) for entry in piece]).decode()
    posting = [
        (ledger_sql.INSERT, [cells, own]),
        (ledger_sql.UPSERT, [pairs, f'"{own}"']),
        (ledger_sql.AUDIT, [f"{own}.{number}.", orjson.dumps(extra).decode(), told, f'"{own}"']),
        (ledger_sql.OUTCOMES, [mark, pairs]),
    ]
    settling = [_settlement(entry, entry.settlement) for entry in piece if entry.settlement]
    if not settling:
        return posting
    noted = (ledger_settled.NOTE, [orjson.dumps(settling).decode(), orjson.dumps(extra).decode()])
    return [noted, *posting, (ledger_settled.SETTLED, [pairs])]


def _count(piece: list[Entry]) -> int:
    """So many are the steps of a piece."""
    return 6 if any(entry.settlement for entry in piece) else 4


def _outcomes(asked: list[Entry], pieces: list[list[Entry]], rows: list[list[list[tuple[Any, ...]]]]) -> list[Outcome]:
    by_id: dict[str, tuple[Any, ...]] = {}
    notes: dict[str, tuple[Any, ...]] = {}
    for piece, answers in zip(pieces, rows, strict=True):
        outcomes_at = 4 if len(answers) > 4 else 3
        by_id |= {piece[int(row[0])].id: row[1:] for row in answers[outcomes_at]}
        notes |= {piece[int(row[0])].id: row[1:] for answer in answers[5:] for row in answer}
    told: set[str] = set()
    outcomes = []
    for entry in asked:
        outcome = _outcome(entry, *by_id[entry.id], note=notes.get(entry.id))
        if entry.id in told and outcome.is_posted:
            outcome = Outcome(entry, State.REPEATED, outcome.amount, outcome.balance_after)
        told.add(entry.id)
        outcomes.append(outcome)
    return outcomes


def _outcome(
    entry: Entry, row: Any, is_mine: int, is_user: int, balance: Any, *, note: tuple[Any, ...] | None
) -> Outcome:
    """`row` is the entry's as JSON: user, type, amount, balance after; None where there is none."""
    if row is not None:
        user_id, kind, amount, after = orjson.loads(row)
        state = State.POSTED if is_mine else State.REPEATED
        return Outcome(entry, state if (user_id, kind) == (entry.user_id, entry.type) else State.TAKEN, amount, after)
    if note:
        action, settled_by = note
        by_app = action == ledger_settled.CREDITED_BY_APP
        return Outcome(
            entry, State.BY_APP if by_app else State.NOTHING, 0, balance or 0, settled_by if by_app else None
        )
    if not is_user:
        return Outcome(entry, State.UNKNOWN_USER, 0, None)
    if balance is not None and (not isinstance(balance, int) or abs(balance) >= ledger_sql.TOO_LARGE):
        return Outcome(entry, State.UNREADABLE, 0, balance)
    state = State.NOTHING if entry.policy is Short.CLIP else State.REFUSED
    return Outcome(entry, state, 0, balance or 0)
