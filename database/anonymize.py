"""A copy without personal data, for development: what people wrote or are called is made up, keys and money stay.

The same value becomes the same made-up one, under a key that is derived from DJANGO_SECRET_KEY: who has the copy alone
cannot find out by trying which address became which. Text in a column that is not known here is made up too; a table
that is not known is left out.
"""

from __future__ import annotations

import hmac
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import orjson

from database.archive_values import Row

Change = Callable[[Any], Any]
_FIRST = """
    Ada Alan Barbara Carl Dana Edith Emil Frances Grace Hedy Ida Ivan Joan John Karen Leo Lise Maria Mary Max
    Nina Olga Otto Paul Rosa Ruth Sofia Tom Vera Walter
""".split()  # noqa: SIM905
_LAST = """
    Abbott Baker Carter Dahl Ekman Fischer Garcia Hansen Ito Jensen Kowalski Lopez Meyer Novak Olsen Park
    Quinn Rossi Sato Silva Tanaka Ueda Vogel Weber Young Zimmer
""".split()  # noqa: SIM905
_WORDS = """
    about after again always answer before below better bring build change color copy draw early every example
    field find first follow garden give green group house idea keep large learn letter light line list make
    many measure minute move name near never number often open order other page paper part place plan plant
    point question quick read river round second sentence short simple small sound start state story table
    thing think three time together tree under until water where which white word work world write year
""".split()  # noqa: SIM905
_SPACED = re.compile(r"[\s@]")
_HARMLESS = re.compile(
    r"\d{4}-\d\d-\d\d([T ][\d:.]+(Z|[+-]\d\d:?\d\d)?)?|-?\d+(\.\d+)?|[a-z]{2,12}_[A-Za-z0-9_:.-]{1,120}|[a-z_]{1,40}",
    re.ASCII,
)
#: Keys of metadata whose values are no one's words, as far as they look like an id, a date or a status.
_HARMLESS_KEYS = re.compile(
    r"(^|_)(id|ids|key|kind|type|date|day|plan|interval|cause|source|category|status|state|tier|model|currency|role|reason_code"
    r"|start|end|at|version|action|event)$"
)


class Anonymizer:
    """Makes values up. `secret` is any text; the same one gives the same values."""

    def __init__(self, secret: str) -> None:
        self._key = sha256(b"omniops.anonymize:" + secret.encode()).digest()

    def _digest(self, kind: str, value: Any) -> bytes:
        data = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
        return hmac.digest(self._key, kind.encode() + b"\0" + data, "sha256")

    def keep(self, value: Any) -> Any:
        return value

    def key(self, value: Any) -> Any:
        """An id as it is, unless it is somebody's address or name."""
        if isinstance(value, (str, bytes)) and (isinstance(value, bytes) or _SPACED.search(value)):
            return f"key_{self._digest('key', value).hex()[:32]}"
        return value

    def email(self, value: Any) -> Any:
        """Unique where the address was."""
        digest = self._digest("email", value)
        return f"{self._name(digest, '.').lower()}.{digest.hex()[:20]}@example.com"

    def name(self, value: Any) -> Any:
        return self._name(self._digest("name", value), " ")

    def _name(self, digest: bytes, between: str) -> str:
        return f"{_FIRST[digest[30] % len(_FIRST)]}{between}{_LAST[digest[31] % len(_LAST)]}"

    def url(self, value: Any) -> Any:
        return f"https://example.com/{self._digest('url', value).hex()[:20]}"

    def text(self, value: Any) -> Any:
        """Words, about as long."""
        if isinstance(value, bytes):
            return self._digest("bytes", value)
        if not isinstance(value, str) or not value:
            return value
        digest = self._digest("text", value)
        # No secret is made with it: the seed is the keyed digest.
        chosen = random.Random(digest).choices(_WORDS, k=max(1, len(value) // 6))  # noqa: S311
        return " ".join(chosen)[: max(len(value), 3)].capitalize().rstrip()

    def json(self, value: Any) -> Any:
        """JSON with the same keys, numbers, ids and dates, and other texts made up; what is no JSON is text."""
        if not isinstance(value, str):
            return self.text(value)
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return self.text(value)
        return orjson.dumps(self._inside("", found)).decode()

    def _inside(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._inside(name, each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._inside(key, each) for each in value]
        if not isinstance(value, str):
            return value
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
        if _HARMLESS_KEYS.search(words) and _HARMLESS.fullmatch(value):
            return value
        return self.email(value) if "@" in value and " " not in value else self.text(value)

    def rows(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> Iterator[Row]:
        """Rows of a known table with what is personal made up. NULL stays NULL."""
        changes = [self.change(table, column) for column in columns]
        places = [(place, change) for place, change in enumerate(changes) if change is not None]
        for row in rows:
            changed = list(row)
            for place, change in places:
                if changed[place] is not None:
                    changed[place] = change(changed[place])
            yield changed

    def change(self, table: str, column: str) -> Change | None:
        """What is done with a column; None for one that stays."""
        if table in _WHOLE or column.lower() in ("rowid", "_rowid_", "oid"):
            return None
        if not is_known(table, column):
            return self.text
        kind = _COLUMNS[table][column.lower()]
        return None if kind == "keep" else getattr(self, kind)


_WHOLE = frozenset(("schema_version", "subscription_plans", "d1_migrations", "sqlite_sequence"))
_KEYS_AND_DATES = "key:id,userid,user_id keep:createdat,updatedat,created_at,updated_at "
_TABLES = {
    "users": "email:email name:name url:avatarurl key:stripecustomerid,subscriptionid keep:subscriptionstatus,tier",
    "conversations": "text:title keep:modelid,pinned,archived,lastmessageat",
    "messages": "key:conversationid keep:role,modelid text:content json:metadata",
    "user_subscriptions": "key:plan_id,stripe_customer_id,stripe_subscription_id keep:status,current_period_start,"
    "current_period_end,cancel_at,canceled_at,trial_end,billing_interval",
    "user_battery": "keep:total_balance,daily_allowance,last_daily_reset",
    "battery_transactions": "keep:type,amount,balance_after key:stripe_payment_intent_id json:metadata",
    "api_usage": "key:conversation_id,message_id keep:model,input_tokens,output_tokens,battery_used,cached,date",
    "daily_usage_summary": "keep:date,total_battery_used,total_messages,models_used",
    "audit_logs": "keep:action,resourcetype key:resourceid json:metadata",
}


def _parsed(text: str) -> dict[str, str]:
    parts = (part.split(":") for part in (_KEYS_AND_DATES + text).split())
    return {column: kind for kind, columns in parts for column in columns.split(",")}


_COLUMNS = {table: _parsed(text) for table, text in _TABLES.items()}


def is_known_table(table: str) -> bool:
    return table in _WHOLE or table in _COLUMNS


def is_known(table: str, column: str) -> bool:
    return table in _WHOLE or column.lower() in _COLUMNS[table]
