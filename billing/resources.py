"""Plans as a file. Prices in cents, battery in units."""

from __future__ import annotations

from billing.models import SubscriptionPlan
from database.exchange import TableResource


class PlanResource(TableResource):
    importable = (
        "id",
        "name",
        "price_monthly",
        "price_annual",
        "battery_units",
        "daily_battery",
        "features",
        "stripe_price_id_monthly",
        "stripe_price_id_annual",
    )
    required = ("name",)

    class Meta:
        model = SubscriptionPlan
