"""All of an account on one page: who it is, what it pays, what it has, what it did, and what is wrong with it.

Its head is one query to OmniChat's database, and each part of it one or two: `tests/console/test_account.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Count, F, Model, OuterRef, Subquery, TextField
from django.db.models.functions import Substr
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext

from billing.ledger_rows import Summary, summarize
from billing.models import BatteryTransaction, StoredStatus, SubscriptionPlan, UserSubscription
from chat.figures import Total
from chat.models import ApiUsage, Conversation, User
from console import bars
from database import cells
from database.columns import missing_fields
from database.instants import Instant
from database.paging import RowId

#: Days of the plot of the balance, and of the plot of usage.
DAYS, USAGE_DAYS = 90, 30
#: Rows that a part of the page shows; a list shows all.
MOST = 20
#: Models of the plot by name; all others are one.
MODELS = 5
IN_FORCE = (StoredStatus.ACTIVE, StoredStatus.TRIALING)


@dataclass(frozen=True)
class Account:
    """`subscriptions` are the newest first. `last_balance` is what the ledger's newest entry left, if there is one."""

    user: User
    subscriptions: list[UserSubscription]
    last_active: Any
    has_battery: bool
    balance: Any
    allowance: Any
    last_balance: Any

    @property
    def in_force(self) -> list[UserSubscription]:
        return [each for each in self.subscriptions if each.status in IN_FORCE]

    @property
    def subscription(self) -> UserSubscription | None:
        """The one that counts: in force, then the one that the user's row names, then the newest."""
        named = self.user.subscription_id
        ranks = {id(s): (s.status not in IN_FORCE, s.stripe_subscription_id != named) for s in self.subscriptions}
        return min(self.subscriptions, key=lambda each: ranks[id(each)], default=None)


def account_url(user_id: str, tab: str = "") -> str:
    """Where the page of a user is, or one of its parts."""
    return reverse("account_tab", args=(quote(user_id), tab)) if tab else reverse("account", args=(quote(user_id),))


def account_of(user_id: str) -> Account | None:
    """None where there is no such user. One query: a row for each subscription, the user's own cells in all of them."""
    people, held = _names(User), _names(UserSubscription)
    conversations = Conversation.objects.filter(user_id=OuterRef("pk")).order_by(Instant("last_message_at").desc())
    entries = BatteryTransaction.objects.filter(user_id=OuterRef("pk"))
    entries = entries.order_by(Instant("created_at").desc(), RowId().desc())
    rows = list(
        User.objects.filter(pk=user_id)
        .annotate(
            last_active=Subquery(conversations.values("last_message_at")[:1]),
            last_balance=Subquery(entries.values("balance_after")[:1]),
        )
        .values_list(
            *people, "last_active", "battery__user_id", "battery__total_balance", "battery__daily_allowance",
            "last_balance", "subscriptions__plan__name", *(f"subscriptions__{name}" for name in held),
        )[:MOST]
    )  # fmt: skip
    if not rows:
        return None
    ends = len(people)
    last_active, battery, balance, allowance, last_balance = rows[0][ends : ends + 5]
    user = User(**dict(zip(people, rows[0], strict=False)))
    subscriptions = [_subscription(dict(zip(held, row[ends + 6 :], strict=True)), row[ends + 5]) for row in rows]
    there = [each for each in subscriptions if each.pk is not None]
    there.sort(key=lambda each: _moment(each.created_at) or datetime.min.replace(tzinfo=UTC), reverse=True)
    return Account(user, there, last_active, battery is not None, balance, allowance, last_balance)


def _names(model: type[Model]) -> list[str]:
    missing = missing_fields(model)
    return [field.attname for field in model._meta.concrete_fields if field.name not in missing]


def _subscription(cells_: dict[str, Any], plan: str | None) -> UserSubscription:
    subscription = UserSubscription(**cells_)
    # What the join has brought; without this a look at the plan would be a query.
    subscription.plan = SubscriptionPlan(pk=subscription.plan_id, name=plan) if plan is not None else None
    return subscription


