"""The account that a Stripe customer belongs to, as OmniChat's database has it: read before Stripe is asked, and
written only if it still is so. Whoever comes second finds that, and begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
from django.db import connections

from billing.ledger import Entry, Outcome, post, send
from billing.ledger_settled import CREDITED_BY_APP, NOTHING_TAKEN
from billing.stripe_state import IN_FORCE, Plans
from database.audit import Actor
from database.audit import entry as audit_entry
from database.identifiers import is_id
from database.router import OMNICHAT
from database.transactions import Step, run_batch
from database.values import read_instant

USER = ("id", "email", "name", "avatarUrl", "stripeCustomerId", "subscriptionStatus", "subscriptionId", "tier")
SUBSCRIPTION = (
    "id", "user_id", "plan_id", "stripe_customer_id", "stripe_subscription_id", "status", "current_period_start",
    "current_period_end", "cancel_at", "canceled_at", "trial_end",
)  # fmt: skip
BATTERY = ("user_id", "daily_allowance")
_KEYS = {"users": "id", "user_subscriptions": "id", "user_battery": "user_id"}
_TOUCHED = {"users": "updatedAt", "user_subscriptions": "updated_at", "user_battery": "updated_at"}
_CREATED = {"users": "createdAt", "user_subscriptions": "created_at", "user_battery": "created_at"}
_MOMENTS = ("current_period_start", "current_period_end", "cancel_at", "canceled_at", "trial_end")
_NOW = "strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now')"
_GUARD = "the account is as it was read"
#: Who stands in the audit log.
BY = "stripe"

Row = dict[str, Any]


class Parked(Exception):
    """Nothing may be written on the word of this event before a person, or a later event, has set something right.

    The text is a sentence for staff. `tried_again`: whether time alone may bring what is missing.
    """

    def __init__(self, sentence: str, *, tried_again: bool = True) -> None:
        super().__init__(sentence)
        self.tried_again = tried_again


class Changed(Exception):
    """The account was changed between reading and writing; nothing was written."""


@dataclass
class Account:
    """Rows of the users and subscriptions that may be a customer's, and the plans."""

    customer: str | None
    users: list[Row]
    subscriptions: list[Row]
    batteries: list[Row]
    plans: Plans
    where: tuple[Any, ...] = ()

    def user(self, id: str | None) -> Row | None:
        return next((row for row in self.users if row["id"] == id), None)

    def holders(self) -> list[Row]:
        return [row for row in self.users if self.customer and row["stripeCustomerId"] == self.customer]


@dataclass(frozen=True)
class RowChange:
    """A row to be written. `before` is None where it is made."""

    table: str
    key: str
    user_id: str
    before: Row | None
    after: Row


@dataclass
class Changes:
    """What is to be written for one event or several, in one transaction. `settled` causes get no entry."""

    account: Account | None = None
    rows: list[RowChange] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    #: Invoices and payments that are not paid, by what Stripe answers.
    unpaid: set[str] = field(default_factory=set)
    #: What goes into the audit rows of these alone.
    audit: Mapping[str, Any] = field(default_factory=dict)
    #: What became of the entries.
    outcomes: list[Outcome] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.entries or self.settled)


_WHO = "stripeCustomerId = %s OR id = %s"


def read_account(customer: str | None, user_id: str | None = None) -> Account:
    """One request on D1."""
    where = [customer, user_id]
    mine = f"SELECT id FROM users WHERE {_WHO}"  # noqa: S608
    users, subscriptions, batteries, plans = run_batch(
        connections[OMNICHAT],
        [
            (f"SELECT {_names(USER)} FROM users WHERE {_WHO}", where),  # noqa: S608
            (
                f"SELECT {_names(SUBSCRIPTION)} FROM user_subscriptions "  # noqa: S608
                f"WHERE stripe_customer_id = %s OR user_id IN ({mine}) ORDER BY id",
                [customer, *where],
            ),
            (f"SELECT {_names(BATTERY)} FROM user_battery WHERE user_id IN ({mine})", where),  # noqa: S608
            (
                "SELECT id, battery_units, daily_battery, stripe_price_id_monthly, stripe_price_id_annual "
                "FROM subscription_plans",
                [],
            ),
        ],
    )
    return Account(
        customer,
        [dict(zip(USER, row, strict=True)) for row in users],
        [dict(zip(SUBSCRIPTION, row, strict=True)) for row in subscriptions],
        [dict(zip(BATTERY, row, strict=True)) for row in batteries],
        Plans.of_rows(plans),
        (customer, user_id),
    )


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


