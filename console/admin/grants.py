"""The admin of grants: their list, the page of each, and the ways to the pages that give, decide and take back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import BatteryTransaction
from chat.models import User as Account
from console import grant_export, grant_history, grant_reversal
from console.changelist import OwnFiltersMixin, login
from console.grant_bulk_pages import BulkPages
from console.grant_forms import is_uuid
from console.grant_pages import GrantPages
from console.grant_queue import waiting_for
from console.models import Grant
from database import cells
from database.exchange import exchange_asked, exchanged
from database.filters import PERIODS

STATES = cells.state([state.lower() for state in Grant.State.values])


class Who(admin.SimpleListFilter):
    title = _("granted by")
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        requesters = Grant.objects.order_by().values("requested_by").distinct()
        names = User.objects.filter(pk__in=requesters).order_by("username").values_list("pk", "username")[:100]
        return [("me", _("me")), *((str(pk), name) for pk, name in names), ("command", _("command line"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        value = str(self.value() or "")
        if value == "me":
            return queryset.filter(requested_by_id=request.user.pk)
        if value == "command":
            return queryset.filter(requested_by=None)
        return queryset.filter(requested_by_id=int(value)) if value.isdecimal() and len(value) < 19 else queryset


class When(admin.SimpleListFilter):
    title = _("asked for")
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return [(name, period.label) for name, period in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        period = PERIODS.get(str(self.value() or ""))
        return queryset.filter(requested_at__gte=timezone.now() - period.length) if period else queryset


@admin.register(Grant)
class GrantAdmin(GrantPages, BulkPages, OwnFiltersMixin, admin.ModelAdmin):
    """Grants are given, decided and taken back; nobody edits or deletes one."""

    list_display = ("given", "recipient", "shown_state", "asked", "who", "shown_category", "text_cut", "ticket")
    list_display_links = ("given",)
    list_filter = ("state", "category", Who, When)
    filter_parameters = ("state__exact", "category__exact", "by", "period")
    list_select_related = ("requested_by",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("user_id",)
    search_help_text = _("A user's Clerk id, the beginning of an email, a ticket, or the id of a grant.")
    change_list_template = "admin/console/grant_list.html"

    given = cells.column("units", cells.units, "units", sort="units")
    asked = cells.column("requested_at", cells.moment, "asked for", sort="requested_at")

    @admin.display(description=_("state"))
    def shown_state(self, grant: Grant) -> Any:
        return STATES(grant.state.lower())

    @admin.display(description=_("user"))
    def recipient(self, grant: Grant) -> Any:
        return cells.row_link(Account, grant.user_id, grant.email or grant.user_id)

    @admin.display(description=_("category"))
    def shown_category(self, grant: Grant) -> str:
        return grant.get_category_display()

    @admin.display(description=_("reason"))
    def text_cut(self, grant: Grant) -> str:
        return grant.text if len(grant.text) <= 60 else f"{grant.text[:59]}…"

    @admin.display(description=_("granted by"))
    def who(self, grant: Grant) -> str:
        return grant.requester

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and login(request).has_perm("console.export_grant")

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("queue/", self.queue_view, "queue"),
            ("export/", self.export_view, "export"),
            ("bulk/", self.bulk_view, "bulk"),
            ("bulk/<uuid:pk>/", self.preview_view, "preview"),
            ("<uuid:pk>/take-back/", self.reversal_view, "reversal"),
        )
        own = [
            path(where, self.admin_site.admin_view(view), name=f"console_grant_{name}") for where, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Grant], search_term: str
    ) -> tuple[QuerySet[Grant], bool]:
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        wanted = Q(user_id=term) | Q(ticket=term) | Q(email__istartswith=term)
        return queryset.filter(wanted | Q(pk=UUID(term)) if is_uuid(term) else wanted), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        waiting = waiting_for(login(request))
        links = {
            "waiting": None if waiting is None else waiting.count(),
            "may_export": self.has_export_permission(request),
            "query": request.GET.urlencode(),
        }
        return super().changelist_view(request, {**links, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        grant = self._grant(object_id)
        if not self.has_view_permission(request, grant):
            raise PermissionDenied
        if grant is None:
            raise Http404
        person, waiting = login(request), waiting_for(login(request))
        context = {
            "grant": grant,
            "steps": grant_history.steps(grant),
            "user_of_grant": self.recipient(grant),
            "state": self.shown_state(grant),
            "entry_url": cells.row_url(BatteryTransaction, grant.entry_id) if grant.is_given else "",
            "may_decide": waiting is not None and waiting.filter(pk=grant.pk).exists(),
            "may_reverse": grant.state == Grant.State.APPLIED
            and grant.reversal_units is None
            and grant.expiry_units is None
            and grant_reversal.may_reverse(person, grant),
        }
        return self.page(request, "page", str(grant), **context)

    def _grant(self, pk: str) -> Grant | None:
        rows = Grant.objects.select_related("requested_by", "decided_by", "reversal_by", "bulk").defer("bulk__rows")
        return rows.filter(pk=UUID(pk)).first() if is_uuid(pk) else None

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """GET asks, POST gives the CSV of the list as it is filtered and searched."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        exchange_asked.send(self.model, request=request)
        query = request.GET.urlencode()
        if request.method != "POST":
            return self._offer_export(request, query)
        rows = self.get_changelist_instance(request).get_queryset(request)
        detail = {"format": "csv", "filters": query}
        exchanged.send(self.model, request=request, action="export", subject=self.opts.label_lower, detail=detail)
        response = StreamingHttpResponse(grant_export.csv_file(rows), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="grants-{timezone.now():%Y%m%dT%H%M%SZ}.csv"'
        response["Cache-Control"] = "no-store"
        return response

    def _offer_export(self, request: HttpRequest, query: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Export"),
            "formats": {"csv": {"name": "CSV"}},
            "columns": [{"column": name} for name in grant_export.COLUMNS],
            "query": query,
            "list_url": reverse("admin:console_grant_changelist"),
        }
        return TemplateResponse(request, "admin/exchange/export.html", context)