def balance_by_day(account: Account, today: date) -> Summary:
    """The battery and its balance at the end of each of 90 days. One query."""
    return summarize(str(account.user.pk), today, DAYS)


# In words


def state_in_words(subscription: UserSubscription | None, now: datetime | None = None) -> Any:
    """What the subscription does next: `Renews on 5 Dec 2026 (in 12 days)`."""
    if subscription is None:
        return gettext("No subscription")
    ends, cancels, trial = (
        _moment(cell) for cell in (subscription.current_period_end, subscription.cancel_at, subscription.trial_end)
    )
    now = now or timezone.now()
    if subscription.status == StoredStatus.CANCELED:
        return _said(gettext("Canceled on"), _moment(subscription.canceled_at) or ends, now)
    if subscription.status == StoredStatus.PAST_DUE:
        return _said(gettext("Payment failed; the period ends on"), ends, now)
    if subscription.status == StoredStatus.INCOMPLETE:
        return gettext("The first payment has not come")
    if cancels:
        return _said(gettext("Ends on"), cancels, now)
    if subscription.status == StoredStatus.TRIALING:
        return _said(gettext("Trial until"), trial or ends, now)
    return _said(gettext("Renews on") if ends is None or ends > now else gettext("Should have renewed on"), ends, now)


def _moment(cell: Any) -> datetime | None:
    return cell if isinstance(cell, datetime) else None


def _said(words: str, moment: datetime | None, now: datetime) -> Any:
    if moment is None:
        return format_html("{} {}", words, gettext("an unknown day"))
    return format_html("{} {} ({})", words, cells.day(moment.date()), distance(moment, now))


def distance(moment: datetime, now: datetime) -> str:
    """`in 12 days`, `3 days ago`, `today`."""
    days = (moment.date() - now.date()).days
    if not days:
        return gettext("today")
    words = gettext("%(n)s days") if abs(days) > 1 else gettext("%(n)s day")
    counted = words % {"n": f"{abs(days):,}"}
    return gettext("in %s") % counted if days > 0 else gettext("%s ago") % counted


# The tabs


def conversations_of(user_id: str) -> list[Conversation]:
    """The newest conversations. One query."""
    rows = Conversation.objects.defer(*missing_fields(Conversation)).filter(user_id=user_id)
    return list(rows.order_by(Instant("last_message_at").desc(), F("pk").desc())[:MOST])


@dataclass(frozen=True)
class Usage:
    """`models` are (model, calls, units), the most used first."""

    plot: bars.Plot
    models: list[tuple[str, int, int]]


def usage_of(user_id: str, today: date) -> Usage:
    """The last 30 days by model and day. One query."""
    first = datetime.combine(
        today - timedelta(days=USAGE_DAYS - 1), datetime.min.time(), tzinfo=timezone.get_default_timezone()
    )
    day: Any = Substr(Instant("created_at"), 1, 10, output_field=TextField())
    rows = (
        ApiUsage.objects.filter(user_id=user_id, created_at__gte=first)
        .values("model", day=day)
        .annotate(units=Total("battery_used"), calls=Count("pk"))
        .order_by("day", "model")
    )
    units: dict[str, dict[date, int]] = defaultdict(dict)
    calls: dict[str, int] = defaultdict(int)
    for row in rows:
        name = row["model"] or gettext("(no model)")
        units[name][date.fromisoformat(row["day"])] = int(row["units"])
        calls[name] += row["calls"]
    shown = bars.largest(units, MODELS, gettext("others"))
    label, days = gettext("Battery used by model and day"), bars.days_to(today, USAGE_DAYS)
    plot = bars.stacked(label, gettext("units"), days, shown)
    by_use = sorted(units, key=lambda name: -sum(units[name].values()))
    return Usage(plot, [(name, calls[name], sum(units[name].values())) for name in by_use])
