"""The pages of single grants: give one, decide on those that wait, take one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from billing.ledger import Outcome
from chat.models import User as Account
from console import grant_reversal, grants, recipients
from console.changelist import login
from console.grant_forms import DecisionForm, GiveForm, ReversalForm
from console.grant_limits import RECIPIENT_DAYS, Purse
from console.grant_queue import Settled, settle, waiting_for
from console.grants import GrantRefused, KeyUsed, Wish
from console.models import Grant
from console.signin.fresh import LARGE_GRANT, require_fresh
from d1.errors import OutcomeUnknown
from database import cells
from database.router import CONSOLE

#: Grants that the queue shows, those that wait longest.
QUEUED = 200

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Grant]
else:
    Base = object


class GrantPages(Base):
    """Views of a `GrantAdmin`."""

    def page(self, request: HttpRequest, name: str, title: str, status: int = 200, **context: Any) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, **context}
        whole["list_url"] = reverse("admin:console_grant_changelist")
        return TemplateResponse(request, f"admin/console/grant_{name}.html", whole, status=status)

    # One grant

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET asks, POST shows what will happen, POST with `step=give` does it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, GiveForm(initial={"user": request.GET.get("user", "")}))
        form = GiveForm(request.POST)
        if not form.is_valid() or request.POST.get("step") == "edit":
            return self._ask(request, form)
        if form.cleaned_data["units"] > LARGE_GRANT and (stale := require_fresh(request)):
            return stale
        user = self._recipient(form)
        if user is None:
            return self._ask(request, form)
        if request.POST.get("step") == "give":
            return self._give(request, form, user)
        return self._confirm(request, form, user)

    def _ask(self, request: HttpRequest, form: GiveForm) -> HttpResponse:
        status = 400 if form.errors else 200
        return self.page(request, "give", gettext("Grant battery"), status, form=form)

    def _recipient(self, form: GiveForm) -> recipients.Recipient | None:
        """The user whom the form names, with one query; else the form says what is wrong."""
        users = recipients.find([form.cleaned_data["user"]]).get(form.cleaned_data["user"], [])
        if not users:
            form.add_error("user", gettext("There is no such user: give a Clerk id or a whole email."))
        elif len(users) > 1:
            form.add_error("user", gettext("Several users have this email: give the Clerk id."))
        elif not users[0].is_readable:
            form.add_error("user", gettext("The balance of this user cannot be read as a number: mend it first."))
        else:
            return users[0]
        return None

    def _confirm(self, request: HttpRequest, form: GiveForm, user: recipients.Recipient) -> HttpResponse:
        units = form.cleaned_data["units"]
        purse = Purse.of(login(request), [user.id])
        context: dict[str, Any] = {
            "form": form,
            "user_of_grant": cells.row_link(Account, user.id, user.email),
            "before": cells.units(user.units),
            "after": cells.units(user.units + units),
            "waits_because": purse.objection(user.id, units),
            "purse": purse,
            "to_recipient": purse.to[user.id],
            "days": RECIPIENT_DAYS,
            "category": Grant.Category(form.cleaned_data["category"]).label,
        }
        return self.page(request, "confirm", gettext("Grant battery: what will happen"), **context)

    def _give(self, request: HttpRequest, form: GiveForm, user: recipients.Recipient) -> HttpResponse:
        told = {name: form.cleaned_data[name] for name in ("units", "category", "text", "ticket", "expires_on")}
        key = f"form:{login(request).pk}:{form.cleaned_data['key']}"
        try:
            (grant,) = grants.decide([Wish(user.id, user.email, key=key, **told)], by=login(request))
        except KeyUsed as used:
            # Back in the browser, other units, and once more: is it meant as a second grant? Nobody knows.
            words = gettext("This form was sent before: this is the grant that came of it. For another one begin anew.")
            messages.warning(request, words)
            return HttpResponseRedirect(used.grant.get_absolute_url())
        except GrantRefused as refused:
            form.add_error(None, str(refused))
            return self._ask(request, form)
        try:
            outcome = grants.apply([grant]).get(grant.pk)
        except Error:
            # The grant stands, and is finished by itself: who began another would give the units twice.
            outcome = None
        grant.refresh_from_db()
        messages.add_message(request, *_told(grant, outcome))
        return HttpResponseRedirect(grant.get_absolute_url())

    # What waits

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows what waits for whoever asks, POST approves or rejects what is marked."""
        waiting = waiting_for(login(request))
        if waiting is None:
            raise PermissionDenied
        form = DecisionForm(request.POST) if request.method == "POST" else None
        if form and form.is_valid():
            return require_fresh(request) or self._settle(request, form)
        # The rows of a bulk are megabytes, and would come with each of its grants.
        waiting = waiting.select_related("requested_by", "bulk").defer("bulk__rows")
        rows = list(waiting.order_by("requested_at")[: QUEUED + 1])
        more = waiting.count() - QUEUED if len(rows) > QUEUED else 0
        context = {"form": form, "grants": rows[:QUEUED], "more": more}
        return self.page(request, "queue", gettext("Waiting for you"), 400 if form else 200, **context)

    def _settle(self, request: HttpRequest, form: DecisionForm) -> HttpResponse:
        told = form.cleaned_data
        try:
            settled = settle(told["grant"], told["decision"], by=login(request), text=told["text"])
        except OutcomeUnknown:
            messages.warning(request, gettext("Approved. D1 gave no answer: the units come within minutes."))
        else:
            for level, words in _decided(settled, told["decision"]):
                messages.add_message(request, level, words)
        return HttpResponseRedirect(reverse("admin:console_grant_queue"))

    # Taking back

    def reversal_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """GET shows what can be taken back, POST takes it."""
        grant = get_object_or_404(Grant.objects.using(CONSOLE).select_related("requested_by"), pk=pk)
        if not grant_reversal.may_reverse(login(request), grant):
            raise PermissionDenied
        form = ReversalForm(request.POST) if request.method == "POST" else None
        try:
            if form and form.is_valid():
                return self._reverse(request, grant, form)
            if grant.state != Grant.State.APPLIED or grant.reversal_units is not None:
                raise GrantRefused(gettext("This grant was taken back already, or is not given."))
            there = grant_reversal.returnable(grant)
        except GrantRefused as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(grant.get_absolute_url())
        form = form or ReversalForm(initial={"units": there.units})
        status = 400 if form.errors else 200
        return self.page(request, "reversal", gettext("Take a grant back"), status, grant=grant, there=there, form=form)

    def _reverse(self, request: HttpRequest, grant: Grant, form: ReversalForm) -> HttpResponse:
        told = form.cleaned_data
        try:
            units = grant_reversal.reverse(grant, told["units"], by=login(request), text=told["text"])
        except OutcomeUnknown:
            messages.warning(request, gettext("D1 gave no answer: the units are taken back within minutes, once."))
        else:
            words = gettext("%(units)s units were taken back.") % {"units": f"{units:,}"}
            messages.success(request, words)
        return HttpResponseRedirect(grant.get_absolute_url())


