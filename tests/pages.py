"""Every address of the console with rows for it to show, for tests that walk all pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.internal.auth import WebAuthn
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connections
from django.db.transaction import atomic, set_rollback
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import Needs, carry_out
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message
from chat.models import User as Account
from console import grants, schedule, staff_events
from console.models import (
    Finding,
    FindingState,
    Grant,
    GrantBulk,
    InboxEvent,
    Job,
    JobState,
    Note,
    ResyncRun,
    ResyncState,
    SavedView,
    ScheduleEntry,
    StaffEvent,
)
from console.person import EXPORT_KIND
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.signin_people import SECRET, passkey

NUMBER = UUID("6d9d3c5e-5f0f-4f6e-9c52-0d7c7f6f2f11")
#: What an address that Django's admin makes from a pattern of its own stands for here.
REGULAR = {
    "^(?P<app_label>": "admin/chat/",
    "(?P<url>.*)$": "admin/nothing-here/",
    "admin/views/columns/": "admin/views/columns/?list=chat.user",
}
#: Keys that belong to none of our tables, by the beginnings of their addresses.
NOBODYS: dict[str, Any] = {
    "admin/stripe/": "sub_walk",
    "admin/stripe-refund/": "pi_walk",
    "admin/account/<str:user_id>/delete/": "u2",
    "admin/billing/batterytransaction/ledger/": "u1",
    "admin/security/sessions/": 1,
    "admin/security/second-factor/": 1,
    "admin/notes/": 1,
    "admin/views/": 1,
    "admin/person-files/": 1,
}


class Forms(HTMLParser):
    """The forms of a page that POST: their addresses, and their fields with the values that they show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._open = (given.get("method") or "").lower() == "post"
            if self._open:
                self.found.append((given.get("action") or "", {}))
        elif self._open and tag in ("input", "select", "textarea", "button") and given.get("name"):
            self.found[-1][1][str(given["name"])] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "form"


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
    Account.objects.create(id="u2", email=f"2{text}@example.com", subscription_status="inactive", tier="free")
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
    run = ResyncRun.objects.create(
        id=1, state=ResyncState.WAITING, by=somebody, started_by=text[:150], users=[key], kinds={text: 1}, error=text
    )
    Finding.objects.create(
        id=1, kind=text[:50], user_id=key, subject=text[:255], expected={text: text}, found=text, reason=text,
        state=FindingState.LEFT, run=run, last_seen_at=timezone.now(),
    )  # fmt: skip
    schedule.make_entries()
    staff_events.record("x", by=somebody, subject=text, detail={text: text})


def stripe_rows(stripe: StripeServer) -> dict[str, Any]:
    """What the pages that ask Stripe show: a subscription and a payment of `u1` there, by the stand-in."""
    customer = stripe.customer("walk@example.com", "Walk", user_id="u1")
    sub = stripe.subscribe(customer, "starter")
    Account.objects.filter(pk="u1").update(stripe_customer_id=customer["id"])
    carry_out(stripe_of_settings(), Needs(customer["id"], subscriptions=True, invoices={sub["latest_invoice"]}))
    paid = stripe.get(stripe.buy_pack(customer["id"], 1000, 1000))
    return {"admin/stripe/": sub["id"], "admin/stripe-refund/": paid["payment_intent"]}


def own_rows(login: User, text: str = "Sums") -> dict[str, Any]:
    """What is for this person alone: the beginnings of its addresses, with the keys."""
    note = Note.objects.create(user_id="u1", text=text, author=login)
    view = SavedView.objects.create(owner=login, model="chat.user", name=text[:60], query="q=x")
    file = Job.objects.create(
        kind=EXPORT_KIND, title=text[:200], actor=login, state=JobState.DONE, arguments={"user": "u1"}
    )
    session = UserSession.objects.create(user=login, ip="203.0.113.9", session_key=f"of {login.pk}", user_agent=text)
    factor = WebAuthn.add(login, text[:100], passkey()).instance
    bulk = GrantBulk.objects.create(category="test", made_by=login, rows=[])
    given = grants.decide([grants.Wish("u1", "u1@example.com", 5, "test", text)], by=text[:150])
    grants.apply(given)
    Grant.objects.filter(pk=given[0].pk).update(requested_by=login)
    return {
        "admin/console/grant/bulk/": bulk.pk, "admin/console/grant/<uuid:pk>/": given[0].pk,
        "admin/notes/": note.pk, "admin/views/": view.pk, "admin/person-files/": file.pk,
        "admin/security/sessions/": session.pk, "admin/security/second-factor/webauthn/": factor.pk,
    }  # fmt: skip


