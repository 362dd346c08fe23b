"""What an entry of the ledger was made for, in words and with a link: a grant, an object of Stripe's, a message.

Rooms above register what ids mean that they derive entries from: `register("grant", source)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings
from django.utils.translation import gettext

from billing.ledger_chain import CORRECTION
from billing.models import BatteryTransaction
from chat.models import Conversation, Message
from database import cells


@dataclass(frozen=True)
class Cause:
    """`url` is empty where there is nothing to go to. `key` is the id that `label` may stand for."""

    label: str
    key: str = ""
    url: str = ""


#: Gives the cause for what follows `PREFIX:` in an entry's id, or None. It makes no query.
Source = Callable[[str], Cause | None]

_SOURCES: dict[str, Source] = {}

# Beginnings of Stripe's ids, what they are of, and where its dashboard has them.
_STRIPE = {
    "pi": ("payment", "payments"),
    "ch": ("charge", "payments"),
    "in": ("invoice", "invoices"),
    "re": ("refund", "refunds"),
    "sub": ("subscription", "subscriptions"),
    "cs": ("checkout", "checkout/sessions"),
    "du": ("dispute", "disputes"),
    "dp": ("dispute", "disputes"),
    "evt": ("event", "events"),
}
_STRIPE_ID = re.compile(r"(pi|ch|in|re|sub|cs|du|dp|evt)_(test_|live_)?[A-Za-z0-9]{6,}", re.ASCII)
_ALLOWANCE = re.compile(r".+:(\d{4}-\d\d-\d\d)", re.ASCII | re.DOTALL)
# Both spellings are met in the app's metadata.
_ROWS: tuple[tuple[str, type[Any]], ...] = (
    ("message_id", Message),
    ("messageId", Message),
    ("conversation_id", Conversation),
    ("conversationId", Conversation),
)


def register(prefix: str, source: Source) -> None:
    """Let entries whose id begins with `prefix` and a colon have the cause that `source` gives."""
    _SOURCES[prefix] = source


def causes_of(entry: BatteryTransaction) -> list[Cause]:
    """What is known of why an entry was made, each thing once. No query."""
    metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
    found = [*_of_id(str(entry.pk)), *_of_stripe(entry, metadata), *_of_rows(metadata)]
    reason = metadata.get("reason")
    if not found and isinstance(reason, str) and reason:
        found = [Cause(reason)]
    return list(dict.fromkeys(found))


def _of_id(id: str) -> Iterator[Cause]:
    prefix, _, rest = id.partition(":")
    source = _SOURCES.get(prefix)
    cause = source(rest) if source and rest else None
    if cause:
        yield cause


def _allowance(rest: str) -> Cause | None:
    match = _ALLOWANCE.fullmatch(rest)
    return Cause(gettext("Daily allowance of %s") % _day(match[1])) if match else None


def _day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{day.day} {day:%b} {day.year}"


def _correction(rest: str) -> Cause:
    return Cause(gettext("Correction by audit_battery"))


def _of_stripe(entry: BatteryTransaction, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    texts = [entry.stripe_payment_intent_id, str(entry.pk).partition(":")[2], *metadata.values()]
    for text in texts:
        match = _STRIPE_ID.fullmatch(text) if isinstance(text, str) else None
        if match:
            name, _ = _STRIPE[match[1]]
            yield Cause(gettext("Stripe %s") % name, match[0], stripe_url(match[0]))


def stripe_url(id: str) -> str:
    """The page of an object in Stripe's dashboard, in test mode or live as its id or our key says; "" if neither."""
    match = _STRIPE_ID.fullmatch(id)
    key = str(getattr(settings, "STRIPE_SECRET_KEY", None) or "")
    mode = (match[2] if match else None) or next((mode for mode in ("test_", "live_") if f"k_{mode}" in key[:8]), "")
    if not match or not mode:
        return ""
    return f"https://dashboard.stripe.com/{'test/' if mode == 'test_' else ''}{_STRIPE[match[1]][1]}/{id}"


def _of_rows(metadata: Mapping[str, Any]) -> Iterator[Cause]:
    names = {Message: gettext("Message"), Conversation: gettext("Conversation")}
    for key, model in _ROWS:
        id = metadata.get(key)
        if isinstance(id, str) and id:
            yield Cause(names[model], id, cells.row_url(model, id))


register("allowance", _allowance)
register(CORRECTION.rstrip(":"), _correction)
