"""What OmniChat was used for: figures by day, each counted by one query over an index of days."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db.models import Count, F, FloatField, Func, QuerySet

from chat.models import ApiUsage, DailyUsageSummary
from database.instants import StoredText


class Total(Func):
    """A sum that neither overflows nor stumbles over a text among the numbers. Exact to 2^53."""

    function = "total"
    output_field = FloatField()
    contains_aggregate = True

    def get_group_by_cols(self) -> list[Any]:
        return []


def usage_by_day(first: date) -> list[tuple[str, str, int, int]]:
    """(UTC day, model, units, calls) of the calls since a day."""
    rows = (
        ApiUsage.objects.filter(date__gte=first)
        .values(day=StoredText("date"), name=F("model"))
        .annotate(units=Total("battery_used"), calls=Count("pk"))
        .order_by("day", "name")
    )
    return [(str(row["day"])[:10], row["name"] or "", int(row["units"]), row["calls"]) for row in rows]


def most_active(first: date, most: int = 10) -> list[tuple[str, str, int, int]]:
    """(user, email, units, messages) of those who used most since a day, by the daily summaries."""
    rows: QuerySet[Any, Any] = (
        DailyUsageSummary.objects.filter(date__gte=first)
        .values("user_id", "user__email")
        .annotate(units=Total("total_battery_used"), messages=Total("total_messages"))
        .order_by("-units", "user_id")[:most]
    )
    return [(r["user_id"], r["user__email"] or r["user_id"], int(r["units"]), int(r["messages"])) for r in rows]
