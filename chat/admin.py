"""The admin of accounts, their conversations and messages, and what these used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import F, Model, OuterRef, QuerySet, Subquery, TextField
from django.db.models.functions import Coalesce, Collate, Length
from django.http import HttpRequest, HttpResponse

from chat.forms import UserForm
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, Role, SubscriptionStatus, Tier, User
from chat.owned import OfUserAdmin, parent_label
from chat.resources import UserResource
from database import cells
from database.admin import CheapAdmin, newest_first
from database.edit_form import EditForm
from database.filters import by_choice, by_flag, by_parent, by_period, by_seen
from database.instants import StoredText
from database.object_actions import opened
from database.paging import Order, RowId
from database.search import Beginning, Exact, FirstOf, Found, Owners, Search, Way, among, equals

#: A column of whose text the database gives the length alone.
LENGTH = "content_length"


def newest_plan() -> Subquery:
    """The name of the plan of a user's newest subscription, or its id where there is no such plan."""
    subscriptions = apps.get_model("billing.UserSubscription")._default_manager.filter(user_id=OuterRef("pk"))
    text: TextField = TextField()
    named = Coalesce(F("plan__name"), F("plan_id"), output_field=text)
    # By the order of insertion: an adopted table may have no date.
    return Subquery(subscriptions.order_by(RowId().desc()).values(named=named)[:1])


