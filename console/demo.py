"""Fills OmniChat's database with the accounts of the demo, and refuses a database that is anybody's in earnest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.db import connections, transaction

from billing import demo as billing
from chat import demo as chat
from chat.demo import ID_PREFIX, Account, Calendar, Rows
from chat.demo_texts import person
from console import demo_oddities
from database.router import OMNICHAT

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# In the order of their keys: a row comes after the rows that it points to.
COLUMNS = {
    **chat.COLUMNS,
    **billing.COLUMNS,
    "audit_logs": ("id", "userId", "action", "resourceType", "resourceId", "metadata", "createdAt"),
}
# Whole accounts are written together until they have so many rows.
ROWS_A_PORTION = 10_000
# On D1 a transaction is one request, which has 30 s. A SQLite file takes large ones far faster: each page of an index
# is then written once.
PORTIONS_A_TRANSACTION = {"d1": 1, "django.db.backends.sqlite3": 20}
# One statement takes its rows as one JSON parameter, which D1 limits to 2,000,000 bytes: a message has some 500.
ROWS_A_STATEMENT = 1_000
# One account has far more messages than the others, so that there is one to see a long history on.
BUSIEST = 5_000
_AFTER_PREFIX = ID_PREFIX[:-1] + chr(ord(ID_PREFIX[-1]) + 1)


class DemoRefused(Exception):
    """The database is not one for demo data; the message says why, and what to do."""


@dataclass
class Seeded:
    """Rows in the database afterwards, and how many accounts were made this time."""

    users: int
    messages: int
    added_users: int
    odd_rows: int


def seed(
    users: int,
    messages: int,
    *,
    seed: int,
    day: date,
    odd: bool = False,
    advance: Callable[[int], None] = lambda accounts: None,
) -> Seeded:
    """Makes those of the first `users` accounts that are not there yet, each whole, in one transaction with its rows.

    Accounts that are there stay as they are. The same arguments give the same rows on any database, also after an
    interruption: nothing of an account depends on what else is there. Raises DemoRefused.
    """
    refuse_what_is_no_demo()
    if not _has_tables():
        raise DemoRefused("The database has no tables yet. Run manage.py setup_database first.")
    present = _demo_users()
    if present and chat.user_id(seed, 0) not in present:
        raise DemoRefused(
            "Demo data of another seed is there already. Give that seed, or begin with an empty database."
        )
    absent = [index for index in range(users) if chat.user_id(seed, index) not in present]
    advance(users - len(absent))
    if absent:
        _refuse_others()
        _give_plans_prices()
        with _room_for_indexes():
            _make(absent, shares(users, messages, seed), seed, Calendar(day), advance)
    odd_rows = demo_oddities.add(day) if odd else 0
    return Seeded(_count("users"), _count("messages"), len(absent), odd_rows)


def refuse_what_is_no_demo() -> None:
    """Only a SQLite file, or D1's stand-in on this machine, gets demo data."""
    options = connections[OMNICHAT].settings_dict["OPTIONS"]
    api_base = options.get("api_base", "") if _engine() == "d1" else ""
    if _engine() != "django.db.backends.sqlite3" and urlsplit(api_base).hostname not in LOOPBACK:
        raise DemoRefused(
            "Demo data goes only into a SQLite file or a stand-in on this machine, and OMNICHAT_DATABASE_URL names "
            "neither. Unset it, or add --local."
        )


def refuse_other_people() -> None:
    """A database with accounts is for the demo only if some of them are the demo's. Staff may have added others."""
    if _has_tables() and not _demo_users():
        _refuse_others()


