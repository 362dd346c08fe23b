"""The pages of the resync: order one, the history of runs, and the list of findings that staff work off."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from billing.resync.choosing import missing_users
from billing.resync.kinds import KINDS
from billing.resync.run import MANY, Wish
from billing.stripe_api import StripeRefused, stripe_of_settings
from chat.models import User as Account
from console import resync
from console.changelist import OwnFiltersMixin, ReadOnlyMixin, login
from console.models import Finding, FindingState, ResyncRun, ResyncState, StaffEvent
from console.models.finding import UNSETTLED
from console.stripe_pages import money
from database import cells
from database.words import counted

#: Users that may be named in the form.
MOST_USERS = 1000
_MOMENT = re.compile(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d{1,6})?Z", re.ASCII)


class ResyncForm(forms.Form):
    users = forms.CharField(
        label=_("Users"), required=False, widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Clerk ids, with spaces or lines between. Empty: what the next field says."),
    )  # fmt: skip
    since = forms.TypedChoiceField(
        label=_("What"), required=False, coerce=int, empty_value=None,
        choices=[
            ("", _("everybody, and payments of 35 days")),
            (1, _("what changed in a day")),
            (7, _("what changed in 7 days")),
            (366, _("everybody, and payments of a year")),
            (9999, _("everybody, and all payments ever")),
        ],
    )  # fmt: skip
    dry_run = forms.BooleanField(label=_("Only look: write nothing"), required=False)

    def clean_users(self) -> list[str]:
        users = sorted(set(self.cleaned_data["users"].replace(",", " ").replace("\0", "").split()))
        if len(users) > MOST_USERS:
            raise forms.ValidationError(gettext("Name 1,000 users at the most, or none for everybody."))
        if missing := missing_users(users):
            raise forms.ValidationError(gettext("There is no user %s.") % ", ".join(missing[:5]))
        return users

    def wish(self) -> Wish:
        days = self.cleaned_data["since"]
        users = tuple(self.cleaned_data["users"])
        since = timezone.now() - timedelta(days=days) if days and not users else None
        return Wish(users, since, self.cleaned_data["dry_run"])


class SettleForm(forms.Form):
    note = forms.CharField(
        label=_("What was done"), max_length=2000, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("For whoever looks at it later."),
    )  # fmt: skip


def _number(pk: Any) -> int:
    return int(pk) if str(pk).isdecimal() and len(str(pk)) < 19 else -1


@admin.register(ResyncRun)
class ResyncRunAdmin(ReadOnlyMixin, OwnFiltersMixin, admin.ModelAdmin):
    """The history. Who has `add_resyncrun` may start one."""

    list_display = (
        "shown",
        "shown_state",
        "started",
        "who",
        "about",
        "calls",
        "compared",
        "differences",
        "mended",
        "left",
    )
    list_filter = ("state",)
    filter_parameters = ("state__exact",)
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "admin/console/resync_list.html"
    empty_words = _("A resync compares OmniChat with Stripe: start one here, or by resync_stripe --dry-run.")
    shown_state = cells.column("state", cells.state(ResyncState.values), heading="state")
    started = cells.column("started_at", cells.moment, heading="started", sort="started_at")
    mended = cells.column("applied", cells.number(), heading="mended")

    @admin.display(description=_("resync"))
    def shown(self, run: ResyncRun) -> str:
        return f"{run.pk}, {gettext('only looked')}" if run.dry_run else str(run.pk)

    @admin.display(description=_("who"))
    def who(self, run: ResyncRun) -> str:
        return run.started_by

    @admin.display(description=_("about"))
    def about(self, run: ResyncRun) -> str:
        return about_of(run)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return login(request).has_perm("console.add_resyncrun")

    def get_urls(self) -> list[Any]:
        confirm = self.admin_site.admin_view(self.confirm)
        return [path("<int:pk>/confirm/", confirm, name="console_resyncrun_confirm"), *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET asks; POST queues the job and leads to its progress."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST" or "dry_run_asked" not in request.POST:
            return self.ask(request, request.GET.get("user", ""))
        form = ResyncForm(request.POST)
        problem = _without_key()
        if problem or not form.is_valid():
            return self._asked(request, form, problem, status=400)
        return self._order(request, form.wish())

    def ask(self, request: HttpRequest, users: str) -> HttpResponse:
        return self._asked(request, ResyncForm(initial={"users": users}), _without_key())

    def _asked(self, request: HttpRequest, form: ResyncForm, problem: str, status: int = 200) -> HttpResponse:
        more = {"form": form, "problem": problem, "many": MANY}
        return self._page(request, gettext("Resync with Stripe"), "admin/console/resync_ask.html", more, status)

    def _order(self, request: HttpRequest, wish: Wish, *, confirmed: bool = False) -> HttpResponse:
        job = resync.order(wish, by=login(request), confirmed=confirmed)
        detail = {"users": list(wish.users), "since": str(wish.since or ""), "dry_run": wish.dry_run}
        StaffEvent.objects.create(staff_id=request.user.pk, action="resync.start", subject=str(job.pk), detail=detail)
        messages.success(request, gettext("The resync is queued. Its findings stand in Findings when it has ended."))
        return HttpResponseRedirect(job.get_absolute_url())

    def confirm(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A run that found more to mend than goes without asking: all is read and compared anew, and mended."""
        run = get_object_or_404(ResyncRun, pk=_number(pk))
        if not self.has_add_permission(request) or request.method != "POST":
            raise PermissionDenied
        if not ResyncRun.objects.filter(pk=run.pk, state=ResyncState.WAITING).update(state=ResyncState.DONE):
            messages.warning(request, gettext("It does not wait any more."))
            return HttpResponseRedirect(run.get_absolute_url())
        return self._order(request, Wish(tuple(run.users), run.since, run.dry_run), confirmed=True)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = get_object_or_404(ResyncRun.objects.select_related("job"), pk=_number(object_id))
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        findings = reverse("admin:console_finding_changelist")
        kinds = [
            (
                kind.replace("_", " "),
                KINDS.get(kind, ""),
                count,
                f"{findings}?{urlencode({'kind': kind, 'run__id__exact': run.pk})}",
            )
            for kind, count in run.kinds.items()
        ]
        more = {
            "run": run,
            "state": cells.state(ResyncState.values)(run.state),
            "kinds": kinds,
            "about": about_of(run),
            "looked_at": resync.looked_at(run),
            "findings": f"{findings}?{urlencode({'run__id__exact': run.pk})}",
            "may_confirm": run.state == ResyncState.WAITING and self.has_add_permission(request),
        }
        return self._page(request, f"{gettext('Resync')} {run.pk}", "admin/console/resync_page.html", more)

    def _page(
        self, request: HttpRequest, title: str, template: str, more: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, **more}
        return TemplateResponse(request, template, context, status=status)


