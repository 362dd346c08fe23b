"""Views of OmniChat's tables for the stock admin, with every moment in the one form that Django's own fields read.

SQLite flattens a view into the query, and its moments are the very expression of the console's indexes: the stock admin
works on the same rows through the same indexes.
"""

from __future__ import annotations

from django.db import connections

MOMENT = (
    "CASE WHEN {0} GLOB '*[^0-9]*' THEN replace(replace({0},'T',' '),'Z','') "
    "ELSE strftime('%Y-%m-%d %H:%M:%f', {0}, 'unixepoch') END"
)
MOMENTS = ("createdAt", "created_at", "lastMessageAt")
TABLES = (
    "users",
    "conversations",
    "messages",
    "user_battery",
    "user_subscriptions",
    "battery_transactions",
    "api_usage",
)


def create() -> None:
    with connections["omnichat"].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT name FROM pragma_table_info('{table}')")
            names = [name for (name,) in cursor.fetchall()]
            columns = [f"{MOMENT.format(name)} AS {name}" if name in MOMENTS else name for name in names]
            cursor.execute(f"CREATE VIEW IF NOT EXISTS stock_{table} AS SELECT {', '.join(columns)} FROM {table}")
