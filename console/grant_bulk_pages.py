"""The pages of bulk grants: a file or selected users, the preview of each row, and the confirmation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, gettext_lazy

from console import grant_bulk
from console.changelist import login
from console.grant_files import Line, Verdict, counts
from console.grant_forms import FileForm, ReasonForm, SelectedForm
from console.grants import GrantRefused
from console.models import Grant, GrantBulk
from console.signin.fresh import LARGE_GRANT, require_fresh
from database.import_files import MAX_BYTES, MAX_ROWS, TOO_LARGE, BadFile
from database.router import CONSOLE

#: Rows of each kind that a preview lists; all are counted.
LISTED = 200
SWEPT = gettext_lazy("This preview is no longer there: it is kept for a day. Upload the file or mark the users again.")
#: Users that may be marked at once.
MOST_SELECTED = 1000

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Grant]
else:
    Base = object


class BulkPages(Base):
    """Views of a `GrantAdmin`, which has `page`."""

    if TYPE_CHECKING:

        def page(self, request: HttpRequest, name: str, title: str, status: int = 200, **context: Any) -> HttpResponse:
            raise NotImplementedError

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks for a file, POST shows what would become of each of its rows, or of each of `users`."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if stale := require_fresh(request):
            return stale
        if request.method != "POST":
            return self._ask_bulk(request, FileForm())
        form: ReasonForm = SelectedForm(request.POST) if "users" in request.POST else FileForm(*_sent(request))
        if not form.is_valid():
            return self._ask_bulk(request, form)
        try:
            bulk, lines = _previewed(request, form)
        except BadFile as bad:
            form.add_error("file", str(bad))
            return self._ask_bulk(request, form)
        return self._preview(request, bulk, lines)

    def ask_selected(self, request: HttpRequest, users: list[str]) -> HttpResponse:
        """The form for users that were marked in a list, by their ids."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if len(users) > MOST_SELECTED:
            return self._ask_bulk(request, FileForm(), gettext("Mark fewer users, or bring them in a file."))
        return self._ask_bulk(request, SelectedForm(initial={"users": users}))

    def _ask_bulk(self, request: HttpRequest, form: ReasonForm, error: str = "") -> HttpResponse:
        users = form.initial.get("users") or getattr(form, "cleaned_data", {}).get("users") or []
        context = {
            "form": form,
            "error": error,
            "selected": len(users),
            "of_file": isinstance(form, FileForm),
            "megabytes": MAX_BYTES // 1024 // 1024,
            "most_rows": f"{MAX_ROWS:,}",
        }
        title = (
            gettext("Grant battery from a file") if context["of_file"] else gettext("Grant battery to selected users")
        )
        return self.page(request, "bulk", title, 400 if form.errors or error else 200, **context)

    def _preview(self, request: HttpRequest, bulk: GrantBulk, lines: list[Line]) -> HttpResponse:
        groups = [(verdict, [line for line in lines if line.verdict is verdict]) for verdict in Verdict]
        context: dict[str, Any] = {
            "bulk": bulk,
            "total": len(lines),
            "counts": counts(lines),
            "groups": [(verdict.name.lower(), len(some), some[:LISTED]) for verdict, some in groups if some],
            "listed": LISTED,
            "category": Grant.Category(bulk.category).label,
        }
        return self.page(request, "preview", gettext("Grant battery: what will happen"), **context)

    def preview_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """POST confirms what was previewed, and goes to its job."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect("../")
        bulk = GrantBulk.objects.using(CONSOLE).filter(pk=pk).first()
        if bulk is None:
            messages.error(request, SWEPT)
            return HttpResponseRedirect("../")
        if sum(row["units"] for row in bulk.rows) > LARGE_GRANT and (stale := require_fresh(request)):
            return stale
        try:
            job = grant_bulk.confirm(bulk, by=login(request))
        except GrantRefused as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect("../")
        messages.success(request, gettext("The grants are on their way. This page shows how far they are."))
        return HttpResponseRedirect(job.get_absolute_url())


def _sent(request: HttpRequest) -> tuple[Any, Any]:
    return request.POST, request.FILES


def _previewed(request: HttpRequest, form: ReasonForm) -> tuple[GrantBulk, list[Line]]:
    told = dict(form.cleaned_data)
    if "users" in told:
        return grant_bulk.preview_users(told.pop("users"), told.pop("units"), by=login(request), **told)
    file = told.pop("file")
    if file.size > MAX_BYTES:
        raise BadFile(TOO_LARGE)
    if not file.name.lower().endswith((".csv", ".xlsx")):
        raise BadFile("Only files that end in .csv or .xlsx can be granted from.")
    return grant_bulk.preview_file(file.name, file.read(), by=login(request), **told)