@dataclass(frozen=True)
class Moved:
    """Units that an entry moved, and those that it should have: fewer were there."""

    units: int
    asked: int


def moved_by(causes: Iterable[str]) -> dict[str, Moved]:
    """What the entries of causes moved, or the app's rows that count for them, of those that have one."""
    sql = f"""
        SELECT i.value, t.amount, CASE WHEN t.id = i.value THEN coalesce(t.metadata ->> 'asked', t.amount) END
        FROM json_each(%s) i JOIN battery_transactions t ON t.id = coalesce((SELECT n.resourceId FROM audit_logs n
          WHERE n.id = 'settled:' || i.value AND n.action = '{CREDITED_BY_APP}'), i.value)
        """  # noqa: S608
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, [orjson.dumps(list(causes)).decode()])
        rows = cursor.fetchall()
    return {id: Moved(units, asked or units) for id, units, asked in rows if isinstance(units, int)}


def difference(table: str, key: str, user_id: str, before: Row | None, wanted: Mapping[str, Any]) -> RowChange | None:
    """The change that brings a row to the cells of `wanted`; None where it has them already."""
    if before is None:
        return RowChange(table, key, user_id, None, dict(wanted))
    after = {name: cell for name, cell in wanted.items() if not _is_same(name, before.get(name), cell)}
    return RowChange(table, key, user_id, {name: before.get(name) for name in after}, after) if after else None


def _is_same(name: str, present: Any, wanted: Any) -> bool:
    if name in _MOMENTS and present is not None and wanted is not None:
        one, other = read_instant(present), read_instant(wanted)
        if not isinstance(one, datetime) or not isinstance(other, datetime):
            return False
        # Stripe knows whole seconds alone.
        return one.replace(microsecond=0) == other.replace(microsecond=0)
    return bool(present == wanted)


def old_allowance(account: Account, user_id: str) -> int:
    """The allowance of the plans that were in force by the rows that were read."""
    by_plan = {priced.plan.id: priced.plan.daily for priced in account.plans.by_price.values()}
    mine = [row for row in account.subscriptions if row["user_id"] == user_id and row["status"] in IN_FORCE]
    return max((by_plan.get(str(row["plan_id"]), 0) for row in mine), default=0)


def apply(changes: Changes, *, by: Actor = BY, **audit_metadata: Any) -> list[Outcome]:
    """Write all of it in one transaction, each row with its audit row. Raises Changed, where nothing was written."""
    return apply_together([changes], by=by, **audit_metadata)


def apply_together(batch: Sequence[Changes], *, by: Actor = BY, **audit_metadata: Any) -> list[Outcome]:
    """As `apply`, for several accounts: all of it or nothing."""
    entries = [replace(entry, audit={**changes.audit, **entry.audit}) for changes in batch for entry in changes.entries]
    steps = [step for changes in batch for step in (*_row_steps(changes, by, audit_metadata), *_settled_steps(changes))]
    outcomes: list[Outcome] = []
    try:
        if entries:
            outcomes = post(entries, by=by, then=steps, **audit_metadata)
        elif steps:
            send(lambda attempt: steps)
    except Exception as error:
        if _GUARD in str(error):
            raise Changed from error
        raise
    rest = iter(outcomes)
    for changes in batch:
        changes.outcomes = list(islice(rest, len(changes.entries)))
    return outcomes


def _row_steps(changes: Changes, by: Actor, audit_metadata: Mapping[str, Any]) -> list[Step]:
    if not changes.rows:
        return []
    guard = [_guard(changes.account)] if changes.account else []
    return [*guard, *map(_write, changes.rows), _audit(changes.rows, by, {**audit_metadata, **changes.audit})]


