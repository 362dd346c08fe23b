"""How the business goes: subscriptions, revenue and battery, each counted by one query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import BooleanField, Case, Count, F, FloatField, Func, QuerySet, TextField, Value, When
from django.db.models.functions import Substr

from billing.models import BatteryTransaction, TransactionType, UserSubscription
from chat.figures import Total
from database.instants import Instant

MONTHS_OF_A_YEAR = 12
#: A period longer than this is a year's; the tables keep no interval.
LONGEST_MONTH = 60


class Days(Func):
    """The days from one instant to another; NULL where either is none."""

    template = "(julianday(%(expressions)s))"
    arg_joiner = ") - julianday("
    output_field = FloatField()


@dataclass(frozen=True)
class PlanCount:
    """Subscriptions to a plan in a state. `cents` is what they bring in a month, a year's price spread over it."""

    plan: str
    status: str
    count: int
    cents: int


def subscriptions() -> list[PlanCount]:
    """All subscriptions by plan and status, with what they would bring a month at the plan's price."""
    rows = (
        UserSubscription.objects.annotate(
            days=Days(Instant("current_period_end"), Instant("current_period_start")),
        )
        .annotate(
            yearly=Case(When(days__gt=LONGEST_MONTH, then=Value(True)), default=False, output_field=BooleanField())
        )
        .values("plan_id", "plan__name", "plan__price_monthly", "plan__price_annual", "status", "yearly")
        .annotate(count=Count("pk"))
        .order_by("plan_id", "status")
    )
    counts: dict[tuple[str, str], tuple[int, float]] = {}
    for row in rows:
        key = (row["plan__name"] or row["plan_id"] or "", row["status"] or "")
        count, cents = counts.get(key, (0, 0.0))
        counts[key] = (count + row["count"], cents + row["count"] * _monthly(row))
    return [PlanCount(*key, count, round(cents)) for key, (count, cents) in counts.items()]


def _monthly(row: dict[str, Any]) -> float:
    price = row["plan__price_annual"] if row["yearly"] else row["plan__price_monthly"]
    return (price / MONTHS_OF_A_YEAR if row["yearly"] else price) if isinstance(price, int) else 0


def by_day(field: str, first: date) -> list[tuple[str, int]]:
    """(UTC day, subscriptions) whose `field`, an instant, is on that day: created_at, canceled_at."""
    return [(row["day"], row["count"]) for row in _since(UserSubscription.objects.all(), field, first, Count("pk"))]


def battery_by_day(first: date) -> list[tuple[str, int, int]]:
    """(UTC day, units granted, units used) by the ledger; what was used is above 0 too, and no refund is use."""
    rows = (
        BatteryTransaction.objects.filter(created_at__gte=_midnight(first))
        .values(day=Substr(Instant("created_at"), 1, 10))
        .annotate(
            granted=Total(Case(When(amount__gt=0, then=F("amount")))),
            used=Total(Case(When(type=TransactionType.USAGE, amount__lt=0, then=-F("amount")))),
        )
        .order_by("day")
    )
    return [(row["day"], int(row["granted"]), int(row["used"])) for row in rows]


def _since(rows: QuerySet[Any], field: str, first: date, count: Any) -> Any:
    day: Any = Substr(Instant(field), 1, 10, output_field=TextField())
    return rows.filter(**{f"{field}__gte": _midnight(first)}).values(day=day).annotate(count=count).order_by("day")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
