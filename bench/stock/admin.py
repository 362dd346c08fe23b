"""A stock admin as a careful team writes it: related rows joined, raw ids for keys, pages as long as the console's."""

from django.contrib import admin

from bench.stock import models

plain = admin.AdminSite("stock")


class Plain(admin.ModelAdmin):
    list_per_page = 50


class TransactionInline(admin.TabularInline):
    model = models.Transaction
    extra = 0


class SubscriptionInline(admin.TabularInline):
    model = models.Subscription
    extra = 0


@admin.register(models.User, site=plain)
class UserAdmin(Plain):
    list_select_related = ("battery",)
    list_display = ("email", "name", "tier", "subscription_status", "balance", "stripe_customer_id", "created_at")
    list_filter = ("tier", "subscription_status", "created_at")
    search_fields = ("id", "email", "name", "stripe_customer_id", "subscription_id")
    ordering = ("-created_at",)
    inlines = (SubscriptionInline, TransactionInline)

    @admin.display
    def balance(self, user: models.User) -> int | None:
        return user.battery.total_balance


@admin.register(models.Conversation, site=plain)
class ConversationAdmin(Plain):
    list_select_related = ("user",)
    list_display = ("title", "user", "model_id", "pinned", "archived", "last_message_at")
    list_filter = ("pinned", "archived", "last_message_at")
    search_fields = ("id", "title", "user__email")
    ordering = ("-last_message_at",)
    raw_id_fields = ("user",)


@admin.register(models.Message, site=plain)
class MessageAdmin(Plain):
    list_select_related = ("conversation",)
    list_display = ("id", "conversation", "role", "model_id", "created_at")
    list_filter = ("role", "model_id", "created_at")
    search_fields = ("id", "conversation__id", "conversation__user__email")
    ordering = ("-created_at",)
    raw_id_fields = ("conversation",)


@admin.register(models.Transaction, site=plain)
class TransactionAdmin(Plain):
    date_hierarchy = "created_at"
    list_select_related = ("user",)
    list_display = ("id", "created_at", "user", "type", "amount", "balance_after", "stripe_payment_intent_id")
    list_filter = ("type", "created_at")
    search_fields = ("id", "user__email", "stripe_payment_intent_id")
    ordering = ("-created_at",)
    raw_id_fields = ("user",)


@admin.register(models.UndatedTransaction, site=plain)
class UndatedTransactionAdmin(TransactionAdmin):
    date_hierarchy = None


@admin.register(models.Usage, site=plain)
class UsageAdmin(Plain):
    list_select_related = ("user",)
    list_display = ("created_at", "user", "model", "input_tokens", "output_tokens", "battery_used")
    list_filter = ("model", "created_at")
    search_fields = ("id", "user__email")
    ordering = ("-created_at",)
    raw_id_fields = ("user",)
