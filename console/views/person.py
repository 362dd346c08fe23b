"""The pages on which all data of a person is handed over, and a person deleted."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from billing.causes import stripe_url
from console import person_deletion, person_export
from console.account import Account, account_of, account_url
from console.changelist import login
from console.contents import LONGEST, SHORTEST, ReasonRefused
from console.models import Job, StaffEvent
from console.person import DELETE, EXPORT, EXPORT_KIND, deletion_url, export_url, is_deleted, last_deletion
from console.person_tables import count_rows
from console.signin.fresh import require_fresh
from database.router import CONSOLE


@require_http_methods(["GET", "HEAD", "POST"])
def export_page(request: HttpRequest, user_id: str) -> HttpResponse:
    """GET tells what is in it, and how far those are that one asked for; POST begins one. Two queries to OmniChat."""
    account = _account(request, user_id, EXPORT)
    key, refusal = str(account.user.pk), ""
    if request.method == "POST":
        if stale := require_fresh(request):
            return stale
        try:
            person_export.ask(key, by=login(request), reason=request.POST.get("reason", ""))
            return redirect(export_url(key))
        except ReasonRefused as refused:
            refusal = str(refused)
    jobs = person_export.exports_of(key, login(request))[: person_export.MOST]
    made = [(job, person_export.file_of(job)) for job in jobs]
    context = {"counts": count_rows(key), "made": made, "refusal": refusal, "shortest": SHORTEST, "longest": LONGEST}
    return _page(request, "person_export", gettext("Export data"), account, 400 if refusal else 200, **context)


@require_safe
def export_file(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The zip, for whoever asked for it and still may."""
    job = get_object_or_404(Job.objects.using(CONSOLE), pk=pk, kind=EXPORT_KIND)
    if not person_export.may_fetch(job, login(request)):
        raise PermissionDenied
    if stale := require_fresh(request):
        return stale
    user_id, name = job.arguments["user"], person_export.file_of(job)
    if name is None:
        messages.warning(request, gettext("This file is no longer kept: ask for another."))
        return redirect(export_url(user_id))
    detail = {"job": job.pk}
    StaffEvent.objects.create(staff_id=request.user.pk, action="person.download", subject=user_id, detail=detail)
    file = person_export.storage().open(name)
    response = FileResponse(file, as_attachment=True, filename=f"{user_id}.zip", content_type="application/zip")
    response["Cache-Control"] = "private, no-store"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def deletion_page(request: HttpRequest, user_id: str) -> HttpResponse:
    """GET shows what goes and what stays; POST with the email typed begins it. Two queries to OmniChat's database."""
    account = _account(request, user_id, DELETE)
    if stale := require_fresh(request):
        return stale
    key, refusal = str(account.user.pk), ""
    if request.method == "POST":
        try:
            person_deletion.ask(account, request.POST.get("email", ""), by=login(request))
            return redirect(deletion_url(key))
        except person_deletion.Refused as refused:
            refusal = str(refused)
    counts = count_rows(key)
    context = {
        "refusal": refusal,
        "objection": person_deletion.objection(account),
        "is_deleted": is_deleted(account.user),
        "job": last_deletion(key),
        "fate": _fate(counts),
        "stripe": stripe_url(account.user.stripe_customer_id) if account.user.stripe_customer_id else "",
    }
    status = 400 if refusal else 200
    return _page(request, "person_deletion", gettext("Delete person"), account, status, **context)


def _account(request: HttpRequest, user_id: str, permission: str) -> Account:
    if not request.user.has_perms(["chat.view_user", permission]):
        raise PermissionDenied
    account = account_of(unquote(user_id).replace("\0", ""))
    if account is None:
        raise Http404(gettext("There is no such user."))
    return account


def _page(
    request: HttpRequest, name: str, title: str, account: Account, status: int = 200, **context: Any
) -> HttpResponse:
    whole = {
        **admin.site.each_context(request),
        "title": title,
        "account": account,
        "account_url": account_url(str(account.user.pk)),
        **context,
    }
    return TemplateResponse(request, f"admin/console/{name}.html", whole, status=status)


def _fate(counts: dict[str, int]) -> list[tuple[str, int, str, bool]]:
    """What becomes of the rows of each table: its name, how many, in words, and whether they go."""
    money = gettext("accounting has to be able to show it")
    return [
        (gettext("Messages"), counts["messages"], gettext("with their contents"), True),
        (gettext("Conversations"), counts["conversations"], gettext("with their titles"), True),
        (gettext("Usage, call by call"), counts["api_usage"], gettext("which message it was for goes"), False),
        (gettext("Usage, day by day"), counts["daily_usage_summary"], gettext("figures without words"), False),
        (gettext("Profile"), counts["users"], gettext("with a made-up email and name, and no picture"), False),
        (gettext("Subscriptions"), counts["user_subscriptions"], money, False),
        (gettext("Battery"), counts["user_battery"], money, False),
        (gettext("Ledger"), counts["battery_transactions"], money, False),
        (gettext("Audit log"), counts["audit_logs"], gettext("names, emails and titles in it go"), False),
    ]
