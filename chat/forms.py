"""The form by which staff edit an account."""

from __future__ import annotations

from typing import Any

from chat.models import SubscriptionStatus, Tier, User
from database.edit_form import EditForm

#: Statuses that make the tier `paid`; all others make it `free`.
PAYING = (SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING)


def disagree(tier: Any, status: Any) -> bool:
    """Whether a tier is not the one that the status of the subscription makes."""
    return bool((tier == Tier.PAID) != (status in PAYING))


class UserForm(EditForm):
    class Meta:
        model = User
        fields = ("email", "name", "avatar_url", "stripe_customer_id", "subscription_status", "subscription_id", "tier")

    def clean(self) -> dict[str, Any]:
        tier, status = self.value_of("tier"), self.value_of("subscription_status")
        if disagree(tier, status):
            self.warnings.append(
                f"The tier is “{tier or 'nothing'}” while the subscription is “{status or 'nothing'}”."
            )
        return super().clean() or {}