def shares(users: int, messages: int, seed: int) -> list[int]:
    """How many messages each account has: few for most, many for some, `messages` in all."""
    rng = Random(seed)  # noqa: S311 -- nothing here is a secret
    busiest = min(BUSIEST, messages // 20) if users > 1 else messages
    weights = [min(rng.paretovariate(1.2), 300.0) for _ in range(users - 1)]
    scale = (messages - busiest) / (sum(weights) or 1)
    counts = [busiest] + [int(weight * scale) for weight in weights]
    for place in range(messages - sum(counts)):
        counts[place % users] += 1
    return counts


def insert(table: str, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    """Inserts rows in few statements: on D1 by far the fastest way, and no slower than any other on SQLite."""
    values = ", ".join(f"value ->> {place}" for place in range(len(columns)))
    names = ", ".join(f'"{column}"' for column in columns)
    sql = f'INSERT INTO "{table}" ({names}) SELECT {values} FROM json_each(%s)'  # noqa: S608 -- names of ours
    with connections[OMNICHAT].cursor() as cursor:
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            cursor.execute(sql, [orjson.dumps(rows[start : start + ROWS_A_STATEMENT]).decode()])


@contextmanager
def _room_for_indexes() -> Iterator[None]:
    """SQLite keeps 2 MB of pages by default, and would fetch and write those of the indexes again and again."""
    connection = connections[OMNICHAT]
    # Neither D1 nor a block that somebody else has opened lets these be set.
    if _engine() == "d1" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        # Safe from a kill as before; a cut of power may cost the last transactions, which the next run makes again.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA cache_size=-262144")
        cursor.execute("PRAGMA wal_autocheckpoint=50000")
    try:
        yield
    finally:
        # The next one to need a connection opens it as the settings say.
        connection.close()


def _make(absent: list[int], counts: list[int], seed: int, calendar: Calendar, advance: Callable[[int], None]) -> None:
    portions = _portions(absent, counts, seed, calendar)
    for first in portions:
        with transaction.atomic(using=OMNICHAT):
            for rows in chain([first], islice(portions, PORTIONS_A_TRANSACTION[_engine()] - 1)):
                for table, columns in COLUMNS.items():
                    insert(table, columns, rows[table])
                advance(len(rows["users"]))


def _portions(absent: list[int], counts: list[int], seed: int, calendar: Calendar) -> Iterator[Rows]:
    rows: Rows = defaultdict(list)
    for index in absent:
        account = chat.account(seed, index, len(counts))
        rows["users"].append(chat.user_row(account, calendar))
        used = chat.conversations(account, calendar, counts[index], rows)
        chat.usage(account, calendar, used, rows)
        billing.books(account, calendar, used, rows)
        _audit(account, calendar, rows)
        if sum(map(len, rows.values())) >= ROWS_A_PORTION:
            yield rows
            rows = defaultdict(list)
    if rows:
        yield rows


def _audit(account: Account, calendar: Calendar, rows: Rows) -> None:
    """Support put a name right for one account in seven."""
    if account.index % 7 == 3:
        at = account.rng.randrange(account.created_at, Calendar.now)
        metadata = {"by": {"name": "support"}, "before": {"name": None}, "after": {"name": person(account.index)[0]}}
        rows["audit_logs"].append([
            account.new_id(), account.id, "users.update", "users", account.id,
            orjson.dumps(metadata).decode(), calendar.text(at),
        ])  # fmt: skip


def _engine() -> str:
    return str(connections[OMNICHAT].settings_dict["ENGINE"])


def _demo_users() -> set[str]:
    return {key for (key,) in _select("SELECT id FROM users WHERE id >= %s AND id < %s", [ID_PREFIX, _AFTER_PREFIX])}


def _refuse_others() -> None:
    others = _select("SELECT id FROM users WHERE id < %s OR id >= %s LIMIT 1", [ID_PREFIX, _AFTER_PREFIX])
    if others:
        raise DemoRefused(
            f"This database has accounts that are not of the demo ({others[0][0]} is one). Demo data goes only into "
            "a database of its own: name another file in OMNICHAT_DATABASE_URL, or move this one away."
        )


def _give_plans_prices() -> None:
    with connections[OMNICHAT].cursor() as cursor:
        for period in ("monthly", "annual"):
            column = f"stripe_price_id_{period}"
            cursor.execute(
                f"UPDATE subscription_plans SET {column} = 'price_1Qdemo' || id || '{period}' "  # noqa: S608
                f"WHERE {column} IS NULL AND id IN ('starter', 'daily', 'power', 'ultimate')"
            )


def _count(table: str) -> int:
    return int(_select(f"SELECT COUNT(*) FROM {table}", [])[0][0])  # noqa: S608 -- a name of ours


def _has_tables() -> bool:
    connection = connections[OMNICHAT]
    with connection.cursor() as cursor:
        return "users" in connection.introspection.table_names(cursor)


def _select(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
