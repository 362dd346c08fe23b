"""Who is to be granted something: users by id or email, with their balances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connections

from billing.ledger_sql import TOO_LARGE
from database.router import OMNICHAT

#: Names that one query asks for.
PORTION = 1000
_FIND = """
SELECT i.value, u.id, u.email, b.total_balance FROM json_each(%s) i JOIN users u ON u.id = i.value
LEFT JOIN user_battery b ON b.user_id = u.id
UNION ALL
SELECT i.value, u.id, u.email, b.total_balance FROM json_each(%s) i JOIN users u ON u.email = i.value COLLATE NOCASE
LEFT JOIN user_battery b ON b.user_id = u.id
"""


@dataclass(frozen=True)
class Recipient:
    """`balance` in units, as it is stored; None where there is no battery yet."""

    id: str
    email: str
    balance: Any

    @property
    def units(self) -> int:
        return self.balance if self.is_readable and self.balance else 0

    @property
    def is_readable(self) -> bool:
        """Whether the ledger can count on from this balance."""
        return self.balance is None or (type(self.balance) is int and abs(self.balance) < TOO_LARGE)


def find(names: Iterable[str]) -> dict[str, list[Recipient]]:
    """The users that each name means: an id, or an email in whatever case. Two emails may differ in case alone.

    One query for each thousand names.
    """
    wanted = list(dict.fromkeys(name for name in names if name))
    found: dict[str, dict[str, Recipient]] = defaultdict(dict)
    for start in range(0, len(wanted), PORTION):
        some = wanted[start : start + PORTION]
        emails = [name for name in some if "@" in name]
        for name, user_id, email, balance in _rows(some, emails):
            found[name].setdefault(user_id, Recipient(user_id, str(email or ""), balance))
    return {name: _exact(name, list(users.values())) for name, users in found.items()}


def find_one(name: str) -> Recipient | None:
    """The user of an id or an email, if there is just one. One query."""
    users = find([name]).get(name, [])
    return users[0] if len(users) == 1 else None


def _exact(name: str, users: list[Recipient]) -> list[Recipient]:
    return [user for user in users if name in (user.id, user.email)] or users


def _rows(names: list[str], emails: list[str]) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(_FIND, [orjson.dumps(names).decode(), orjson.dumps(emails).decode()])
        return list(cursor.fetchall())
