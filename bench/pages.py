"""The pages that are measured, on the console and on the stock admin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.contrib.admin.utils import quote
from django.db import connections
from django.utils import timezone

from console.dashboard import count_figures


@dataclass(frozen=True)
class Page:
    """Addresses below /admin/ and /stock/; `stock` is empty where the stock admin has nothing of the kind."""

    table: str
    name: str
    console: str
    stock: str = ""


def cell(sql: str, *parameters: Any) -> Any:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    return row[0] if row else None


def day_at(table: str, column: str, share: float) -> str:
    """The day on which `share` of the table's rows, from the newest on, have been passed."""
    rows = cell(f"SELECT COUNT(*) FROM {table}")
    sql = f"SELECT substr({column}, 1, 10) FROM {table} ORDER BY {column} DESC LIMIT 1 OFFSET %s"
    return str(cell(sql, int(rows * share)))


def walk(table: str, stock: str, console: str, db_table: str, column: str) -> list[Page]:
    """The first page, one some way inside, one in the middle, and the last."""
    rows = int(cell(f"SELECT COUNT(*) FROM {db_table}"))
    last = (rows - 1) // 50 + 1
    deep = min(500, max(2, last // 4))
    return [
        Page(table, "first page", f"{console}/", f"{stock}/"),
        Page(table, f"page {deep}", f"{console}/?at={day_at(db_table, column, deep / last)}", f"{stock}/?p={deep}"),
        Page(table, "in the middle", f"{console}/?at={day_at(db_table, column, 0.5)}", f"{stock}/?p={last // 2}"),
        Page(table, "last page", f"{console}/?last=1", f"{stock}/?p={last}"),
    ]


def since(column: str, days: int) -> str:
    start = timezone.now() - timedelta(days=days)
    return f"{column}__gte={start:%Y-%m-%d}+00%3A00%3A00%2B00%3A00"


def pages() -> list[Page]:
    return [*_messages(), *_transactions(), *_users(), *_others(), *_rows(), *_across_tables()]


def _person() -> tuple[str, str]:
    """Somebody in the middle of the table, with an email and a few messages."""
    user = cell("SELECT id FROM users ORDER BY id LIMIT 1 OFFSET (SELECT COUNT(*) / 2 FROM users)")
    return str(user), str(cell("SELECT email FROM users WHERE id = %s", user))


def _messages() -> list[Page]:
    console, stock = "chat/message", "stock/message"
    conversation = cell("SELECT id FROM conversations LIMIT 1 OFFSET 500")
    message = cell("SELECT id FROM messages LIMIT 1 OFFSET 5000")
    email = _person()[1]
    return [
        *walk("messages", stock, console, "messages", "createdAt"),
        Page("messages", "filter: role", f"{console}/?role=assistant", f"{stock}/?role__exact=assistant"),
        Page("messages", "filter: past 30 days", f"{console}/?period=month", f"{stock}/?{since('created_at', 30)}"),
        Page(
            "messages",
            "filter: role and past 7 days",
            f"{console}/?role=user&period=week",
            f"{stock}/?role__exact=user&{since('created_at', 7)}",
        ),
        Page(
            "messages",
            "of one conversation",
            f"{console}/?conversation={conversation}",
            f"{stock}/?conversation__id__exact={conversation}",
        ),
        Page("messages", "search: id", f"{console}/?q={message}", f"{stock}/?q={message}"),
        Page("messages", "search: user's email", f"{console}/?q={email}", f"{stock}/?q={email}"),
        Page("messages", "search: nothing found", f"{console}/?q=nothing-like-it", f"{stock}/?q=nothing-like-it"),
    ]


def _transactions() -> list[Page]:
    console, stock, table = "billing/batterytransaction", "stock/transaction", "transactions"
    user, email = _person()
    intent = cell("SELECT stripe_payment_intent_id FROM battery_transactions WHERE stripe_payment_intent_id > ''")
    undated = "stock/undatedtransaction"
    return [
        *walk(table, stock, console, "battery_transactions", "created_at"),
        *(
            replace(page, name=f"{page.name}, stock without `date_hierarchy`")
            for page in walk(table, undated, console, "battery_transactions", "created_at")
        ),
        Page(table, "filter: usage", f"{console}/?type=usage", f"{stock}/?type__exact=usage"),
        Page(
            table,
            "filter: usage, stock without `date_hierarchy`",
            f"{console}/?type=usage",
            f"{undated}/?type__exact=usage",
        ),
        Page(table, "filter: refund", f"{console}/?type=refund", f"{stock}/?type__exact=refund"),
        Page(table, "filter: past 7 days", f"{console}/?period=week", f"{stock}/?{since('created_at', 7)}"),
        Page(table, "of one user", f"{console}/?user={user}", f"{stock}/?user__id__exact={user}"),
        Page(table, "search: payment intent", f"{console}/?q={intent}", f"{stock}/?q={intent}"),
        Page(table, "search: user's email", f"{console}/?q={email}", f"{stock}/?q={email}"),
    ]


def _users() -> list[Page]:
    console, stock, table = "chat/user", "stock/user", "users"
    user, email = _person()
    customer = cell("SELECT stripeCustomerId FROM users WHERE stripeCustomerId > '' LIMIT 1 OFFSET 20")
    return [
        *walk(table, stock, console, "users", "createdAt"),
        Page(table, "filter: paid", f"{console}/?tier=paid", f"{stock}/?tier__exact=paid"),
        Page(
            table,
            "filter: past due",
            f"{console}/?subscription_status=past_due",
            f"{stock}/?subscription_status__exact=past_due",
        ),
        Page(
            table,
            "filter: free and active",
            f"{console}/?tier=free&subscription_status=active",
            f"{stock}/?tier__exact=free&subscription_status__exact=active",
        ),
        Page(table, "search: email", f"{console}/?q={email}", f"{stock}/?q={email}"),
        Page(table, "search: beginning of a name", f"{console}/?q=mar", f"{stock}/?q=mar"),
        Page(table, "search: Clerk id", f"{console}/?q={user}", f"{stock}/?q={user}"),
        Page(table, "search: Stripe customer", f"{console}/?q={customer}", f"{stock}/?q={customer}"),
    ]


def _others() -> list[Page]:
    user, email = _person()
    return [
        Page("conversations", "first page", "chat/conversation/", "stock/conversation/"),
        Page("conversations", "filter: pinned", "chat/conversation/?pinned=yes", "stock/conversation/?pinned__exact=1"),
        Page(
            "conversations", "search: user's email", f"chat/conversation/?q={email}", f"stock/conversation/?q={email}"
        ),
        Page("API usage", "first page", "chat/apiusage/", "stock/usage/"),
        Page(
            "API usage",
            "filter: model",
            "chat/apiusage/?model=openai/gpt-4o",
            "stock/usage/?model__exact=openai/gpt-4o",
        ),
        Page("API usage", "of one user", f"chat/apiusage/?user={user}", f"stock/usage/?user__id__exact={user}"),
        Page("daily usage", "first page", "chat/dailyusagesummary/"),
        Page("subscriptions", "first page", "billing/usersubscription/"),
        Page("subscriptions", "filter: canceled", "billing/usersubscription/?status=canceled"),
        Page("batteries", "first page", "billing/userbattery/"),
        Page("audit log", "first page", "database/auditlog/"),
    ]


def _rows() -> list[Page]:
    user, message = _person()[0], cell("SELECT id FROM messages LIMIT 1 OFFSET 5000")
    busiest = cell("SELECT id FROM users ORDER BY id LIMIT 1")
    return [
        Page("one row", "a user's page", f"chat/user/{user}/change/", f"stock/user/{user}/change/"),
        Page("one row", "the busiest user's page", f"chat/user/{busiest}/change/", f"stock/user/{busiest}/change/"),
        Page("one row", "a message", f"chat/message/{message}/change/", f"stock/message/{message}/change/"),
    ]


def _across_tables() -> list[Page]:
    """Pages that a stock admin has not: the home page, the box that finds all, and the parts of an account."""
    user, email = _person()
    count_figures()
    account = f"account/{quote(user)}"
    parts = ("", "payments/", "conversations/", "usage/", "timeline/")
    return [
        Page("home", "with its figures", ""),
        Page("box", "beginning of an email", f"find/?q={email[:6]}"),
        Page("box", "part of an email", f"find/?q={email[2:9]}"),
        Page("box", "nothing found", "find/?q=nothing-like-it"),
        *(Page("account", part.rstrip("/") or "overview", f"{account}/{part}") for part in parts),
    ]
