"""OmniChat's large tables as a team gets them from `inspectdb`, with keys and dates given their types."""

from django.db import models


def key(model: str, column: str) -> models.ForeignKey:
    return models.ForeignKey(model, models.DO_NOTHING, db_column=column, null=True, db_constraint=False)


class User(models.Model):
    id = models.TextField(primary_key=True)
    email = models.TextField(unique=True)
    name = models.TextField(null=True)
    stripe_customer_id = models.TextField(db_column="stripeCustomerId", null=True)
    subscription_status = models.TextField(db_column="subscriptionStatus", null=True)
    subscription_id = models.TextField(db_column="subscriptionId", null=True)
    tier = models.TextField(null=True)
    created_at = models.DateTimeField(db_column="createdAt", null=True)

    class Meta:
        managed = False
        db_table = "stock_users"

    def __str__(self) -> str:
        return self.email


class Conversation(models.Model):
    id = models.TextField(primary_key=True)
    user = key(User, "userId")
    title = models.TextField(null=True)
    model_id = models.TextField(db_column="modelId", null=True)
    pinned = models.BooleanField(null=True)
    archived = models.BooleanField(null=True)
    last_message_at = models.DateTimeField(db_column="lastMessageAt", null=True)

    class Meta:
        managed = False
        db_table = "stock_conversations"

    def __str__(self) -> str:
        return self.title or self.id


class Message(models.Model):
    id = models.TextField(primary_key=True)
    conversation = key(Conversation, "conversationId")
    role = models.TextField()
    content = models.TextField()
    model_id = models.TextField(db_column="modelId", null=True)
    created_at = models.DateTimeField(db_column="createdAt", null=True)

    class Meta:
        managed = False
        db_table = "stock_messages"

    def __str__(self) -> str:
        return self.id


class Battery(models.Model):
    user = models.OneToOneField(User, models.DO_NOTHING, primary_key=True, db_column="user_id", db_constraint=False)
    total_balance = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "stock_user_battery"

    def __str__(self) -> str:
        return str(self.pk)


class Subscription(models.Model):
    id = models.TextField(primary_key=True)
    user = key(User, "user_id")
    plan_id = models.TextField(null=True)
    stripe_subscription_id = models.TextField(null=True)
    status = models.TextField(null=True)
    current_period_end = models.DateTimeField(null=True)
    created_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "stock_user_subscriptions"

    def __str__(self) -> str:
        return str(self.pk)


class Transaction(models.Model):
    id = models.TextField(primary_key=True)
    user = key(User, "user_id")
    type = models.TextField()
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField(null=True)
    stripe_payment_intent_id = models.TextField(null=True)
    created_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "stock_battery_transactions"

    def __str__(self) -> str:
        return str(self.pk)


class UndatedTransaction(Transaction):
    """The same, for an admin without a hierarchy of dates."""

    class Meta:
        managed = False
        proxy = True


class Usage(models.Model):
    id = models.TextField(primary_key=True)
    user = key(User, "user_id")
    model = models.TextField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    battery_used = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "stock_api_usage"

    def __str__(self) -> str:
        return str(self.pk)
