"""Plans, subscriptions, and the battery with its ledger. Money is in cents, battery in units."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from chat.models import key_to
from database.fields import DayField, InstantField, JSONTextField, OuterOneToOneField, PlainTextField, WholeField
from database.identifiers import id_validator

NOT_NEGATIVE = [MinValueValidator(0)]


def validate_compound(value: Any) -> None:
    """A JSON value that the app can go through: an array or an object."""
    if not isinstance(value, list | dict):
        raise ValidationError('Enter a JSON array like ["one", "two"], or an object.', code="scalar")


class StoredStatus(models.TextChoices):
    """The statuses that `user_subscriptions.status` may hold."""

    ACTIVE = "active"
    CANCELED = "canceled"
    PAST_DUE = "past_due"
    TRIALING = "trialing"
    INCOMPLETE = "incomplete"


class TransactionType(models.TextChoices):
    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    BONUS = "bonus"
    REFUND = "refund"
    USAGE = "usage"


class SubscriptionPlan(models.Model):
    """What can be subscribed to. Prices in cents, battery in units: `battery_units` a period, `daily_battery` a day."""

    id = PlainTextField(primary_key=True, db_column="id")
    name = PlainTextField(db_column="name")
    price_monthly = WholeField("monthly price (cents)", db_column="price_monthly", null=True, validators=NOT_NEGATIVE)
    price_annual = WholeField("annual price (cents)", db_column="price_annual", null=True, validators=NOT_NEGATIVE)
    battery_units = WholeField(db_column="battery_units", null=True, validators=NOT_NEGATIVE)
    daily_battery = WholeField("daily battery (units)", db_column="daily_battery", null=True, validators=NOT_NEGATIVE)
    features = JSONTextField(db_column="features", null=True, blank=True, validators=[validate_compound])
    stripe_price_id_monthly = PlainTextField(
        "monthly Stripe price",
        db_column="stripe_price_id_monthly",
        null=True,
        blank=True,
        validators=[id_validator("price")],
    )
    stripe_price_id_annual = PlainTextField(
        "annual Stripe price",
        db_column="stripe_price_id_annual",
        null=True,
        blank=True,
        validators=[id_validator("price")],
    )
    created_at = InstantField(db_column="created_at", null=True)
    updated_at = InstantField(db_column="updated_at", null=True)

    class Meta:
        managed = False
        db_table = "subscription_plans"

    def __str__(self) -> str:
        return self.name or f"{self.id}"


class UserSubscription(models.Model):
    id = PlainTextField(primary_key=True, db_column="id")
    user = key_to("chat.User", "user_id", "subscriptions")
    plan = key_to("billing.SubscriptionPlan", "plan_id", "subscriptions")
    stripe_customer_id = PlainTextField(
        "Stripe customer", db_column="stripe_customer_id", null=True, blank=True, validators=[id_validator("cus")]
    )
    stripe_subscription_id = PlainTextField(
        "Stripe subscription",
        db_column="stripe_subscription_id",
        null=True,
        blank=True,
        validators=[id_validator("sub")],
    )
    status = PlainTextField(db_column="status", null=True, choices=StoredStatus)
    current_period_start = InstantField(db_column="current_period_start", null=True, blank=True)
    current_period_end = InstantField(db_column="current_period_end", null=True, blank=True)
    cancel_at = InstantField(db_column="cancel_at", null=True, blank=True)
    canceled_at = InstantField(db_column="canceled_at", null=True, blank=True)
    trial_end = InstantField(db_column="trial_end", null=True, blank=True)
    created_at = InstantField(db_column="created_at", null=True)
    updated_at = InstantField(db_column="updated_at", null=True)

    class Meta:
        managed = False
        db_table = "user_subscriptions"

    def __str__(self) -> str:
        return self.stripe_subscription_id or f"{self.id}"


class UserBattery(models.Model):
    """A user's balance and daily allowance, in units. `last_daily_reset` is a UTC day."""

    user = OuterOneToOneField(
        "chat.User",
        models.DO_NOTHING,
        primary_key=True,
        db_column="user_id",
        db_constraint=False,
        related_name="battery",
    )
    total_balance = WholeField("balance (units)", db_column="total_balance", null=True, validators=NOT_NEGATIVE)
    daily_allowance = WholeField(
        "daily allowance (units)", db_column="daily_allowance", null=True, validators=NOT_NEGATIVE
    )
    last_daily_reset = DayField(db_column="last_daily_reset", null=True)
    created_at = InstantField(db_column="created_at", null=True)
    updated_at = InstantField(db_column="updated_at", null=True)

    class Meta:
        managed = False
        db_table = "user_battery"
        verbose_name = "battery"
        verbose_name_plural = "batteries"

    def __str__(self) -> str:
        return f"{self.user_id}"


class BatteryTransaction(models.Model):
    """One entry of the ledger: `amount` in units, + for a credit and - for usage, and the balance it left."""

    id = PlainTextField(primary_key=True, db_column="id")
    user = key_to("chat.User", "user_id", "transactions")
    type = PlainTextField(db_column="type", choices=TransactionType)
    amount = WholeField("amount (units)", db_column="amount")
    balance_after = WholeField("balance after (units)", db_column="balance_after", null=True)
    stripe_payment_intent_id = PlainTextField("Stripe payment intent", db_column="stripe_payment_intent_id", null=True)
    metadata = JSONTextField(db_column="metadata", null=True)
    created_at = InstantField(db_column="created_at", null=True)

    class Meta:
        managed = False
        db_table = "battery_transactions"

    def __str__(self) -> str:
        return f"{self.id}"
