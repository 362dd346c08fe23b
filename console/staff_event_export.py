"""Staff events as a CSV file, piece by piece, and the page of the admin that gives it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from console.models.staff import StaffEvent
from database.exchange import exchange_asked, exchanged
from database.formulas import harmless
from database.values import instant_text

RIGHT = "console.export_staffevent"
COLUMNS = ("number", "at", "staff", "action", "subject", "detail", "previous", "seal")
#: Rows that are read and sent together.
PORTION = 1000

if TYPE_CHECKING:
    Base = admin.ModelAdmin[StaffEvent]
else:
    Base = object


def csv_file(events: QuerySet[StaffEvent]) -> Iterator[bytes]:
    """UTF-8 with a mark at the start, for Excel; what a spreadsheet would take for a formula is made harmless."""
    yield b"\xef\xbb\xbf" + _lines([list(COLUMNS)])
    found = events.select_related("staff").iterator(chunk_size=PORTION)
    while portion := list(islice(found, PORTION)):
        yield _lines([_cells(event) for event in portion])


def _cells(event: StaffEvent) -> list[Any]:
    staff = event.staff.get_username() if event.staff else ""
    detail = json.dumps(event.detail, ensure_ascii=False)
    texts = (staff, event.action, event.subject, detail, event.previous, event.seal)
    return [event.number, instant_text(event.at), *map(harmless, texts)]


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")


class EventExport(Base):
    """Views of a `StaffEventAdmin`."""

    change_list_template = "admin/console/staff_event_list.html"

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="console_staffevent_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        more = {"may_export": request.user.has_perm(RIGHT), "query": request.GET.urlencode()}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """GET asks, POST gives the CSV of the list as it is filtered and searched."""
        if not (self.has_view_permission(request) and request.user.has_perm(RIGHT)):
            raise PermissionDenied
        query = request.GET.urlencode()
        if request.method != "POST":
            return self._offer(request, query)
        exchange_asked.send(self.model, request=request)
        rows = self.get_changelist_instance(request).get_queryset(request)
        detail = {"format": "csv", "filters": query}
        exchanged.send(self.model, request=request, action="export", subject=self.opts.label_lower, detail=detail)
        response = StreamingHttpResponse(csv_file(rows), content_type="text/csv; charset=utf-8")
        name = f"staff-events-{timezone.now():%Y%m%dT%H%M%SZ}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response

    def _offer(self, request: HttpRequest, query: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "formats": {"csv": {"name": "CSV"}},
            "columns": [{"column": name} for name in COLUMNS],
            "query": query,
            "list_url": reverse("admin:console_staffevent_changelist"),
        }
        return TemplateResponse(request, "admin/exchange/export.html", context)