def addresses(own: Mapping[str, Any] = MappingProxyType({})) -> list[Address]:
    """All of them, each once, with the keys of the rows that `make_rows` made, and of one's `own_rows`."""
    found = {address.pattern: address for address in _walk(get_resolver(), "", "", own)}
    return list(found.values())


def _walk(resolver: Any, before: str, spaces: str, own: Mapping[str, Any]) -> Iterator[Address]:
    for each in resolver.url_patterns:
        pattern = before + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from _walk(each, pattern, f"{spaces}{each.namespace}:" if each.namespace else spaces, own)
        else:
            yield Address(pattern, f"{spaces}{each.name or ''}", "/" + _filled(pattern, own))


def _filled(pattern: str, own: Mapping[str, Any]) -> str:
    for regular, url in REGULAR.items():
        if regular in pattern:
            return url
    for name, value in _keys(pattern, own).items():
        start, end = pattern.find("<"), pattern.find(">")
        assert pattern[start:end].split(":")[-1].strip("<") == name, pattern
        pattern = pattern[:start] + str(value) + pattern[end + 1 :]
    return pattern


def _keys(pattern: str, own: Mapping[str, Any]) -> dict[str, Any]:
    names = [part.split(">")[0].split(":")[-1] for part in pattern.split("<")[1:]]
    model = next((m for m in apps.get_models() if f"admin/{m._meta.app_label}/{m._meta.model_name}/" in pattern), None)
    usual = {
        "conversation_id": "c1", "tab": "timeline", "content_type_id": 1, "rest": "1/u1",
        "name": "cancel", "provider_id": "oidc",
    }  # fmt: skip
    starts = sorted({**NOBODYS, **own}.items(), reverse=True)
    key = next((key for start, key in starts if pattern.startswith(start)), None)
    key = key or key_of(User if "second-factors-of" in pattern else model)
    return {name: usual.get(name) or key for name in names}


def key_of(model: Any) -> Any:
    keys = {
        "User": "u1", "Conversation": "c1", "Message": "m1", "ApiUsage": "a1", "DailyUsageSummary": "d1",
        "SubscriptionPlan": "power", "UserSubscription": "s1", "UserBattery": "u1", "BatteryTransaction": "t1",
        "AuditLog": "l1", "SchemaVersion": "1", "Grant": NUMBER, "GrantBulk": NUMBER,
    }  # fmt: skip
    if model is None:
        return "u1"
    if model is User:
        return User.objects.get(username="somebody").pk
    if model in (Group, ScheduleEntry, StaffEvent):
        return model.objects.order_by("pk").first().pk
    return keys.get(model.__name__, 1)


def login_of(*roles: str, **values: Any) -> User:
    name = "-".join(roles).lower() or ("boss" if values.get("is_superuser") else "nobody")
    user = User.objects.create_user(name, is_staff=True, **values)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def signed_in(*roles: str, **values: Any) -> Client:
    """A browser in which somebody of these roles is signed in; an answer of 500 is an answer, not an exception."""
    return browser_of(login_of(*roles, **values))


def browser_of(login: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(login)
    return client


def with_factors(login: User) -> Client:
    """A browser in which somebody is signed in who has every kind of second factor, and gave one."""
    client = browser_of(login)
    TOTP.activate(login, SECRET)
    RecoveryCodes.activate(login)
    session = client.session
    session["signin"] = {**session["signin"], "has_factor": True, "needs_factor": True, "second": True}
    session.save()
    return client


@contextmanager
def undone(client: Client) -> Iterator[None]:
    """What is sent within is taken back, in both databases and in the browser."""
    cookies = client.cookies.copy()
    blocks = [atomic("default"), atomic("omnichat")]
    for block in blocks:
        block._from_testcase = True  # type: ignore[attr-defined]  # a durable one may begin within
    with blocks[0], blocks[1]:
        yield
        for alias in ("default", "omnichat"):
            set_rollback(True, alias)
    client.cookies = cookies


def all_rows() -> dict[str, list[tuple[Any, ...]]]:
    """What stands in each table of both databases."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for alias in ("default", "omnichat"):
        with connections[alias].cursor() as cursor:
            for table in connections[alias].introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                found[f"{alias}.{table}"] = sorted(cursor.fetchall(), key=repr)
    return found