@admin.register(User)
class UserAdmin(CheapAdmin):
    form = UserForm
    resource_class = UserResource
    clerk_id = cells.column("id", cells.identifier, "Clerk id")
    customer = cells.column("stripe_customer_id", cells.identifier, "Stripe customer")
    subscription = cells.column("subscription_id", cells.identifier, "Stripe subscription")
    status = cells.column("subscription_status", cells.state(SubscriptionStatus.values), "subscription")
    tier_label = cells.column("tier", cells.state(Tier.values), "tier")
    created = cells.column("created_at", cells.moment, "created", sort="created_at")
    updated = cells.column("updated_at", cells.moment, "updated")
    balance = cells.column("battery_balance", cells.units, "balance")
    avatar = cells.column("avatar_url", cells.text, "avatar URL")
    plan = cells.column("plan_name", cells.text, "plan")

    list_display = ("email", "name", "tier_label", "status", "plan", "balance", "customer", "created")
    states = ("tier_label", "status")
    list_filter = (
        by_choice("tier", Tier.values),
        by_choice("subscription_status", SubscriptionStatus.values, "subscription"),
        by_period("created_at", "created"),
    )
    editable = ("email", "name", "avatar_url", "tier", "subscription_status", "stripe_customer_id", "subscription_id")
    shown_by = {
        "avatar_url": "avatar",
        "tier": "tier_label",
        "subscription_status": "status",
        "stripe_customer_id": "customer",
        "subscription_id": "subscription",
    }
    fieldsets = (
        ("Profile", {"fields": ("email", "name", "avatar_url", "clerk_id", "created", "updated")}),
        ("Subscription", {"fields": ("tier", "subscription_status", "stripe_customer_id", "subscription_id")}),
        ("Plan and battery", {"fields": ("plan", "balance")}),
    )
    orders = (
        newest_first("created_at", "created", "tier", "subscription_status"),
        Order("email", Collate(F("email"), "NOCASE"), descending=False, tie=RowId()),
        Order("name", Collate(F("name"), "NOCASE"), descending=False, tie=RowId()),
    )
    search = Search(
        (
            Exact("id", starts="user_"),
            Exact("stripe_customer_id", starts="cus_"),
            Exact("subscription_id", starts="sub_"),
            Beginning(("email", "name")),
        ),
        "Beginning of an email or a name, or a whole Clerk id (user_), Stripe customer (cus_) or subscription (sub_).",
        inside=("email", "name"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(battery_balance=F("battery__total_balance"), plan_name=newest_plan())
        )
        return rows

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None and request.method == "GET":
            opened.send(User, request=request, user_id=str(row.pk), page="profile")
        return super().render_change_form(request, context, *args, **kwargs)

    def links(self, row: User) -> list[tuple[str, str]]:
        related = (
            ("Conversations", Conversation),
            ("Transactions", "billing.BatteryTransaction"),
            ("Subscriptions", "billing.UserSubscription"),
            ("API usage", ApiUsage),
            ("Daily usage", DailyUsageSummary),
            ("Audit log", "database.AuditLog"),
        )
        return [(label, cells.list_url(model, user=row.pk)) for label, model in related]


@admin.register(Conversation)
class ConversationAdmin(OfUserAdmin):
    form = EditForm
    key = cells.column("id", cells.identifier, "id")
    heading = cells.column("title", cells.text, "title")
    is_pinned = cells.column("pinned", cells.flag, "pinned")
    is_archived = cells.column("archived", cells.flag, "archived")
    active = cells.column("last_message_at", cells.moment, "last message", sort="last_message_at")
    created = cells.column("created_at", cells.moment, "created")
    updated = cells.column("updated_at", cells.moment, "updated")

    list_display = ("name", "of_user", "model_id", "is_pinned", "is_archived", "active", "created")
    list_filter = (
        by_parent("user", "user_id", "Clerk id"),
        by_flag("pinned"),
        by_flag("archived"),
        by_period("last_message_at", "last message"),
    )
    editable = ("title", "pinned", "archived")
    shown_by = {"title": "heading", "pinned": "is_pinned", "archived": "is_archived"}
    fields = ("title", "of_user", "model_id", "pinned", "archived", "active", "created", "updated", "key")
    orders = (newest_first("last_message_at", "active", "user", "pinned", "archived"),)
    search = Search(
        (Exact("user_id", starts="user_"), Owners("user_id", User), Exact("id")),
        "The id of a conversation, a user's Clerk id, or the beginning of the user's email.",
    )

    @admin.display(description="title")
    def name(self, row: Conversation) -> str:
        return row.title or "(no title)"

    def links(self, row: Conversation) -> list[tuple[str, str]]:
        return [("Messages", cells.list_url(Message, conversation=row.pk))]


@dataclass(frozen=True)
class OfUsersConversations(Way):
    """Messages of a user's newest conversations: the ids of the user come first, then those of the conversations."""

    most: int = 100

    def find(self, model: type[Model], term: str) -> Found | None:
        if "@" in term:
            found = Owners("user_id", User).find(Conversation, term)
        elif term.startswith("user_"):
            found = Found(equals("user_id", term))
        else:
            return None
        return self._messages(found) if found else None

    def _messages(self, users: Found) -> Found:
        newest = newest_first("last_message_at", "").applied(
            Conversation.objects.filter(users.condition), descending=True
        )
        ids = list(newest.values_list("pk", flat=True)[: self.most + 1])
        note = f"Of the {self.most} newest conversations." if len(ids) > self.most else ""
        return Found(among("conversation_id", ids[: self.most]), f"{users.note} {note}".strip(), users.queries + 1)


@admin.register(Message)
class MessageAdmin(CheapAdmin):
    """The content is nowhere here: neither fetched nor shown; its length is."""

    key = cells.column("id", cells.identifier, "id")
    author = cells.column("role", cells.state(Role.values), "role")
    length = cells.column(LENGTH, cells.number("characters"), "length")
    created = cells.column("created_at", cells.moment, "created", sort="created_at")
    updated = cells.column("updated_at", cells.moment, "updated")

    list_display = ("key", "of_conversation", "author", "length", "model_id", "created")
    states = ("author",)
    list_filter = (
        by_choice("role", Role.values),
        by_parent("conversation", "conversation_id", "Id of a conversation"),
        by_period("created_at", "created"),
    )
    unread = ("content", "metadata")
    fields = ("key", "of_conversation", "author", "length", "model_id", "created", "updated")
    orders = (newest_first("created_at", "created", "role", "conversation"),)
    search = Search(
        (OfUsersConversations(), FirstOf(("id", "conversation_id"))),
        "The id of a message or of its conversation, a user's Clerk id, or the beginning of the user's email.",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        title = parent_label(Conversation, "conversation_id", "title")
        told = {"conversation_title": title, LENGTH: Length("content")}
        rows: QuerySet[Any] = super().get_queryset(request).annotate(**told)
        return rows

    @admin.display(description="conversation")
    def of_conversation(self, row: Any) -> Any:
        return cells.row_link(Conversation, row.conversation_id, row.conversation_title)


@admin.register(ApiUsage)
class ApiUsageAdmin(OfUserAdmin):
    key = cells.column("id", cells.identifier, "id")
    read = cells.column("input_tokens", cells.tokens, "input")
    written = cells.column("output_tokens", cells.tokens, "output")
    battery = cells.column("battery_used", cells.units, "battery used")
    from_cache = cells.column("cached", cells.flag, "cached")
    on_day = cells.column("date", cells.day, "day")
    created = cells.column("created_at", cells.moment, "created", sort="created_at")
    of_conversation = cells.column("conversation_id", lambda pk: _linked(Conversation, pk), "conversation")
    of_message = cells.column("message_id", lambda pk: _linked(Message, pk), "message")

    list_display = ("created", "of_user", "model", "read", "written", "battery", "from_cache", "of_conversation")
    list_filter = (
        by_parent("user", "user_id", "Clerk id"),
        by_seen("model"),
        by_flag("cached"),
        by_period("created_at", "created"),
    )
    fields = (
        "key", "of_user", "of_conversation", "of_message", "model", "read", "written", "battery", "from_cache",
        "on_day", "created",
    )  # fmt: skip
    orders = (newest_first("created_at", "created", "user", "model", "cached"),)
    search = Search(
        (Exact("user_id", starts="user_"), Owners("user_id", User), Exact("id")),
        "A user's Clerk id, the beginning of the user's email, or the id of a row.",
    )


def _linked(model: type[Model], pk: Any) -> Any:
    """A link made of the key alone, where it costs too much to see whether the row is there."""
    return cells.row_link(model, pk, pk)


@admin.register(DailyUsageSummary)
class DailyUsageSummaryAdmin(OfUserAdmin):
    key = cells.column("id", cells.identifier, "id")
    on_day = cells.column("date", cells.day, "day", sort="date")
    battery = cells.column("total_battery_used", cells.units, "battery used")
    messages = cells.column("total_messages", cells.number("messages"), "messages")
    models = cells.column("models_used", cells.json_block, "models used")
    created = cells.column("created_at", cells.moment, "created")
    updated = cells.column("updated_at", cells.moment, "updated")

    list_display = ("on_day", "of_user", "battery", "messages", "names_of_models")
    list_filter = (by_parent("user", "user_id", "Clerk id"), by_period("date", "day"))
    fields = ("on_day", "of_user", "battery", "messages", "models", "created", "updated", "key")
    orders = (Order("on_day", StoredText("date"), leads=frozenset({"user"}), field="date"),)
    search = Search(
        (Exact("user_id", starts="user_"), Owners("user_id", User), Exact("id")),
        "A user's Clerk id, the beginning of the user's email, or the id of a row.",
    )

    @admin.display(description="models")
    def names_of_models(self, row: DailyUsageSummary) -> Any:
        used = row.models_used
        return ", ".join(f"{name} {count}" for name, count in used.items()) if isinstance(used, dict) else used
