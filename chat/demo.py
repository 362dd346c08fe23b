"""Accounts of the demo with their conversations and usage: the same for the same seed, day and number.

A row is a list in the order of COLUMNS. A moment inside is a number of seconds since Calendar's first day.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

import orjson

from chat.demo_texts import SYSTEM, TOPICS, Topic, answer, person, pick, question

Rows = dict[str, list[list[Any]]]

COLUMNS = {
    "users": (
        "id", "email", "name", "avatarUrl", "stripeCustomerId",
        "subscriptionStatus", "subscriptionId", "tier", "createdAt", "updatedAt",
    ),
    "conversations": (
        "id", "userId", "title", "modelId", "pinned", "archived", "lastMessageAt", "createdAt", "updatedAt",
    ),
    "messages": ("id", "conversationId", "role", "content", "modelId", "metadata", "createdAt", "updatedAt"),
    "api_usage": (
        "id", "user_id", "conversation_id", "message_id", "model",
        "input_tokens", "output_tokens", "battery_used", "cached", "date", "created_at",
    ),
    "daily_usage_summary": (
        "id", "user_id", "date", "total_battery_used", "total_messages", "models_used", "created_at", "updated_at",
    ),
}  # fmt: skip

#: Every Clerk id of the demo starts so, which tells a database of the demo from one with people in it.
ID_PREFIX = "user_2demo"

#: Units of battery for a thousand tokens.
MODELS = {
    "openai/gpt-4o-mini": 1,
    "google/gemini-2.5-flash": 1,
    "openai/gpt-4o": 6,
    "anthropic/claude-sonnet-4": 8,
    "google/gemini-2.5-pro": 6,
}
MODEL_NAMES = tuple(MODELS)

# Of each twenty accounts in a row: every status comes soon, and most people pay nothing.
STATUSES = (
    "active", "inactive", "active", "inactive", "trialing", "active", "inactive", "past_due", "inactive", "active",
    "canceled", "inactive", "active", "inactive", "incomplete", "inactive", "active", "inactive", "canceled",
    "inactive",
)  # fmt: skip
TIERS = {"active": "paid", "trialing": "paid"}

DAY = 86_400
_HISTORY_DAYS = 400
_CLOCK = [f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(DAY)]


class Calendar:
    """Moments as text. `now` is the start of `day`, in UTC; nothing of the demo happened after it."""

    now = _HISTORY_DAYS * DAY

    def __init__(self, day: date) -> None:
        first = day - timedelta(days=_HISTORY_DAYS)
        self.days = [(first + timedelta(days=n)).isoformat() for n in range(_HISTORY_DAYS + 800)]

    def text(self, at: int) -> str:
        """Both forms that are met: every third moment as SQLite writes it, the others as JavaScript does."""
        day, clock = self.days[at // DAY], _CLOCK[at % DAY]
        return f"{day} {clock}" if at % 3 == 0 else f"{day}T{clock}.{at * 7919 % 1000:03}Z"

    def day(self, at: int) -> str:
        return self.days[at // DAY]


@dataclass(slots=True)
class Account:
    id: str
    index: int
    rng: Random
    status: str
    customer: str | None
    subscription: str | None
    created_at: int

    def new_id(self) -> str:
        """A UUID that rises with the account's number, as version 7 does with time: its rows lie side by side."""
        bits = f"{self.rng.getrandbits(72):018x}"
        return f"0193{self.index >> 12:04x}-{self.index & 0xFFF:03x}{bits[0]}-7{bits[1:4]}-a{bits[3:6]}-{bits[6:]}"


@dataclass(slots=True)
class Use:
    """One call of a model: when, for which message, and what it cost in units."""

    at: int
    id: str
    message: str
    conversation: str
    model: str
    tokens_in: int
    tokens_out: int
    units: int
    cached: bool


def user_id(seed: int, index: int) -> str:
    """As Clerk's: of two accounts the later one has the greater id."""
    return f"{ID_PREFIX}{index:06x}" + hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).hexdigest()


def stripe_id(rng: Random, prefix: str) -> str:
    return f"{prefix}_1Q{rng.getrandbits(108):027x}"


def account(seed: int, index: int, users: int) -> Account:
    """Account number `index` of `users`, who signed up one after the other over a year."""
    rng = Random(f"{seed}:{index}")  # noqa: S311 -- nothing here is a secret
    status = STATUSES[index % len(STATUSES)]
    subscribed = status != "inactive"
    return Account(
        id=user_id(seed, index),
        index=index,
        rng=rng,
        status=status,
        customer=stripe_id(rng, "cus") if subscribed or rng.random() < 0.3 else None,
        subscription=stripe_id(rng, "sub") if subscribed else None,
        created_at=Calendar.now - 365 * DAY + int(345 * DAY * (index + rng.random()) / users),
    )


