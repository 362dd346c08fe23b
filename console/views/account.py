"""The page of a user and its tabs. Each tab is a page of its own, so that it is read only when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from billing.allowance import today
from billing.balance_plot import plot_of
from billing.causes import stripe_url
from billing.ledger_rows import credits_of, line_of
from billing.models import BatteryTransaction, StoredStatus, TransactionType, UserSubscription
from chat.models import Conversation, SubscriptionStatus, Tier, User
from console.account import (
    MOST,
    Account,
    account_of,
    account_url,
    balance_by_day,
    conversations_of,
    state_in_words,
    usage_of,
)
from console.account_problems import problems
from console.models import Finding, StaffEvent
from console.notes import notes_of
from console.person import deletion_of
from console.timeline import READ, timeline
from database import cells
from database.models import AuditLog
from database.object_actions import ObjectAction, actions_of
from database.router import CONSOLE

#: The tabs by their part of the address: the name, and what one has to be allowed to see for it.
TABS = {
    "": (gettext_lazy("Overview"), "chat.view_user"),
    "payments": (gettext_lazy("Payments"), "billing.view_batterytransaction"),
    "conversations": (gettext_lazy("Conversations"), "chat.view_conversation"),
    "usage": (gettext_lazy("Usage"), "chat.view_apiusage"),
    "differences": (gettext_lazy("Differences"), "console.view_finding"),
    "timeline": (gettext_lazy("Timeline"), "database.view_auditlog"),
}


def offer_account(request: HttpRequest, user: User) -> list[ObjectAction]:
    """The way from the form of a user. A source for `database.object_actions`."""
    return [ObjectAction(gettext("Account"), account_url(str(user.pk)))]


@require_safe
def account_page(request: HttpRequest, user_id: str, tab: str = "") -> HttpResponse:
    """At most three queries to OmniChat's database: one for the head, one or two for the part."""
    if tab not in TABS:
        raise Http404
    if not request.user.has_perms(["chat.view_user", TABS[tab][1]]):
        raise PermissionDenied
    account = account_of(unquote(user_id).replace("\0", ""))
    if account is None:
        raise Http404(gettext("There is no such user."))
    StaffEvent.objects.create(staff_id=request.user.pk, action=READ, subject=account.user.pk, detail={"tab": tab})
    context = {**admin.site.each_context(request), **_head(request, account, tab), **_CONTENTS[tab](account)}
    return TemplateResponse(request, f"admin/console/account{'_' if tab else ''}{tab}.html", context)


def _head(request: HttpRequest, account: Account, tab: str) -> dict[str, Any]:
    user, held = account.user, account.subscription
    key = str(user.pk)
    label = gettext("Edit profile") if request.user.has_perm("chat.change_user") else gettext("Profile")
    edit = ObjectAction(label, cells.form_url(User, key))
    actions = [action for action in [*actions_of(request, user), edit] if action.url != account_url(key)]
    states = (cells.state(Tier.values)(user.tier), cells.state(SubscriptionStatus.values)(user.subscription_status))
    return {
        "title": str(user),
        "account": account,
        "customer": _stripe(user.stripe_customer_id),
        "states": [state for state in states if state],
        "actions": actions,
        "tabs": [(n, account_url(key, t), t == tab) for t, (n, perm) in TABS.items() if request.user.has_perm(perm)],
        "deletion": deletion_of(user),
        "problems": problems(account),
        "notes": notes_of(key) if request.user.has_perm("console.view_note") else [],
        "notes_url": account_url(key, "notes"),
        "may_note": request.user.has_perm("console.add_note"),
        "facts": [
            (gettext("Plan"), str(held.plan or held.plan_id or "–") if held else gettext("none")),
            (gettext("Subscription"), state_in_words(held)),
            (gettext("Balance"), cells.units(account.balance) or "–"),
            (gettext("Daily allowance"), cells.units(account.allowance) or "–"),
            (gettext("Last active"), cells.moment(account.last_active) or gettext("never")),
            (gettext("Joined"), cells.moment(user.created_at) or "–"),
        ],
    }


def _overview(account: Account) -> dict[str, Any]:
    lists = (
        (gettext("Conversations"), Conversation),
        (gettext("Transactions"), BatteryTransaction),
        (gettext("Subscriptions"), UserSubscription),
        (gettext("Audit log"), AuditLog),
    )
    return {
        "plot": plot_of(balance_by_day(account, today()).days),
        "spans": [],
        "links": [(label, cells.list_url(model, user=account.user.pk)) for label, model in lists],
    }


def _payments(account: Account) -> dict[str, Any]:
    rows = [
        {
            "url": cells.row_url(UserSubscription, each.pk),
            "plan": str(each.plan or each.plan_id or "–"),
            "status": cells.state(StoredStatus.values)(each.status),
            "words": state_in_words(each),
            "stripe": _stripe(each.stripe_subscription_id),
        }
        for each in account.subscriptions
    ]
    entries = [
        {
            "url": cells.row_url(BatteryTransaction, entry.pk),
            "created": cells.moment(entry.created_at),
            "type": cells.state(TransactionType.values)(entry.type),
            "amount": cells.signed_units(entry.amount),
            "causes": line_of(entry).causes,
        }
        for entry in credits_of(str(account.user.pk), MOST)
    ]
    return {"subscriptions": rows, "entries": entries}


def _conversations(account: Account) -> dict[str, Any]:
    key = str(account.user.pk)
    rows = [
        {
            "url": cells.row_url(Conversation, each.pk),
            "title": each.title or gettext("(no title)"),
            "model": each.model_id,
            "active": cells.moment(each.last_message_at),
        }
        for each in conversations_of(key)
    ]
    return {"conversations": rows, "more": cells.list_url(Conversation, user=key)}


def _usage(account: Account) -> dict[str, Any]:
    return {"usage": usage_of(str(account.user.pk), today())}


def _differences(account: Account) -> dict[str, Any]:
    """What resyncs found: the console's own, so that OmniChat's database is asked nothing more."""
    found = Finding.objects.using(CONSOLE).filter(user_id=account.user.pk).select_related("run")[:MOST]
    return {"findings": found, "more": cells.list_url(Finding, q=str(account.user.pk))}


def _timeline(account: Account) -> dict[str, Any]:
    rows = timeline(str(account.user.pk), account.subscriptions)
    return {"happenings": [{"row": row, "at": cells.moment(row.at)} for row in rows]}


_CONTENTS: dict[str, Callable[[Account], dict[str, Any]]] = {
    "": _overview,
    "payments": _payments,
    "conversations": _conversations,
    "usage": _usage,
    "differences": _differences,
    "timeline": _timeline,
}


def _stripe(key: str | None) -> tuple[str, str] | None:
    """An id of Stripe's, and its page in Stripe's dashboard."""
    return (key, stripe_url(key)) if key else None
