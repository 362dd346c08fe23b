"""The page of a user's ledger in the admin, and its file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from billing.allowance import today
from billing.balance_plot import plot_of
from billing.ledger_rows import Line, Summary, line_of, lines_of, page_of, summarize
from billing.models import BatteryTransaction, TransactionType
from chat.models import User
from database import cells
from database.exchange import exchange_asked, exchanged, exporter
from database.formulas import harmless
from database.object_actions import ObjectAction, opened
from database.paging import Page, Place

#: Days that the plot may show, the usual first.
SPANS = (90, 30, 365)
COLUMNS = ("id", "created_at", "type", "amount", "balance_after", "cause", "by", "marks", "payment_intent", "metadata")
#: Lines of the file that are sent together.
CHUNK = 500
_FIELDS: list[Any] = [
    BatteryTransaction._meta.get_field(name)
    for name in ("created_at", "type", "amount", "balance_after", "stripe_payment_intent_id", "metadata")
]
_CELLS = [(field, exporter(field)) for field in _FIELDS]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object


def ledger_url(user_id: str, **parameters: Any) -> str:
    url = reverse("admin:billing_batterytransaction_ledger", args=(quote(user_id),))
    return f"{url}?{urlencode(parameters)}" if parameters else url


def offer_ledger(request: HttpRequest, user: User) -> list[ObjectAction]:
    """The way from a user's page. A source for `database.object_actions`."""
    may = request.user.has_perm("billing.view_batterytransaction")
    return [ObjectAction(_("Ledger"), ledger_url(str(user.pk)))] if may else []


class LedgerMixin(Base):
    """`ledger/USER/` and `ledger/USER/export/` beside the list of all entries."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_ledger"
        view = self.admin_site.admin_view
        own = [
            path("ledger/<str:user_id>/", view(self.ledger_view), name=name),
            path("ledger/<str:user_id>/export/", view(self.ledger_export_view), name=f"{name}_export"),
        ]
        return [*own, *super().get_urls()]

    def ledger_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """The balance over time and a page of entries; three queries at the most."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        user_id = _id(user_id)
        span = _span(request)
        summary = summarize(user_id, today(), span)
        page = _page(request, user_id)
        if summary.email is None and not summary.has_battery and not page.rows:
            raise Http404(f"There is no user {user_id}, and no entry of such a one.")
        opened.send(self.model, request=request, user_id=user_id, page="ledger")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Ledger of {summary.email or user_id}",
            "summary": summary,
            "facts": _facts(summary),
            "user_url": cells.row_url(User, user_id) if summary.email is not None else "",
            "list_url": cells.list_url(BatteryTransaction),
            "lines": [_shown(line_of(row)) for row in page.rows],
            "differs": _differs(summary, page),
            "pager": _pager(user_id, page, span),
            "plot": plot_of(summary.days),
            "spans": [(days, days == span, ledger_url(user_id, days=days)) for days in sorted(SPANS)],
            "export_url": f"{ledger_url(user_id)}export/" if self._may_export(request) else "",
        }
        return TemplateResponse(request, "admin/billing/ledger.html", context)

    def ledger_export_view(self, request: HttpRequest, user_id: str) -> HttpResponse | StreamingHttpResponse:
        """POST gives all entries as CSV, a stream. That somebody asked is told before the first is sent."""
        if not self._may_export(request):
            raise PermissionDenied
        user_id = _id(user_id)
        if request.method != "POST":
            return HttpResponseRedirect(ledger_url(user_id))
        exchange_asked.send(self.model, request=request)
        lines = lines_of(user_id)
        # The first piece is read before anything is sent, so that an error is still a page.
        first = list(islice(lines, 1))
        detail = {"format": "csv", "columns": list(COLUMNS), "filters": f"user={user_id}"}
        exchanged.send(
            self.model, request=request, action="export", subject="billing.batterytransaction", detail=detail
        )
        response = StreamingHttpResponse(csv_of(chain(first, lines)), content_type="text/csv; charset=utf-8")
        name = f"ledger-{quote(user_id)}-{timezone.now():%Y%m%dT%H%M%SZ}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response

    def _may_export(self, request: HttpRequest) -> bool:
        may = request.user.has_perm("billing.export_batterytransaction")
        return may and self.has_view_permission(request)


def _id(quoted: str) -> str:
    user_id: str = unquote(quoted)
    if "\0" in user_id:
        raise Http404("No id has such a character.")
    return user_id


def _span(request: HttpRequest) -> int:
    return next((days for days in SPANS if request.GET.get("days") == str(days)), SPANS[0])


def _page(request: HttpRequest, user_id: str) -> Page:
    if "last" in request.GET:
        return page_of(user_id, None, backwards=True)
    before = Place.decode(request.GET.get("before", ""))
    return page_of(user_id, before or Place.decode(request.GET.get("after", "")), backwards=before is not None)


def _pager(user_id: str, page: Page, span: int) -> dict[str, str]:
    kept = {} if span == SPANS[0] else {"days": span}
    first, last = page.place(0), page.place(-1)
    return {
        "first": ledger_url(user_id, **kept) if page.earlier else "",
        "previous": ledger_url(user_id, **kept, before=first.encode()) if first and page.earlier else "",
        "next": ledger_url(user_id, **kept, after=last.encode()) if last and page.later else "",
        "last": ledger_url(user_id, **kept, last=1) if page.later else "",
    }


def _facts(summary: Summary) -> list[tuple[Any, Any]]:
    if not summary.has_battery:
        return []
    return [(_("Balance"), cells.units(summary.balance)), (_("A day"), cells.units(summary.allowance))]


def _differs(summary: Summary, page: Page) -> Any:
    """The newest entry where the balance is another than it left; None on later pages, of which nobody can say."""
    if page.earlier or not page.rows or not summary.has_battery:
        return None
    newest: Any = page.rows[0]
    return newest if newest.balance_after != (summary.balance or 0) else None


def _shown(line: Line) -> dict[str, Any]:
    entry = line.entry
    return {
        "created": cells.moment(entry.created_at),
        "kind": cells.state(TransactionType.values)(entry.type),
        "amount": cells.signed_units(entry.amount),
        "balance": cells.units(entry.balance_after),
        "causes": line.causes,
        "by": line.by,
        "marks": line.marks,
        "url": cells.row_url(BatteryTransaction, entry.pk),
        "id": str(entry.pk),
    }


class _Echo:
    """Gives back what csv writes."""

    def write(self, text: str) -> str:
        return text


def csv_of(lines: Iterable[Line]) -> Iterator[bytes]:
    """UTF-8 with a mark at the start, as Excel wants it; no cell is a formula. NULL is an empty cell."""
    writer: Any = csv.writer(_Echo())
    yield b"\xef\xbb\xbf" + writer.writerow(COLUMNS).encode()
    pending = iter(lines)
    while some := list(islice(pending, CHUNK)):
        yield "".join(writer.writerow(_cells_of(line)) for line in some).encode(errors="replace")


def _cells_of(line: Line) -> list[Any]:
    entry = line.entry
    created, kind, amount, after, intent, metadata = (
        export(field.get_prep_value(getattr(entry, field.name))) for field, export in _CELLS
    )
    why = "; ".join(f"{cause.label} {cause.key}".strip() for cause in line.causes)
    marks = ", ".join(label for _, label, _ in line.marks)
    found = [str(entry.pk), created, kind, amount, after, why, line.by, marks, intent, metadata]
    return [harmless(cell) if isinstance(cell, str) else cell for cell in found]