def about_of(run: ResyncRun) -> str:
    if run.users:
        return ", ".join(run.users[:3]) + (f" +{len(run.users) - 3:,}" if len(run.users) > 3 else "")
    if run.since and not run.payments_since:
        return gettext("changed since %s") % f"{run.since:%Y-%m-%d %H:%M} UTC"
    if run.since and run.payments_since:
        return gettext("everybody, payments since %s") % f"{run.payments_since:%Y-%m-%d}"
    return gettext("everybody")


def _without_key() -> str:
    """What stands in the way of asking Stripe, as a sentence."""
    try:
        stripe_of_settings()
    except StripeRefused as refused:
        return str(refused)
    return ""


class UnsettledFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("unsettled", _("unsettled")), *FindingState.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Finding]) -> QuerySet[Finding]:
        if self.value() == "unsettled":
            return queryset.filter(state__in=UNSETTLED)
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Finding)
class FindingAdmin(ReadOnlyMixin, OwnFiltersMixin, admin.ModelAdmin):
    """Who has `change_finding` says what was done with one."""

    list_display = ("name", "shown_state", "of_user", "shown_found", "shown_expected", "shown_subject", "last_seen")
    list_filter = (UnsettledFilter, "kind")
    filter_parameters = ("state", "kind", "run__id__exact")
    search_fields = ("=user_id", "=subject")
    search_help_text = _("The id of a user, or what it is about.")
    list_per_page = 50
    show_full_result_count = False
    actions = ("mark_done",)
    empty_words = _("A resync fills this list: Resyncs in the sidebar.")
    shown_state = cells.column("state", cells.state(FindingState.values), heading="state", sort="state")
    last_seen = cells.column("last_seen_at", cells.moment, heading="last seen", sort="last_seen_at")

    @admin.display(description=_("finding"), ordering="kind")
    def name(self, finding: Finding) -> str:
        return finding.kind.replace("_", " ")

    @admin.display(description=_("user"), ordering="user_id")
    def of_user(self, finding: Finding) -> SafeString | str:
        return user_link(finding)

    @admin.display(description=_("subject"), ordering="subject")
    def shown_subject(self, finding: Finding) -> str:
        """Of a cell its column: whose row it is stands beside it."""
        return finding.subject.partition(" ")[0] if finding.subject.startswith("user") else finding.subject

    @admin.display(description=_("found"))
    def shown_found(self, finding: Finding) -> cells.Shown:
        return in_short(finding, finding.found, 30)

    @admin.display(description=_("expected"))
    def shown_expected(self, finding: Finding) -> cells.Shown:
        return in_short(finding, finding.expected, 30)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in self.filter_parameters

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return login(request).has_perm("console.change_finding")

    @admin.action(description=_("Mark as done"), permissions=["settle"])
    def mark_done(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        done = resync.settle(
            queryset.values_list("pk", flat=True)[:1000], gettext("Marked in the list."), by=login(request)
        )
        words = ngettext("%(n)s finding is done.", "%(n)s findings are done.", done) % {"n": f"{done:,}"}
        messages.success(request, words)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        finding = get_object_or_404(Finding.objects.select_related("run", "settled_by"), pk=_number(object_id))
        if not self.has_view_permission(request, finding):
            raise PermissionDenied
        form = SettleForm(request.POST or None)
        if request.method == "POST":
            if not self.has_settle_permission(request):
                raise PermissionDenied
            if form.is_valid():
                return self._settle(request, finding, form.cleaned_data["note"])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": finding.kind.replace("_", " "),
            "finding": finding,
            "state": cells.state(FindingState.values)(finding.state),
            "meaning": KINDS.get(finding.kind, ""),
            "user_link": user_link(finding),
            "values": [
                (gettext("Found"), in_full(finding, finding.found)),
                (gettext("Expected"), in_full(finding, finding.expected)),
            ],
            "form": form,
            "may_settle": finding.is_unsettled and self.has_settle_permission(request),
            "resync_url": _resync_url(request, finding),
        }
        status = 400 if request.method == "POST" else 200
        return TemplateResponse(request, "admin/console/finding_page.html", context, status=status)

    def _settle(self, request: HttpRequest, finding: Finding, note: str) -> HttpResponse:
        if resync.settle([finding.pk], note, by=login(request)):
            messages.success(request, gettext("It is done."))
        else:
            messages.warning(request, gettext("It was settled already."))
        return HttpResponseRedirect(reverse("admin:console_finding_changelist") + "?state=unsettled")


def user_link(finding: Finding) -> SafeString | str:
    if not finding.user_id:
        return cells.EMPTY
    return format_html('<a href="{}">{}</a>', cells.row_url(Account, finding.user_id), finding.user_id)


def in_full(finding: Finding, value: Any) -> Any:
    return cells.json_block(value) if isinstance(value, dict | list) else in_short(finding, value, 2000)


def in_short(finding: Finding, value: Any, most: int) -> cells.Shown:
    """Whole numbers are cents where it is about an amount, and units otherwise."""
    if value is None:
        return cells.EMPTY
    if type(value) is int:
        return money(value, "usd") if finding.kind == "plan_amount_differs" else counted(value, "unit")
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return cells.moment(datetime.fromisoformat(value))
    text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _resync_url(request: HttpRequest, finding: Finding) -> str:
    if not finding.user_id or not request.user.has_perm("console.add_resyncrun"):
        return ""
    return reverse("admin:console_resyncrun_add") + f"?{urlencode({'user': finding.user_id})}"
