"""Users, their conversations and messages, and what these used."""

from __future__ import annotations

from django.core.validators import URLValidator, validate_email
from django.db import models

from database.fields import DayField, FlagField, InstantField, JSONTextField, PlainTextField, WholeField
from database.identifiers import id_validator


class SubscriptionStatus(models.TextChoices):
    ACTIVE = "active"
    CANCELED = "canceled"
    PAST_DUE = "past_due"
    TRIALING = "trialing"
    INACTIVE = "inactive"
    INCOMPLETE = "incomplete"


class Tier(models.TextChoices):
    FREE = "free"
    PAID = "paid"


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


def key_to(model: str, column: str, related_name: str) -> models.ForeignKey:
    """A key that may dangle: a row whose parent is gone is shown all the same, so the join is an outer one."""
    return models.ForeignKey(
        model, models.DO_NOTHING, db_column=column, null=True, db_constraint=False, related_name=related_name
    )


class User(models.Model):
    """An account of OmniChat. `id` is the Clerk user id."""

    id = PlainTextField("Clerk id", primary_key=True, db_column="id", validators=[id_validator("user")])
    email = PlainTextField(db_column="email", unique=True, validators=[validate_email])
    name = PlainTextField(db_column="name", null=True, blank=True)
    avatar_url = PlainTextField(
        "avatar URL", db_column="avatarUrl", null=True, blank=True, validators=[URLValidator(["http", "https"])]
    )
    stripe_customer_id = PlainTextField(
        "Stripe customer", db_column="stripeCustomerId", null=True, blank=True, validators=[id_validator("cus")]
    )
    subscription_status = PlainTextField(
        db_column="subscriptionStatus", null=True, blank=True, choices=SubscriptionStatus
    )
    subscription_id = PlainTextField(
        "Stripe subscription", db_column="subscriptionId", null=True, blank=True, validators=[id_validator("sub")]
    )
    tier = PlainTextField(db_column="tier", null=True, blank=True, choices=Tier)
    created_at = InstantField(db_column="createdAt", null=True)
    updated_at = InstantField(db_column="updatedAt", null=True)

    class Meta:
        managed = False
        db_table = "users"

    def __str__(self) -> str:
        return self.email or f"{self.id}"


class Conversation(models.Model):
    id = PlainTextField(primary_key=True, db_column="id")
    user = key_to("chat.User", "userId", "conversations")
    title = PlainTextField(db_column="title", null=True, blank=True)
    model_id = PlainTextField("model", db_column="modelId", null=True, blank=True)
    pinned = FlagField(db_column="pinned", null=True)
    archived = FlagField(db_column="archived", null=True)
    last_message_at = InstantField(db_column="lastMessageAt", null=True)
    created_at = InstantField(db_column="createdAt", null=True)
    updated_at = InstantField(db_column="updatedAt", null=True)

    class Meta:
        managed = False
        db_table = "conversations"

    def __str__(self) -> str:
        return self.title or f"{self.id}"


class Message(models.Model):
    """One message. `content` is shown only to who may see it."""

    id = PlainTextField(primary_key=True, db_column="id")
    conversation = key_to("chat.Conversation", "conversationId", "messages")
    role = PlainTextField(db_column="role", choices=Role)
    content = PlainTextField(db_column="content")
    model_id = PlainTextField("model", db_column="modelId", null=True, blank=True)
    metadata = JSONTextField(db_column="metadata", null=True, blank=True)
    created_at = InstantField(db_column="createdAt", null=True)
    updated_at = InstantField(db_column="updatedAt", null=True)

    class Meta:
        managed = False
        db_table = "messages"

    def __str__(self) -> str:
        return f"{self.id}"


class ApiUsage(models.Model):
    """What one call of a model used: tokens in and out, and battery in units."""

    id = PlainTextField(primary_key=True, db_column="id")
    user = key_to("chat.User", "user_id", "api_usage")
    conversation = key_to("chat.Conversation", "conversation_id", "api_usage")
    message = key_to("chat.Message", "message_id", "api_usage")
    model = PlainTextField(db_column="model", null=True)
    input_tokens = WholeField(db_column="input_tokens", null=True)
    output_tokens = WholeField(db_column="output_tokens", null=True)
    battery_used = WholeField(db_column="battery_used", null=True)
    cached = FlagField(db_column="cached", null=True)
    date = DayField(db_column="date", null=True)
    created_at = InstantField(db_column="created_at", null=True)

    class Meta:
        managed = False
        db_table = "api_usage"
        verbose_name = "API usage"
        verbose_name_plural = "API usage"

    def __str__(self) -> str:
        return f"{self.id}"


class DailyUsageSummary(models.Model):
    """A user's day: battery in units, messages, and how often each model was used (JSON object)."""

    id = PlainTextField(primary_key=True, db_column="id")
    user = key_to("chat.User", "user_id", "daily_usage")
    date = DayField(db_column="date", null=True)
    total_battery_used = WholeField(db_column="total_battery_used", null=True)
    total_messages = WholeField(db_column="total_messages", null=True)
    models_used = JSONTextField(db_column="models_used", null=True)
    created_at = InstantField(db_column="created_at", null=True)
    updated_at = InstantField(db_column="updated_at", null=True)

    class Meta:
        managed = False
        db_table = "daily_usage_summary"
        verbose_name = "daily usage"
        verbose_name_plural = "daily usage"

    def __str__(self) -> str:
        return f"{self.user_id} {self.date}"