def user_row(account: Account, calendar: Calendar) -> list[Any]:
    name, email = person(account.index)
    picture = f"https://images.example.com/{account.id}.png" if account.index % 4 else None
    created = calendar.text(account.created_at)
    tier = TIERS.get(account.status, "free")
    updated = calendar.text(account.rng.randrange(account.created_at, calendar.now))
    return [
        account.id, email, name, picture, account.customer,
        account.status, account.subscription, tier, created, updated,
    ]  # fmt: skip


def conversations(account: Account, calendar: Calendar, count: int, rows: Rows) -> list[Use]:
    """Adds conversations with `count` messages in all to `rows`; returns what they used, in order of time."""
    used: list[Use] = []
    for length in _lengths(account.rng, count):
        used += _conversation(account, calendar, length, rows)
    return sorted(used, key=lambda use: use.at)


def _lengths(rng: Random, count: int) -> Iterator[int]:
    while count:
        length = min(count, rng.randrange(2, 15))
        yield length
        count -= length


def _conversation(account: Account, calendar: Calendar, length: int, rows: Rows) -> list[Use]:
    rng, key = account.rng, account.new_id()
    topic, model = TOPICS[int(rng.random() * len(TOPICS))], pick(rng, MODEL_NAMES)
    # Most of what people do with an account they do soon after they signed up.
    started = at = account.created_at + int((calendar.now - DAY - account.created_at) * rng.random() ** 4)
    used: list[Use] = []
    roles = ["system"] if length > 12 else []
    roles += ["user", "assistant"] * length
    for role in roles[:length]:
        at += 5 + int(rng.random() * 240)
        message = account.new_id()
        rows["messages"].append(_message(rng, calendar, message, key, role, topic, model, at))
        if role == "assistant":
            used.append(_use(account, at, message, key, model))
    rows["conversations"].append([
        key, account.id, pick(rng, topic.titles), model, int(rng.random() < 0.05), int(rng.random() < 0.1),
        calendar.text(at), calendar.text(started), calendar.text(at),
    ])  # fmt: skip
    return used


def _message(
    rng: Random, calendar: Calendar, key: str, conversation: str, role: str, topic: Topic, model: str, at: int
) -> list[Any]:
    content = question(rng, topic) if role == "user" else answer(rng, topic) if role == "assistant" else SYSTEM
    metadata = None
    if role == "user" and rng.random() < 0.04:
        metadata = '{"attachments": [{"name": "notes.pdf", "type": "application/pdf", "size": 48213}]}'
    written = calendar.text(at)
    return [key, conversation, role, content, model if role == "assistant" else None, metadata, written, written]


def _use(account: Account, at: int, message: str, conversation: str, model: str) -> Use:
    rng = account.rng
    tokens_in, tokens_out = 200 + int(rng.random() * 3_000), 60 + int(rng.random() * 900)
    cached = rng.random() < 0.1
    units = 0 if cached else max(1, (tokens_in + 4 * tokens_out) * MODELS[model] // 1_000)
    return Use(at, account.new_id(), message, conversation, model, tokens_in, tokens_out, units, cached)


def usage(account: Account, calendar: Calendar, used: list[Use], rows: Rows) -> None:
    """Adds each call of a model, and the days that sum them up."""
    days: dict[str, list[Use]] = defaultdict(list)
    for use in used:
        day = calendar.day(use.at)
        days[day].append(use)
        rows["api_usage"].append([
            use.id, account.id, use.conversation, use.message, use.model, use.tokens_in, use.tokens_out,
            use.units, int(use.cached), day, calendar.text(use.at),
        ])  # fmt: skip
    for day, uses in days.items():
        rows["daily_usage_summary"].append(_summary(account, calendar, day, uses))


def _summary(account: Account, calendar: Calendar, day: str, uses: list[Use]) -> list[Any]:
    models: dict[str, int] = defaultdict(int)
    for use in uses:
        models[use.model] += 1
    written = calendar.text(uses[-1].at)
    return [
        account.new_id(), account.id, day, sum(use.units for use in uses), len(uses),
        orjson.dumps(models).decode(), calendar.text(uses[0].at), written,
    ]  # fmt: skip
