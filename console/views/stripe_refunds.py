"""The pages on which staff give money back: a user's payments as Stripe has them now, and the refund of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from billing import stripe_refunds
from billing.causes import stripe_url
from billing.models import UserBattery
from billing.stripe_actions import Refused, Uncertain, check_effects
from billing.stripe_api import Stripe, StripeTrouble, stripe_of_settings
from billing.stripe_refunds import Paid, needs_of_refund
from console.changelist import login
from console.signin.fresh import require_fresh
from console.stripe_decisions import Decision, SentBefore, is_open, perform, unfinished
from console.stripe_forms import RefundForm
from console.stripe_pages import REFUND, moment_cell, money, payments_url, refund_url, told, user_cell
from database import cells
from database.identifiers import is_id


@require_safe
def payments_page(request: HttpRequest, user_id: str) -> HttpResponse:
    """What a user paid, by one call to Stripe."""
    if not request.user.has_perm(REFUND):
        raise PermissionDenied
    user_id = unquote(user_id).replace("\0", "")
    try:
        check_effects()
        found = stripe_refunds.payments_of(stripe_of_settings(), user_id)
    except (Refused, StripeTrouble) as problem:
        return _page(request, "payments", gettext("Payments at Stripe"), user_id, problem=problem)
    rows = [{"paid": each, **_cells(each)} for each in found.rows]
    whole: dict[str, Any] = {"rows": rows, "are_all": found.are_all, "user_id": user_id}
    return _page(request, "payments", gettext("Payments at Stripe"), user_id, **whole)


def _cells(paid: Paid) -> dict[str, cells.Shown]:
    return {
        "at": moment_cell(paid.created),
        "amount": money(paid.cents, paid.currency),
        "refunded": money(paid.refunded, paid.currency),
        "left": money(paid.left, paid.currency),
        "dashboard": stripe_url(paid.id),
        "refund": refund_url(paid.id) if paid.left else "",
    }


@require_http_methods(["GET", "HEAD", "POST"])
def refund_page(request: HttpRequest, intent: str) -> HttpResponse:
    """GET asks, POST shows what will happen, POST with `step=refund` does it, once for each form."""
    if not request.user.has_perm(REFUND):
        raise PermissionDenied
    if not is_id("pi", intent):
        raise Http404
    if stale := require_fresh(request):
        return stale
    looked_at = timezone.now()
    try:
        check_effects()
        stripe = stripe_of_settings()
        paid = stripe_refunds.look_at_payment(stripe, intent)
        if request.method == "POST":
            return _sent(request, stripe, paid, looked_at)
    except (Refused, StripeTrouble) as problem:
        status = 400 if request.method == "POST" else 200
        return _page(request, "refund", gettext("Refund"), intent, status, problem=problem)
    over = "" if paid.left else gettext("All of this payment is refunded already.")
    initial = {"amount": f"{paid.left / 100:.2f}", "key": uuid4(), "mark": paid.mark}
    return _ask(request, paid, RefundForm(initial=initial), problem=over)


def _ask(request: HttpRequest, paid: Paid, form: RefundForm, **context: Any) -> HttpResponse:
    status = 400 if form.errors else 200
    words = gettext("In %(currency)s; %(left)s is left.")
    left = {"currency": paid.currency.upper(), "left": money(paid.left, paid.currency)}
    form.fields["amount"].help_text = words % left
    return _page(request, "refund", gettext("Refund"), paid.id, status, paid=paid, form=form, **context)


def _sent(request: HttpRequest, stripe: Stripe, paid: Paid, looked_at: datetime) -> HttpResponse:
    form = RefundForm(request.POST)
    if not form.is_valid():
        return _ask(request, paid, form)
    units = 0 if form.keeps_units else stripe_refunds.preview_refund(stripe, paid, min(form.cents, paid.left))
    decision = Decision(
        "refund", paid.user_id, paid.id, str(form.cleaned_data["key"]), form.asked(),
        cost=_cost(paid, form, units), reason=form.cleaned_data["text"],
    )  # fmt: skip
    try:
        is_again = is_open(decision)
        if not is_again:
            form.check_against(paid)
            if form.cleaned_data["mark"] != paid.mark:
                form.add_error(None, gettext("It has changed at Stripe meanwhile: look again, and begin anew."))
            if form.errors or request.POST.get("step") == "edit":
                return _ask(request, paid, form)
        if request.POST.get("step") != "refund":
            return _confirm(request, paid, form, decision, is_again=is_again)
        return _refund(request, stripe, paid, form, decision, looked_at)
    except SentBefore as before:
        messages.warning(request, str(before))
    return redirect(payments_url(paid.user_id))


def _cost(paid: Paid, form: RefundForm, units: int) -> str:
    amount = money(form.cents, paid.currency)
    if form.keeps_units:
        return gettext("%(amount)s go back to the customer. No units are taken.") % {"amount": amount}
    words = gettext("%(amount)s go back to the customer. %(units)s units are taken, no more than the battery has.")
    return words % {"amount": amount, "units": f"{units:,}"}


def _confirm(
    request: HttpRequest, paid: Paid, form: RefundForm, decision: Decision, status: int = 200, **context: Any
) -> HttpResponse:
    balance = UserBattery.objects.filter(pk=paid.user_id).values_list("total_balance", flat=True).first()
    whole = {"paid": paid, "form": form, "cost": decision.cost, "balance": cells.units(balance) or "–", **context}
    return _page(request, "refund_confirm", gettext("Refund: what will happen"), paid.id, status, **whole)


def _refund(
    request: HttpRequest, stripe: Stripe, paid: Paid, form: RefundForm, decision: Decision, looked_at: datetime
) -> HttpResponse:
    def act() -> Any:
        return stripe_refunds.refund(
            stripe, paid, form.cents, key=decision.key, keep_units=form.keeps_units,
            reason=form.cleaned_data["reason"],
        )  # fmt: skip

    try:
        done = perform(
            stripe, decision, by=login(request), looked_at=looked_at, act=act, needs=lambda made: needs_of_refund(paid)
        )
    except Uncertain as uncertain:
        return _confirm(request, paid, form, decision, 400, problem=uncertain, is_again=True)
    for level, words in told(done, gettext("Refunded: %s.") % money(form.cents, paid.currency)):
        messages.add_message(request, level, words)
    return redirect(payments_url(paid.user_id))


def _page(request: HttpRequest, name: str, title: str, id: str, status: int = 200, **context: Any) -> HttpResponse:
    paid: Paid | None = context.get("paid")
    user_id = paid.user_id if paid else context.get("user_id")
    whole = {
        **admin.site.each_context(request),
        "title": title,
        "id": id,
        "dashboard": stripe_url(id),
        "back_url": payments_url(user_id) if user_id else "",
        "user_of_it": user_cell(user_id) if user_id else "",
        **context,
    }
    if paid:
        whole["unfinished"] = unfinished(paid.id)
        whole["facts"] = [
            (gettext("Paid"), money(paid.cents, paid.currency)),
            (gettext("When"), moment_cell(paid.created)),
            (gettext("Refunded"), money(paid.refunded, paid.currency)),
            (gettext("Left"), money(paid.left, paid.currency)),
            (gettext("Disputed"), gettext("yes: Stripe refuses a refund") if paid.is_disputed else gettext("no")),
        ]
    return TemplateResponse(request, f"admin/console/stripe_action_{name}.html", whole, status=status)
