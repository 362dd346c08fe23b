"""How many queries each page of the admin makes, and that the database walks an index for each of them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, User
from database.admin import CheapAdmin
from database.models import AuditLog, SchemaVersion

pytestmark = pytest.mark.django_db

LISTS = (
    "chat/user", "chat/conversation", "chat/message", "chat/apiusage", "chat/dailyusagesummary",
    "billing/subscriptionplan", "billing/usersubscription", "billing/userbattery", "billing/batterytransaction",
    "database/auditlog", "database/schemaversion",
)  # fmt: skip
# Three pages of five rows.
SIZE, ROWS = 5, 12
SEARCHES = (
    "alice",
    "alice3@",
    "user_003",
    "cus_003",
    "sub_003",
    "pi_003",
    "c_003",
    "m_003",
    "t_003",
    "0003_three",
    "power",
)
FILTERS = {
    "chat/user": ("tier=free", "subscription_status=inactive", "tier=free&subscription_status=inactive", "period=week"),
    "chat/conversation": (
        "user=user_003",
        "pinned=yes",
        "pinned=no",
        "archived=yes&pinned=yes",
        "user=user_003&pinned=yes",
    ),
    "chat/message": ("role=user", "conversation=c_003", "conversation=c_003&role=user", "role=user&period=month"),
    "chat/apiusage": ("user=user_003", "model=gpt", "cached=yes", "cached=yes&model=gpt"),
    "chat/dailyusagesummary": ("user=user_003", "period=year"),
    "billing/usersubscription": ("status=active", "plan=power", "user=user_003", "plan=power&status=active"),
    "billing/batterytransaction": ("type=usage", "user=user_003", "user=user_003&type=usage"),
    "database/auditlog": (
        "action=users.update",
        "resource_type=users",
        "user=user_003",
        "action=a&resource_type=users",
    ),
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(CheapAdmin, "list_per_page", SIZE)
    numbers = [(f"{n:03}", f"2026-{n % 9 + 1:02}-11T10:00:{n % 60:02}.000Z") for n in range(ROWS)]
    User.objects.bulk_create(
        User(id=f"user_{n}", email=f"alice{n}@example.com", name="Alice", tier="free", subscription_status="inactive",
             stripe_customer_id=f"cus_{n}", subscription_id=f"sub_{n}", created_at=at)
        for n, at in numbers
    )  # fmt: skip
    Conversation.objects.bulk_create(
        Conversation(id=f"c_{n}", user_id=f"user_{n}", title="Sums", pinned=True, archived=True, last_message_at=at)
        for n, at in numbers
    )
    Message.objects.bulk_create(
        Message(id=f"m_{n}", conversation_id=f"c_{n}", role="user", content="?", created_at=at) for n, at in numbers
    )
    ApiUsage.objects.bulk_create(
        ApiUsage(id=f"a_{n}", user_id=f"user_{n}", model="gpt", cached=True, created_at=at) for n, at in numbers
    )
    DailyUsageSummary.objects.bulk_create(
        DailyUsageSummary(id=f"d_{n}", user_id=f"user_{n}", date=at[:10], models_used={"gpt": 1}) for n, at in numbers
    )
    UserSubscription.objects.bulk_create(
        UserSubscription(id=f"s_{n}", user_id=f"user_{n}", plan_id="power", status="active", created_at=at)
        for n, at in numbers
    )
    UserBattery.objects.bulk_create(UserBattery(user_id=f"user_{n}", total_balance=7) for n, _ in numbers)
    BatteryTransaction.objects.bulk_create(
        BatteryTransaction(id=f"t_{n}", user_id=f"user_{n}", type="usage", amount=-1, created_at=at)
        for n, at in numbers
    )
    AuditLog.objects.bulk_create(
        AuditLog(id=f"l_{n}", user_id=f"user_{n}", action="users.update", resource_type="users", created_at=at)
        for n, at in numbers
    )
    SchemaVersion.objects.bulk_create(SchemaVersion(version=1000 + int(n), name=f"0{n}_x") for n, _ in numbers)
    yield
    SchemaVersion.objects.filter(version__gte=1000).delete()


class Visit:
    """A page with the queries that it made to OmniChat's database."""

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        with CaptureQueriesContext(connections["omnichat"]) as captured:
            self.response = client.get(f"/admin/{path}")
        self.statements = [query["sql"] for query in captured.captured_queries]
        self.text = self.response.content.decode()

    def link(self, name: str) -> str:
        found = re.search(rf'<a class="{name}"[^>]*href="([^"]+)"', self.text)
        assert found, f"no link {name}"
        return html.unescape(found[1])

    def plans(self) -> list[str]:
        with connections["omnichat"].cursor() as cursor:
            lines: list[str] = []
            for statement in self.statements:
                cursor.execute("EXPLAIN QUERY PLAN " + statement.replace("%%", "%"))
                # A line below another one is part of it: what a subquery sorts are the few rows of one user.
                lines += [row[3] for row in cursor.fetchall() if not row[1] or row[3].startswith("SCAN")]
        return lines


def assert_walks_indexes(visit: Visit) -> None:
    """No table is read from end to end, and nothing is sorted but rows of one and the same key."""
    for line in visit.plans():
        assert not re.fullmatch(r"SCAN (?!subquery|schema_version|subscription_plans)\w+", line), visit.statements
        assert "TEMP B-TREE FOR ORDER BY" not in line or "q=" in visit.path, visit.statements


def assert_cheap(visit: Visit, most: int) -> None:
    assert visit.response.status_code == 200
    assert len(visit.statements) <= most, visit.statements
    assert_walks_indexes(visit)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_makes_two_queries_on_any_page_and_a_form_four_at_the_most(
    rows: None, admin_client: Client, path: str
) -> None:
    first = Visit(admin_client, f"{path}/")
    visits = [first]
    if path != "billing/subscriptionplan":
        visits += [Visit(admin_client, f"{path}/{first.link(name)}") for name in ("next", "last")]
        visits.append(Visit(admin_client, f"{path}/{visits[1].link('next')}"))
        visits.append(Visit(admin_client, f"{path}/{visits[-1].link('previous')}"))
    for visit in visits:
        assert_cheap(visit, 2 if "after=" not in visit.path else 3)
    row = re.search(rf'href="/admin/(?:{path}|account)/([^"/]+)/', first.text.split('id="result_list"')[1])
    assert row
    assert_cheap(Visit(admin_client, f"{path}/{row[1]}/change/"), 4)


@pytest.mark.parametrize("path", LISTS)
def test_a_search_makes_three_queries_at_the_most(rows: None, admin_client: Client, path: str) -> None:
    for term in SEARCHES:
        assert_cheap(Visit(admin_client, f"{path}/?q={term}"), 3)


@pytest.mark.parametrize("path", FILTERS)
def test_a_filter_makes_three_queries_at_the_most(rows: None, admin_client: Client, path: str) -> None:
    for query in FILTERS[path]:
        assert_cheap(Visit(admin_client, f"{path}/?{query}"), 3)


def test_the_columns_that_sort_users_have_an_index(rows: None, admin_client: Client) -> None:
    listed = Visit(admin_client, "chat/user/").text
    headers: list[Any] = re.findall(r'<th [^>]*class="[^"]*sortable column-(\w+)', listed)
    assert headers == ["email", "name", "created"]
    for order in ("1", "-1", "2", "-2", "7"):
        visit = Visit(admin_client, f"chat/user/?o={order}")
        assert_cheap(visit, 2)
        assert_cheap(Visit(admin_client, f"chat/user/{visit.link('next')}"), 3)
