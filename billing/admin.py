"""The admin of plans, subscriptions, and the battery with its ledger. The ledger and balances are only read here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest

from billing.forms import PlanForm, SubscriptionForm
from billing.ledger_page import LedgerMixin, ledger_url
from billing.models import (
    BatteryTransaction,
    StoredStatus,
    SubscriptionPlan,
    TransactionType,
    UserBattery,
    UserSubscription,
)
from billing.resources import PlanResource
from chat.models import User
from chat.owned import OfUserAdmin, parent_label
from database import cells
from database.admin import CheapAdmin, newest_first
from database.filters import by_choice, by_parent, by_period, by_seen
from database.paging import Order
from database.search import Beginning, Exact, FirstOf, Owners, Search


@admin.register(SubscriptionPlan)
class SubscriptionPlanAdmin(CheapAdmin):
    form = PlanForm
    resource_class = PlanResource
    key = cells.column("id", cells.identifier, "id")
    monthly = cells.column("price_monthly", cells.cents, "a month")
    annual = cells.column("price_annual", cells.cents, "a year")
    battery = cells.column("battery_units", cells.units, "battery a period")
    daily = cells.column("daily_battery", cells.units, "battery a day")
    monthly_price_id = cells.column("stripe_price_id_monthly", cells.identifier, "monthly Stripe price")
    annual_price_id = cells.column("stripe_price_id_annual", cells.identifier, "annual Stripe price")
    feature_list = cells.column("features", cells.json_block, "features")
    created = cells.column("created_at", cells.moment, "created")
    updated = cells.column("updated_at", cells.moment, "updated")

    list_display = ("name", "key", "monthly", "annual", "battery", "daily", "monthly_price_id", "annual_price_id")
    editable = (
        "name", "price_monthly", "price_annual", "battery_units", "daily_battery", "features",
        "stripe_price_id_monthly", "stripe_price_id_annual",
    )  # fmt: skip
    shown_by = {
        "price_monthly": "monthly",
        "price_annual": "annual",
        "battery_units": "battery",
        "daily_battery": "daily",
        "features": "feature_list",
        "stripe_price_id_monthly": "monthly_price_id",
        "stripe_price_id_annual": "annual_price_id",
    }
    fieldsets = (
        ("Plan", {"fields": ("name", "price_monthly", "price_annual", "battery_units", "daily_battery", "features")}),
        ("Stripe", {"fields": ("stripe_price_id_monthly", "stripe_price_id_annual")}),
        ("Row", {"fields": ("key", "created", "updated")}),
    )
    orders = (Order("key", F("pk"), descending=False),)
    search = Search((FirstOf(("id",)), Beginning(("name",))), "The id of a plan, or the beginning of its name.")

    def links(self, row: SubscriptionPlan) -> list[tuple[str, str]]:
        return [("Subscriptions", cells.list_url(UserSubscription, plan=row.pk))]


@admin.register(UserSubscription)
class UserSubscriptionAdmin(OfUserAdmin):
    form = SubscriptionForm
    key = cells.column("id", cells.identifier, "id")
    state = cells.column("status", cells.state(StoredStatus.values), "status")
    customer = cells.column("stripe_customer_id", cells.identifier, "Stripe customer")
    subscription = cells.column("stripe_subscription_id", cells.identifier, "Stripe subscription")
    starts = cells.column("current_period_start", cells.moment, "period from")
    ends = cells.column("current_period_end", cells.moment, "period to")
    cancels = cells.column("cancel_at", cells.moment, "cancels")
    canceled = cells.column("canceled_at", cells.moment, "canceled")
    trial = cells.column("trial_end", cells.moment, "trial to")
    created = cells.column("created_at", cells.moment, "created", sort="created_at")
    updated = cells.column("updated_at", cells.moment, "updated")

    list_display = ("subscription_name", "of_user", "of_plan", "state", "ends", "cancels", "created")
    states = ("state",)
    list_filter = (
        by_choice("status", StoredStatus.values),
        by_seen("plan", "plan_id"),
        by_parent("user", "user_id", "Clerk id"),
        by_period("created_at", "created"),
    )
    editable = (
        "plan", "status", "stripe_customer_id", "stripe_subscription_id", "current_period_start", "current_period_end",
        "cancel_at", "canceled_at", "trial_end",
    )  # fmt: skip
    shown_by = {
        "plan": "of_plan",
        "status": "state",
        "stripe_customer_id": "customer",
        "stripe_subscription_id": "subscription",
        "current_period_start": "starts",
        "current_period_end": "ends",
        "cancel_at": "cancels",
        "canceled_at": "canceled",
        "trial_end": "trial",
    }
    fieldsets = (
        ("Subscription", {"fields": ("of_user", "plan", "status")}),
        ("Dates", {"fields": ("current_period_start", "current_period_end", "cancel_at", "canceled_at", "trial_end")}),
        ("Stripe", {"fields": ("stripe_customer_id", "stripe_subscription_id")}),
        ("Row", {"fields": ("key", "created", "updated")}),
    )
    autocomplete_fields = ("plan",)
    orders = (newest_first("created_at", "created", "status", "plan", "user"),)
    search = Search(
        (
            Exact("user_id", starts="user_"),
            Exact("stripe_customer_id", starts="cus_"),
            Exact("stripe_subscription_id", starts="sub_"),
            Owners("user_id", User),
            Exact("id"),
        ),
        "A user's Clerk id, Stripe customer (cus_) or subscription (sub_), or the beginning of the user's email.",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(plan_name=parent_label(SubscriptionPlan, "plan_id", "name"))
        )
        return rows

    @admin.display(description="subscription")
    def subscription_name(self, row: UserSubscription) -> Any:
        return cells.identifier(row.stripe_subscription_id or row.pk)

    @admin.display(description="plan")
    def of_plan(self, row: Any) -> Any:
        return cells.row_link(SubscriptionPlan, row.plan_id, row.plan_name)


@admin.register(UserBattery)
class UserBatteryAdmin(OfUserAdmin):
    balance = cells.column("total_balance", cells.units, "balance")
    allowance = cells.column("daily_allowance", cells.units, "a day")
    reset = cells.column("last_daily_reset", cells.day, "last reset")
    created = cells.column("created_at", cells.moment, "created")
    updated = cells.column("updated_at", cells.moment, "updated")
    key = cells.column("user_id", cells.identifier, "Clerk id")

    list_display = ("key", "of_user", "balance", "allowance", "reset", "updated")
    fields = ("key", "of_user", "balance", "allowance", "reset", "created", "updated")
    orders = (Order("key", F("pk"), descending=False),)
    search = Search(
        (Owners("user_id", User), Exact("user_id")), "A user's Clerk id, or the beginning of the user's email."
    )

    def links(self, row: UserBattery) -> list[tuple[str, str]]:
        return [("Ledger", ledger_url(row.pk)), ("Transactions", cells.list_url(BatteryTransaction, user=row.pk))]


@admin.register(BatteryTransaction)
class BatteryTransactionAdmin(LedgerMixin, OfUserAdmin):
    key = cells.column("id", cells.identifier, "id")
    kind = cells.column("type", cells.state(TransactionType.values), "type")
    change = cells.column("amount", cells.signed_units, "amount")
    balance = cells.column("balance_after", cells.units, "balance after")
    payment = cells.column("stripe_payment_intent_id", cells.identifier, "Stripe payment intent")
    details = cells.column("metadata", cells.json_block, "metadata")
    created = cells.column("created_at", cells.moment, "created", sort="created_at")

    list_display = ("key", "created", "of_user", "kind", "change", "balance", "payment")
    states = ("kind",)
    list_filter = (
        by_choice("type", TransactionType.values),
        by_parent("user", "user_id", "Clerk id"),
        by_period("created_at", "created"),
    )
    fields = ("key", "created", "of_user", "kind", "change", "balance", "payment", "details")
    orders = (newest_first("created_at", "created", "type", "user"),)
    search = Search(
        (
            Exact("user_id", starts="user_"),
            Exact("stripe_payment_intent_id", starts="pi_"),
            Owners("user_id", User),
            FirstOf(("id", "user_id", "stripe_payment_intent_id")),
        ),
        "A user's Clerk id, a payment intent (pi_), the id of a transaction, or the beginning of the user's email.",
    )

    def links(self, row: BatteryTransaction) -> list[tuple[str, str]]:
        return [("Ledger", ledger_url(row.user_id))] if row.user_id else []
