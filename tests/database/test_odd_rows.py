"""Rows such as no app should have written are shown as they are, with a mark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("D1 always checks foreign keys")]

LISTS = (
    "chat_user", "chat_conversation", "chat_message", "chat_apiusage", "chat_dailyusagesummary",
    "billing_subscriptionplan", "billing_usersubscription", "billing_userbattery", "billing_batterytransaction",
    "database_auditlog", "database_schemaversion",
)  # fmt: skip


def address(name: str, **parameters: Any) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(parameters)}"


def execute(sql: str, *params: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, params)


def listed(response: Any) -> list[str]:
    return [row.pk for row in response.context["cl"].result_list]


TABLES = (
    "audit_logs", "battery_transactions", "user_battery", "user_subscriptions", "daily_usage_summary", "api_usage",
    "messages", "conversations", "users", "subscription_plans",
)  # fmt: skip


@pytest.fixture
def odd_rows(db: Any) -> Iterator[None]:
    """Rows that the checks and keys of the tables would refuse, which are switched off for them."""
    execute("PRAGMA ignore_check_constraints = ON")
    execute("PRAGMA defer_foreign_keys = ON")
    insert_odd_rows()
    yield
    for table in TABLES:
        execute(f"DELETE FROM {table}")
    execute("PRAGMA ignore_check_constraints = OFF")


def insert_odd_rows() -> None:
    execute(
        "INSERT INTO users (id, email, name, tier, subscriptionStatus, createdAt, updatedAt) VALUES "
        "('u1', 'a@example.com', NULL, 'gold', 'dreaming', 'yesterday', 'x'), ('u2', '', '', NULL, NULL, NULL, NULL), "
        "('u3', x'00ff', x'00ff', x'00ff', x'00ff', x'00ff', x'00ff'), ('u4', 'd', 5, 6, 7, 8.5, 9)"
    )
    execute(
        "INSERT INTO conversations (id, userId, title, pinned, archived, lastMessageAt, createdAt) VALUES "
        "('c1', 'nobody', NULL, 'maybe', 7, 'x', 'x'), ('c2', NULL, x'00ff', NULL, x'00', NULL, -5)"
    )
    execute(
        "INSERT INTO messages (id, conversationId, role, content, metadata, createdAt) VALUES "
        "('m1', 'gone', 'oracle', 'secret words', '{broken', 'x'), ('m2', NULL, NULL, x'00ff', x'00ff', NULL)"
    )
    execute(
        "INSERT INTO api_usage VALUES ('a1', 'nobody', 'gone', 'gone', NULL, 'many', 1.5, x'00', 'yes', 'some day', "
        "'x'), "
        "('a2', NULL, NULL, NULL, x'00', NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    execute(
        "INSERT INTO daily_usage_summary VALUES ('d1', 'nobody', 'x', 'y', 'z', '[1', 'x', 'x'), "
        "('d2', NULL, NULL, NULL, NULL, '[1]', NULL, NULL), ('d3', 'u1', x'00', 1, 1, '7', NULL, NULL)"
    )
    execute(
        "INSERT INTO subscription_plans (id, name, price_monthly, battery_units, features, created_at) VALUES "
        "('p1', 'x', 'free', 1.5, '{', 'x'), ('p2', '', NULL, NULL, '7', NULL), "
        "('p3', x'00', x'00', x'00', x'00', x'00')"
    )
    execute(
        "INSERT INTO user_subscriptions (id, user_id, plan_id, status, current_period_end, created_at) VALUES "
        "('s1', 'nobody', 'none', 'dreaming', 'x', 'x'), ('s2', NULL, NULL, NULL, NULL, NULL), "
        "('s3', 'u1', 'p2', 7, 8, 9)"
    )
    execute(
        "INSERT INTO user_battery VALUES ('nobody', 'full', x'00', 'x', 'x', 'x'), ('u1', NULL, NULL, NULL, NULL, NULL)"
    )
    execute(
        "INSERT INTO battery_transactions VALUES ('t1', 'nobody', 'gift', 'much', 1.5, 'x', '{', 'x'), "
        "('t2', NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('t3', 'u1', x'00', x'00', x'00', x'00', x'00', x'00')"
    )
    execute(
        "INSERT INTO audit_logs VALUES ('l1', 'nobody', 'x', 'y', 'z', '{', 'x'), "
        "('l2', NULL, NULL, NULL, NULL, '[]', NULL), "
        "('l3', NULL, x'00', x'00', x'00', x'00', x'00')"
    )
    execute(
        "INSERT INTO schema_version VALUES (901, NULL, 'once', NULL), (902, x'00', 1e300, x'00'), (903, '', -1e18, '')"
    )


@pytest.mark.parametrize("name", LISTS)
def test_odd_rows_are_shown_in_lists_and_pages(odd_rows: None, admin_client: Client, name: str) -> None:
    response = admin_client.get(address(name))
    assert response.status_code == 200
    assert len(listed(response)) >= 2
    for pk in listed(response):
        page = admin_client.get(reverse(f"admin:{name}_change", args=[quote(pk)]))
        assert page.status_code == 200
    assert admin_client.get(address(name, last=1)).status_code == 200


def test_what_is_odd_is_marked(odd_rows: None, admin_client: Client) -> None:
    users = admin_client.get(address("chat_user")).content.decode()
    assert 'class="state state-unknown"' in users
    assert "yesterday ⚠" in users
    transactions = admin_client.get(address("billing_batterytransaction")).content.decode()
    assert re.search(r'class="odd" title="There is no such user.">nobody ⚠', transactions)
    assert "much ⚠" in transactions
    batteries = admin_client.get(address("billing_userbattery"))
    assert "nobody" in listed(batteries), "a battery without a user is shown as well"
