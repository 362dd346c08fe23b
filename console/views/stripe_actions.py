"""The pages on which staff act at Stripe: a subscription as it is there now, and a confirmation for each action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from billing import stripe_actions
from billing.causes import stripe_url
from billing.stripe_actions import Held, Refused, Uncertain, check_effects, needs_of_subscription
from billing.stripe_api import Stripe, StripeTrouble, stripe_of_settings
from billing.stripe_plans import FRESH, Proration, change_plan, may_change, preview_plan
from billing.stripe_shapes import Object
from console.changelist import login
from console.signin.fresh import require_fresh
from console.stripe_decisions import Decision, SentBefore, is_open, perform, unfinished
from console.stripe_pages import CHANGE, action_url, cost_of, moment_cell, money, subscription_url, told, user_cell
from database import cells
from database.identifiers import is_id

NAMES = {
    "cancel": _("Cancel at the period's end"),
    "cancel-now": _("Cancel now"),
    "resume": _("Resume"),
}
ACTS: dict[str, Callable[..., Object]] = {
    "cancel": stripe_actions.cancel,
    "cancel-now": lambda stripe, held, key: stripe_actions.cancel(stripe, held, key=key, now=True),
    "resume": stripe_actions.resume,
}


@require_safe
def subscription_page(request: HttpRequest, id: str) -> HttpResponse:
    """How Stripe has the subscription now, and what can be done with it."""
    _check(request, id)
    try:
        check_effects()
        held = stripe_actions.look_at(stripe_of_settings(), id)
    except (Refused, StripeTrouble) as problem:
        return _page(request, "subscription", gettext("Subscription at Stripe"), id, problem=problem)
    links = [(str(NAMES[name]), action_url(id, name)) for name in held.allowed()]
    if may_change(held):
        links.append((gettext("Change plan"), action_url(id, "plan")))
    return _page(request, "subscription", gettext("Subscription at Stripe"), id, held=held, links=links)


@require_http_methods(["GET", "HEAD", "POST"])
def action_page(request: HttpRequest, id: str, name: str) -> HttpResponse:
    """GET shows what it will cost, POST does it, once for each form."""
    _check(request, id)
    if name not in NAMES:
        raise Http404
    if name == "cancel-now" and (stale := require_fresh(request)):
        return stale
    looked_at = timezone.now()
    try:
        check_effects()
        stripe = stripe_of_settings()
        held = stripe_actions.look_at(stripe, id)
        if request.method == "POST":
            return _act(request, stripe, held, name, looked_at)
    except (Refused, StripeTrouble) as problem:
        return _page(
            request, "confirm", str(NAMES[name]), id, 200 if request.method != "POST" else 400, problem=problem
        )
    return _confirm(request, held, name)


def _check(request: HttpRequest, id: str) -> None:
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    if not is_id("sub", id):
        raise Http404


def _confirm(
    request: HttpRequest, held: Held, name: str, again: Decision | None = None, **context: Any
) -> HttpResponse:
    """`again` is a decision that was sent, and of which nobody knows what became: the form keeps its key."""
    problem = context.get("problem") or (_nonsense() if not again and name not in held.allowed() else "")
    whole = {
        "held": held,
        "problem": problem,
        "may_send": again or name in held.allowed(),
        "is_again": again is not None,
        "key": again.key if again else str(uuid4()),
        "mark": again.asked["mark"] if again else held.mark,
        "cost": again.cost if again else cost_of(held, name),
        "is_danger": name == "cancel-now",
    }
    status = 400 if problem and request.method == "POST" else 200
    return _page(request, "confirm", str(NAMES[name]), held.id, status, **whole)


def _nonsense() -> str:
    return gettext("There is nothing to do: look at the state of the subscription below.")


def _act(request: HttpRequest, stripe: Stripe, held: Held, name: str, looked_at: datetime) -> HttpResponse:
    mark = request.POST.get("mark", "")[:300]
    decision = Decision(name, held.user_id, held.id, key_of(request), {"mark": mark}, cost=cost_of(held, name))
    try:
        if not is_open(decision) and (mark != held.mark or name not in held.allowed()):
            return _confirm(request, held, name, problem=gettext("It has changed at Stripe meanwhile: look again."))
        done = perform(
            stripe, decision, by=login(request), looked_at=looked_at,
            act=lambda: ACTS[name](stripe, held, key=decision.key),
            needs=lambda after: needs_of_subscription(held, after),
        )  # fmt: skip
    except SentBefore as before:
        messages.warning(request, str(before))
    except Uncertain as uncertain:
        return _confirm(request, held, name, decision, problem=uncertain)
    else:
        for level, words in told(done, gettext("Done at Stripe: %s.") % NAMES[name]):
            messages.add_message(request, level, words)
    return redirect(subscription_url(held.id))


@require_http_methods(["GET", "HEAD", "POST"])
def plan_page(request: HttpRequest, id: str) -> HttpResponse:
    """GET lists the plans, with `price` what that one would cost by Stripe; POST changes to it, once for each form."""
    _check(request, id)
    looked_at, title = timezone.now(), gettext("Change plan")
    price = str((request.POST or request.GET).get("price", ""))[:300]
    held: Held | None = None
    try:
        check_effects()
        stripe = stripe_of_settings()
        held = stripe_actions.look_at(stripe, id)
        if request.method == "POST":
            return _change(request, stripe, held, price, looked_at)
        shown = preview_plan(stripe, held, price) if price else None
    except (Refused, StripeTrouble) as problem:
        status = 400 if request.method == "POST" else 200
        return _page(request, "plan", title, id, status, held=held, problem=problem)
    if shown:
        return _confirm_plan(request, held, shown)
    plans = [(f"{each.plan.id}, {_interval(each.months)}", key) for key, each in held.plans.by_price.items()]
    others = [each for each in sorted(plans) if each[1] != held.price.get("id")] if may_change(held) else []
    return _page(request, "plan", title, id, held=held, plans=others)


def _interval(months: int) -> str:
    return gettext("yearly") if months == 12 else gettext("monthly")


def _confirm_plan(
    request: HttpRequest, held: Held, shown: Proration | None, again: Decision | None = None, **context: Any
) -> HttpResponse:
    """`again`: as in `_confirm`."""
    asked = again.asked if again else {"mark": held.mark, "price": shown.price, "at": shown.at} if shown else {}
    whole = {
        **asked,
        "held": held,
        "key": again.key if again else str(uuid4()),
        "cost": again.cost if again else _cost_of_plan(held, shown) if shown else "",
        "lines": [(words, money(cents, held.currency)) for words, cents in shown.lines] if shown else [],
        "is_again": again is not None,
        "may_send": True,
        **context,
    }
    status = 400 if request.method == "POST" else 200
    return _page(request, "plan_confirm", gettext("Change plan"), held.id, status, **whole)


def _cost_of_plan(held: Held, shown: Proration) -> str:
    to = held.plans.by_price[shown.price]
    words = gettext("To %(plan)s (%(interval)s): %(due)s is charged at once, by Stripe's own preview.")
    told = words % {
        "plan": to.plan.id, "interval": _interval(to.months), "due": money(shown.due_cents, shown.currency),
    }  # fmt: skip
    if shown.total_cents < 0:
        kept = gettext("%s is kept at Stripe for the next invoices.") % money(-shown.total_cents, shown.currency)
        return f"{told} {kept}"
    return told


def _change(request: HttpRequest, stripe: Stripe, held: Held, price: str, looked_at: datetime) -> HttpResponse:
    at = int(text) if (text := request.POST.get("at", "")).isascii() and text.isdecimal() and len(text) < 12 else 0
    asked = {"mark": request.POST.get("mark", "")[:300], "price": price, "at": at}
    decision = Decision("plan", held.user_id, held.id, key_of(request), asked)
    try:
        if not is_open(decision):
            now = preview_plan(stripe, held, price)
            if asked["mark"] != held.mark or not at <= now.at <= at + FRESH:
                problem = gettext("It has changed at Stripe meanwhile, or the preview is old: look again.")
                return _confirm_plan(request, held, now, problem=problem)
            decision = replace(decision, cost=_cost_of_plan(held, preview_plan(stripe, held, price, at=at)))
        done = perform(
            stripe, decision, by=login(request), looked_at=looked_at,
            act=lambda: change_plan(stripe, held, price, key=decision.key, at=at),
            needs=lambda after: needs_of_subscription(held, after),
        )  # fmt: skip
    except SentBefore as before:
        messages.warning(request, str(before))
    except Uncertain as uncertain:
        return _confirm_plan(request, held, None, decision, problem=uncertain)
    else:
        for level, words in told(done, gettext("Done at Stripe: the plan was changed.")):
            messages.add_message(request, level, words)
    return redirect(subscription_url(held.id))


def key_of(request: HttpRequest) -> str:
    """The one-time key of the form. Raises Refused."""
    try:
        return str(UUID(request.POST.get("key", "")))
    except ValueError:
        raise Refused(gettext("The form lacks its key: begin anew.")) from None


def _page(request: HttpRequest, name: str, title: str, id: str, status: int = 200, **context: Any) -> HttpResponse:
    held: Held | None = context.get("held")
    whole = {
        **admin.site.each_context(request),
        "title": title,
        "id": id,
        "dashboard": stripe_url(id),
        "back_url": subscription_url(id),
        **context,
    }
    if held:
        whole["user_of_it"] = user_cell(held.user_id)
        whole["facts"] = _facts(held)
        whole["unfinished"] = unfinished(held.id)
    return TemplateResponse(request, f"admin/console/stripe_action_{name}.html", whole, status=status)


def _facts(held: Held) -> list[tuple[str, cells.Shown]]:
    priced = held.plans.by_price.get(str(held.price.get("id")))
    plan = str(held.price.get("id") or "–")
    if priced:
        plan = f"{priced.plan.id}, {money(held.price_cents, held.currency)}, {_interval(priced.months)}"
    paused = gettext(" (collection is paused)") if held.is_paused and held.status != "paused" else ""
    return [
        (gettext("Status"), held.status + paused),
        (gettext("Plan"), plan),
        (gettext("Period ends"), moment_cell(held.period_end)),
        (gettext("Will be canceled"), moment_cell(held.ends_at) if held.ends_at else gettext("no")),
    ]