def _guard(account: Account) -> Step:
    """Fails unless the rows are still those that were read."""
    conditions, params = [], []
    customer, user_id = account.where
    mine = f"SELECT id FROM users WHERE {_WHO}"  # noqa: S608
    for table, columns, rows, where, values in (
        ("users", USER, account.users, _WHO, [customer, user_id]),
        (
            "user_subscriptions", SUBSCRIPTION, account.subscriptions,
            f"stripe_customer_id = %s OR user_id IN ({mine})", [customer, customer, user_id],
        ),
    ):  # fmt: skip
        # SQLite reads a text in JSON up to a NUL, which whoever chooses a name may have put there.
        cut = {name for row in rows for name in columns if "\0" in str(row[name])}
        there = (
            f'iif(r."{name}" IS NULL, NULL, hex(r."{name}"))' if name in cut else f'r."{name}"' for name in columns
        )
        same = " AND ".join(f"{cell} IS j.value ->> {place}" for place, cell in enumerate(there))
        conditions += [
            f"(SELECT count(*) FROM {table} WHERE {where}) = %s",  # noqa: S608
            f"(SELECT count(*) FROM json_each(%s) j JOIN {table} r ON {same}) = %s",  # noqa: S608
        ]
        cells = [[_hex(row[name]) if name in cut else row[name] for name in columns] for row in rows]
        params += [*values, len(rows), orjson.dumps(cells, default=_odd).decode(), len(rows)]
    return f"SELECT CASE WHEN {' AND '.join(conditions)} THEN 1 ELSE json_extract('{{}}', 'guard:{_GUARD}') END", params


def _hex(cell: Any) -> str | None:
    return None if cell is None else str(cell).encode().hex().upper()


def _odd(cell: Any) -> Any:
    raise Parked(f"A row of the account holds what is no text or number: {cell!r:.40}. Edit it first.")


def _write(change: RowChange) -> Step:
    key, touched = _KEYS[change.table], _TOUCHED[change.table]
    after = {name: cell for name, cell in change.after.items() if name != key}
    sets = ", ".join(f'"{name}" = %s' for name in after)
    if change.before is not None:
        sql = f'UPDATE "{change.table}" SET {sets}, "{touched}" = {_NOW} WHERE "{key}" = %s'  # noqa: S608
        return sql, [*after.values(), change.key]
    names = _names([key, *after, _CREATED[change.table], touched])
    if change.table == "user_battery":
        # The credit before it in the same transaction may have made the row, whose balance is the ledger's alone.
        sets = "daily_allowance = coalesce(nullif(excluded.daily_allowance, 0), daily_allowance)"
        again: list[Any] = []
    else:
        again = list(after.values())
    places = ", ".join(["%s"] * (len(after) + 1))
    return (
        f'INSERT INTO "{change.table}" ({names}) VALUES ({places}, {_NOW}, {_NOW}) '  # noqa: S608
        f'ON CONFLICT ("{key}") DO UPDATE SET {sets}, "{touched}" = {_NOW}',
        [change.key, *after.values(), *again],
    )


def _audit(rows: list[RowChange], by: Actor, audit_metadata: Mapping[str, Any]) -> Step:
    """One statement for the audit rows of all changes."""
    cells = []
    for row in rows:
        made = audit_entry(
            f"{row.table}.{'create' if row.before is None else 'update'}",
            by=by, user_id=row.user_id, resource_type=row.table, resource_id=row.key,
            before=row.before, after=row.after, **audit_metadata,
        )  # fmt: skip
        metadata = orjson.dumps(made.metadata).decode()
        cells.append([made.id, made.user_id, made.action, made.resource_type, made.resource_id, metadata])
    return (
        "INSERT INTO audit_logs (id, userId, action, resourceType, resourceId, metadata, createdAt) "  # noqa: S608
        "SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, "
        f"{_NOW} FROM json_each(%s)",
        [orjson.dumps(cells).decode()],
    )


def _settled_steps(changes: Changes) -> list[Step]:
    """Causes that will never have an entry: a dispute that was won before its units were held. Fails if one has."""
    sql = f"""
        INSERT INTO audit_logs (id, userId, action, resourceType, resourceId, metadata, createdAt)
        SELECT 'settled:' || (a.value ->> 0), a.value ->> 1, %s, 'battery_transactions', a.value ->> 0,
          json_object('by', json_object('name', %s), 'cause', a.value ->> 0), {_NOW}
        FROM json_each(%s) a WHERE true
        ON CONFLICT (id) DO NOTHING
        """  # noqa: S608
    there = "EXISTS (SELECT 1 FROM json_each(%s) a JOIN battery_transactions t ON t.id = a.value ->> 0)"
    settled = orjson.dumps(changes.settled).decode()
    guard = f"SELECT CASE WHEN {there} THEN json_extract('{{}}', 'guard:{_GUARD}') END"
    return [(guard, [settled]), (sql, [NOTHING_TAKEN, BY, settled])] if changes.settled else []


def check_customer_id(customer: str | None) -> None:
    if customer is not None and not is_id("cus", customer):
        raise Parked(f"{customer!r:.60} is no id of a Stripe customer.", tried_again=False)
