"""Accounts as a file."""

from __future__ import annotations

from chat.models import SubscriptionStatus, Tier, User
from database.exchange import TableResource


class UserResource(TableResource):
    importable = (
        "id",
        "email",
        "name",
        "avatar_url",
        "stripe_customer_id",
        "subscription_status",
        "subscription_id",
        "tier",
    )
    required = ("email",)
    defaults = {"subscription_status": SubscriptionStatus.INACTIVE.value, "tier": Tier.FREE.value}

    class Meta:
        model = User
