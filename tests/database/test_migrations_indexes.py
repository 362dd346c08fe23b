"""What each index of the migrations serves: lists and their filters walk one, searches find their rows by one."""

import re
from typing import Any

import pytest
from django.db import connections
from django.db.models import F, Model, Q

from billing.models import BatteryTransaction, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, User
from database.filters import Truth
from database.models import AuditLog

pytestmark = [pytest.mark.django_db, pytest.mark.both_engines]

# index: the model, the filter, and the order of the page that walks it.
LISTS: dict[str, tuple[type[Model], dict[str, Any], str]] = {
    "users_by_created": (User, {}, "created_at"),
    "users_by_tier": (User, {"tier": "paid"}, "created_at"),
    "users_by_status": (User, {"subscription_status": "active"}, "created_at"),
    "conversations_by_last_message": (Conversation, {}, "last_message_at"),
    "conversations_by_user": (Conversation, {"user": "user_1"}, "last_message_at"),
    "conversations_pinned": (Conversation, {"pinned": True}, "last_message_at"),
    "conversations_archived": (Conversation, {"archived": True}, "last_message_at"),
    "messages_by_created": (Message, {}, "created_at"),
    "messages_by_conversation": (Message, {"conversation": "c"}, "created_at"),
    "messages_by_role": (Message, {"role": "user"}, "created_at"),
    "subscriptions_by_created": (UserSubscription, {}, "created_at"),
    "subscriptions_by_user": (UserSubscription, {"user": "user_1"}, "created_at"),
    "subscriptions_by_plan": (UserSubscription, {"plan": "daily"}, "created_at"),
    "subscriptions_by_status": (UserSubscription, {"status": "active"}, "created_at"),
    "transactions_by_created": (BatteryTransaction, {}, "created_at"),
    "transactions_by_user": (BatteryTransaction, {"user": "user_1"}, "created_at"),
    "transactions_by_type": (BatteryTransaction, {"type": "usage"}, "created_at"),
    "usage_by_created": (ApiUsage, {}, "created_at"),
    "usage_by_user": (ApiUsage, {"user": "user_1"}, "created_at"),
    "usage_by_model": (ApiUsage, {"model": "gpt-5"}, "created_at"),
    "usage_cached": (ApiUsage, {"cached": True}, "created_at"),
    "audit_by_created": (AuditLog, {}, "created_at"),
    "audit_by_user": (AuditLog, {"user_id": "user_1"}, "created_at"),
    "audit_by_action": (AuditLog, {"action": "user.update"}, "created_at"),
    "audit_by_resource_type": (AuditLog, {"resource_type": "user"}, "created_at"),
    "daily_usage_by_day": (DailyUsageSummary, {}, "date"),
    "daily_usage_by_user": (DailyUsageSummary, {"user": "user_1"}, "date"),
}
LOOKUPS: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "users_by_stripe_customer": (User, {"stripe_customer_id": "cus_1"}),
    "users_by_subscription": (User, {"subscription_id": "sub_1"}),
    "users_by_email": (User, {"email__istartswith": "alice"}),
    "users_by_name": (User, {"name__istartswith": "alice"}),
    "subscriptions_by_stripe_customer": (UserSubscription, {"stripe_customer_id": "cus_1"}),
    "subscriptions_by_stripe_subscription": (UserSubscription, {"stripe_subscription_id": "sub_1"}),
    "transactions_by_payment_intent": (BatteryTransaction, {"stripe_payment_intent_id": "pi_1"}),
    "usage_by_day": (ApiUsage, {"date": "2026-11-22"}),
    "audit_by_resource": (AuditLog, {"resource_type": "user", "resource_id": "user_1"}),
}


def plan_of(queryset: Any) -> str:
    sql, params = queryset.query.get_compiler("omnichat").as_sql()
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return "; ".join(row[3] for row in cursor.fetchall())


@pytest.mark.parametrize("index", LISTS)
def test_a_page_walks_its_index_and_sorts_nothing(index: str) -> None:
    model, filters, order = LISTS[index]
    flagged = [name for name, value in filters.items() if value is True]
    plain = {name: value for name, value in filters.items() if name not in flagged}
    # An index over the rows WHERE pinned is found by the bare column alone.
    rows = model._default_manager.filter(*(Q(Truth(F(name))) for name in flagged), **plain)
    plan = plan_of(rows.order_by(f"-{order}", "-pk")[:51])
    assert re.search(rf"USING (COVERING )?INDEX {index}\b", plan), plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("index", LOOKUPS)
def test_a_search_finds_its_rows_by_index(index: str) -> None:
    model, filters = LOOKUPS[index]
    plan = plan_of(model._default_manager.filter(**filters))
    assert re.search(rf"SEARCH \S+ USING (COVERING )?INDEX {index}\b", plan), plan


def test_every_index_is_written_for_a_page_or_a_search() -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        made = {name for (name,) in cursor.fetchall()}
    assert made == LISTS.keys() | LOOKUPS.keys()