def _told(grant: Grant, outcome: Outcome | None) -> tuple[int, str | SafeString]:
    """What came of a grant, after its commit."""
    user = cells.row_link(Account, grant.user_id, grant.email or grant.user_id)
    if outcome and outcome.is_posted:
        words = gettext("{} units were granted to {}. The balance is {} units.")
        return messages.SUCCESS, format_html(words, f"{grant.units:,}", user, f"{outcome.balance_after:,}")
    if grant.is_given:
        return messages.INFO, format_html(gettext("{} units had been granted to {} already."), f"{grant.units:,}", user)
    if grant.state == Grant.State.REQUESTED:
        words = gettext("It waits for a second person, because of a limit. {}")
        return messages.WARNING, format_html(words, grant.waits_because)
    if grant.state == Grant.State.APPROVED and not grant.problem:
        words = gettext("The database gave no answer: the units for {} come within minutes, once.")
        return messages.WARNING, format_html(words, user)
    return messages.ERROR, grant.problem or grant.decision


def _decided(settled: Settled, decision: str) -> list[tuple[int, str]]:
    told: list[tuple[int, str]] = []
    numbers = {"n": f"{settled.decided:,}", "applied": f"{settled.applied:,}", "late": f"{settled.late:,}"}
    if settled.decided and decision == "reject":
        words = ngettext("%(n)s grant was rejected.", "%(n)s grants were rejected.", settled.decided)
        told.append((messages.SUCCESS, words % numbers))
    elif settled.decided:
        words = ngettext(
            "%(n)s grant was approved, %(applied)s is in the battery.",
            "%(n)s grants were approved, %(applied)s are in the batteries.",
            settled.decided,
        )
        told.append((messages.SUCCESS, words % numbers))
    if settled.late:
        words = ngettext(
            "%(late)s grant no longer waits: somebody else decided on it.",
            "%(late)s grants no longer wait: somebody else decided on them.",
            settled.late,
        )
        told.append((messages.WARNING, words % numbers))
    return told
