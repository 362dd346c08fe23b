"""Every address of the console with rows for it to show, for tests that walk all pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message
from chat.models import User as Account
from console import schedule, staff_events
from console.models import Grant, GrantBulk, InboxEvent, Job, JobState, ScheduleEntry, StaffEvent
from database.models import AuditLog

NUMBER = UUID("6d9d3c5e-5f0f-4f6e-9c52-0d7c7f6f2f11")
#: What an address that Django's admin makes from a pattern of its own stands for here.
REGULAR = {"^(?P<app_label>": "admin/chat/", "(?P<url>.*)$": "admin/nothing-here/"}


class Address(NamedTuple):
    """`pattern` is as the resolver spells it, `name` with its namespace."""

    pattern: str
    name: str
    url: str


def make_rows(text: str = "Sums") -> None:
    """A row in each table, with this text in every column of text that is no key or fixed choice."""
    key = "u1"
    Account.objects.create(
        id=key, email=f"{text}@example.com", name=text, avatar_url=text, stripe_customer_id=text, subscription_id=text,
        subscription_status="active", tier="paid", created_at="2026-11-20T10:00:00.000Z",
    )  # fmt: skip
    Conversation.objects.create(id="c1", user_id=key, title=text, model_id=text, last_message_at=timezone.now())
    Message.objects.create(
        id="m1", conversation_id="c1", role="user", content=text, model_id=text, metadata={text: [text]}
    )
    ApiUsage.objects.create(
        id="a1", user_id=key, conversation_id="c1", message_id="m1", model=text, battery_used=3, date=timezone.now()
    )
    DailyUsageSummary.objects.create(id="d1", user_id=key, date="2026-11-22", models_used={text: 1})
    UserSubscription.objects.create(
        id="s1", user_id=key, plan_id="power", stripe_customer_id=text, stripe_subscription_id=text, status="active"
    )
    UserBattery.objects.create(user_id=key, total_balance=7)
    BatteryTransaction.objects.create(
        id="t1", user_id=key, type="bonus", amount=7, balance_after=7, stripe_payment_intent_id=text,
        metadata={"reason": text, text: text},
    )  # fmt: skip
    AuditLog.objects.create(
        id="l1", user_id=key, action=text, resource_type="users", resource_id=key, metadata={"before": {text: text}}
    )
    _make_own_rows(key, text)


def _make_own_rows(key: str, text: str) -> None:
    somebody = User.objects.create_user("somebody", "", first_name=text[:150], last_name=text[:150])
    bulk = GrantBulk.objects.create(
        id=NUMBER, file_name=text[:255], category="test", made_by=somebody, ticket=text[:100],
        rows=[{"row": 2, "user_id": key, "email": text, "units": 5, "text": text}],
    )  # fmt: skip
    Grant.objects.create(
        id=NUMBER, user_id=key, email=text[:320], units=5, category="test", text=text, ticket=text[:100], bulk=bulk,
        state="REQUESTED", waits_because=text[:300], problem=text[:300], operator=text[:150], decision=text[:1000],
        requested_at=timezone.now(), requested_by=somebody, reversal_text=text[:1000],
    )  # fmt: skip
    InboxEvent.objects.create(
        id=1, source="stripe", event_id=text[:255], type=text[:100], api_version=text[:50], subject=text[:255],
        payload=json.dumps({text: text}), state="failed", error=text, effect=[text],
    )  # fmt: skip
    Job.objects.create(
        id=1, kind="console.pruning", title=text[:200], state=JobState.FAILED, actor=somebody, message=text[:300],
        error=text, log=text, arguments={text: text}, result={text: text},
    )  # fmt: skip
    schedule.make_entries()
    staff_events.record("x", by=somebody, subject=text, detail={text: text})


def addresses() -> list[Address]:
    """All of them, each once, with the keys of the rows that `make_rows` made."""
    found = {address.pattern: address for address in _walk(get_resolver(), "", "")}
    return list(found.values())


def _walk(resolver: Any, before: str, spaces: str) -> Iterator[Address]:
    for each in resolver.url_patterns:
        pattern = before + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from _walk(each, pattern, f"{spaces}{each.namespace}:" if each.namespace else spaces)
        else:
            yield Address(pattern, f"{spaces}{each.name or ''}", "/" + _filled(pattern))


def _filled(pattern: str) -> str:
    for regular, url in REGULAR.items():
        if regular in pattern:
            return url
    for name, value in _keys(pattern).items():
        start, end = pattern.find("<"), pattern.find(">")
        assert pattern[start:end].split(":")[-1].strip("<") == name, pattern
        pattern = pattern[:start] + str(value) + pattern[end + 1 :]
    return pattern


def _keys(pattern: str) -> dict[str, Any]:
    names = [part.split(">")[0].split(":")[-1] for part in pattern.split("<")[1:]]
    model = next((m for m in apps.get_models() if f"admin/{m._meta.app_label}/{m._meta.model_name}/" in pattern), None)
    usual = {"user_id": "u1", "conversation_id": "c1", "tab": "timeline", "content_type_id": 1, "rest": "1/u1"}
    return {name: usual.get(name) or key_of(model) for name in names}


def key_of(model: Any) -> Any:
    keys = {
        "User": "u1", "Conversation": "c1", "Message": "m1", "ApiUsage": "a1", "DailyUsageSummary": "d1",
        "SubscriptionPlan": "power", "UserSubscription": "s1", "UserBattery": "u1", "BatteryTransaction": "t1",
        "AuditLog": "l1", "SchemaVersion": "1", "Grant": NUMBER, "GrantBulk": NUMBER, "InboxEvent": 1, "Job": 1,
    }  # fmt: skip
    if model is None:
        return "u1"
    if model is User:
        return User.objects.get(username="somebody").pk
    if model in (Group, ScheduleEntry, StaffEvent):
        return model.objects.order_by("pk").first().pk
    return keys.get(model.__name__, 1)


def signed_in(*roles: str, **values: Any) -> Client:
    """A browser in which somebody of these roles is signed in; an answer of 500 is an answer, not an exception."""
    name = "-".join(roles).lower() or ("boss" if values.get("is_superuser") else "nobody")
    user = User.objects.create_user(name, is_staff=True, **values)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def all_rows() -> dict[str, list[tuple[Any, ...]]]:
    """What stands in each table of both databases."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for alias in ("default", "omnichat"):
        with connections[alias].cursor() as cursor:
            for table in connections[alias].introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                found[f"{alias}.{table}"] = sorted(cursor.fetchall(), key=repr)
    return found
