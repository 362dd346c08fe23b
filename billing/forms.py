"""The forms by which staff edit plans and subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.models import SubscriptionPlan, UserSubscription
from billing.resync.plans import USELESS
from database.edit_form import EditForm

CHARGED = "What Stripe charges stands in the price at Stripe: an edit here changes what is shown alone."


class PlanForm(EditForm):
    """Prices in cents, battery in units."""

    class Meta:
        model = SubscriptionPlan
        fields = (
            "name",
            "price_monthly",
            "price_annual",
            "battery_units",
            "daily_battery",
            "features",
            "stripe_price_id_monthly",
            "stripe_price_id_annual",
        )
        help_texts = {
            "battery_units": USELESS,
            "daily_battery": USELESS,
            "price_monthly": CHARGED,
            "price_annual": CHARGED,
        }

    def clean(self) -> dict[str, Any]:
        ids = {name: self.value_of(name) for name in ("stripe_price_id_monthly", "stripe_price_id_annual")}
        others = SubscriptionPlan.objects.exclude(pk=self.instance.pk).values_list(*ids)
        taken = {id for pair in others for id in pair}
        for name in ids.keys() & self.cleaned_data.keys():
            if ids[name] and (ids[name] in taken or list(ids.values()).count(ids[name]) > 1):
                self.add_error(name, "This price stands at another plan or interval already: nobody would know which.")
        return super().clean() or {}


class SubscriptionForm(EditForm):
    class Meta:
        model = UserSubscription
        fields = (
            "user",
            "plan",
            "status",
            "stripe_customer_id",
            "stripe_subscription_id",
            "current_period_start",
            "current_period_end",
            "cancel_at",
            "canceled_at",
            "trial_end",
        )

    def clean(self) -> dict[str, Any]:
        start, end = self.value_of("current_period_start"), self.value_of("current_period_end")
        # Where both are as they were found, their order is not this edit's business.
        if {"current_period_start", "current_period_end"} & self.cleaned_data.keys() and _after(start, end):
            self.add_error("current_period_end", "The period has to end after its start.")
        return super().clean() or {}


def _after(start: Any, end: Any) -> bool:
    return isinstance(start, datetime) and isinstance(end, datetime) and start >= end
