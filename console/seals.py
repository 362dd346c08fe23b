"""Seals of staff events: each is an HMAC over the event and over the seal before it, so that the rows are a chain.

The key comes from SECRET_KEY: who can write to the database alone cannot seal. A head is kept beside the rows, sealed
as well: how many there are, the last seal, and from which on the present key seals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "console.staff_events"
#: What the first event has for the seal before it.
FIRST = ""


def clean(value: Any) -> Any:
    """As every database stores it: what JSON has words for, no NUL, no half of a character."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(each) for key, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, list | tuple) else value


def key_name(secret: str | None = None) -> str:
    """A name of the key that tells nothing of it."""
    return salted_hmac(f"{_SALT}.key", "", secret=secret, algorithm="sha256").hexdigest()[:8]


def secrets() -> dict[str, str]:
    """The present key and those before it that settings still have, by their names."""
    keys = map(str, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return {key_name(each): each for each in keys}


def seal(parts: Any, secret: str | None = None) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return salted_hmac(_SALT, text, secret=secret, algorithm="sha256").hexdigest()


@dataclass(frozen=True)
class Head:
    """`since` is the first event that this key sealed; `broken` the one at which no true head was found."""

    number: int = 0
    last: str = FIRST
    since: int = 1
    broken: int | None = None
    sealed_with: str = ""
    seal: str = ""

    def sealed(self) -> dict[str, Any]:
        """As it is stored."""
        parts = {**asdict(self), "sealed_with": key_name(), "seal": ""}
        return {**parts, "seal": seal(parts)}

    @classmethod
    def read(cls, value: Any) -> Head | None:
        """None for what is no head, or has been changed. One that another key sealed is believed: nobody can tell."""
        try:
            head = cls(**value)
        except TypeError:
            return None
        secret = secrets().get(head.sealed_with)
        if secret is None:
            return head
        whole = {**asdict(head), "seal": ""}
        return head if constant_time_compare(seal(whole, secret), head.seal) else None
