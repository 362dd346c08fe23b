"""The admin's pages for export and import: the choice of a file, the preview of an import, and its confirmation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import Error, connections
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from d1.errors import OutcomeUnknown
from database import exchange, export_files, import_files, pending
from database.columns import learn_missing_fields, missing_fields
from database.failures import sentence
from database.import_writes import ImportStopped, write_import
from database.imports import Preview, preview
from database.router import OMNICHAT
from database.words import counted

#: Changes and problems that a preview lists; all are counted.
LISTED = 200
EXPIRED = "This preview is no longer there: it is kept for an hour, and confirmed once. Upload the file again."

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object
AGAIN = "Give the same file again: in its preview, a row that is already as the file says is no change."


class ExchangeMixin(Base):
    """Export of a list as filtered, to whoever has `export_MODEL`; import, where there is a `resource_class`.

    An import takes `import_MODEL` and the right to change rows; rows that are new take `add_MODEL` too. What is done is
    told by the signal `database.exchange.exchanged`. The pages stand at `export/` and `import/` beside the list, which
    gets their addresses as `export_url` and `import_url`.
    """

    resource_class: ClassVar[type[exchange.TableResource] | None] = None
    #: Fields that are not fetched for lists, and left out of files.
    unread: ClassVar[tuple[str, ...]] = ()

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and self._may(request, "export")

    def has_import_permission(self, request: HttpRequest) -> bool:
        may = self._may(request, "import") and self.has_change_permission(request)
        return self.resource_class is not None and may

    def _may(self, request: HttpRequest, action: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{action}_{self.opts.model_name}")

    def withheld_fields(self, request: HttpRequest) -> Iterable[str]:
        """Names of fields that this person's files do not have."""
        return self.unread

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(f"{name}/", self.admin_site.admin_view(view), name=self._url_name(name))
            for name, view in (("export", self.export_view), ("import", self.import_view))
        ]
        return [*own, *super().get_urls()]

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _url(self, name: str, query: str = "") -> str:
        address = reverse(f"admin:{self._url_name(name)}", current_app=self.admin_site.name)
        return f"{address}?{query}" if query else address

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        links = {}
        if self.has_export_permission(request):
            links["export_url"] = self._url("export", request.GET.urlencode())
        if self.has_import_permission(request):
            links["import_url"] = self._url("import")
        return super().changelist_view(request, {**links, **(extra_context or {})})

    # Export

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """GET offers the formats, POST gives the file of all rows that the list in the address would show."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        exchange.exchange_asked.send(self.model, request=request)
        learn_missing_fields(self.model)
        columns = self._columns(request)
        chosen = export_files.FORMATS.get(request.POST.get("format", ""))
        if request.method != "POST" or chosen is None:
            query = request.GET.urlencode()
            context = {"formats": export_files.FORMATS, "columns": columns, "query": query, "title": "Export"}
            return self._page(request, "export", context)
        try:
            return self._file(request, request.POST["format"], columns)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._url("changelist"))

    def _columns(self, request: HttpRequest) -> list[Any]:
        withheld = {*self.withheld_fields(request), *missing_fields(self.model)}
        return exchange.columns_of(exchange.resource_of(self.model), tuple(withheld))

    def _file(self, request: HttpRequest, extension: str, columns: Sequence[Any]) -> StreamingHttpResponse:
        rows = exchange.rows_of(self.get_changelist_instance(request).queryset, columns)
        # The first page is read before anything is sent, so that an error is still a page.
        first = list(islice(rows, 1))
        names = [field.column for field in columns]
        query = request.GET.urlencode()
        self._tell(request, "export", format=extension, columns=names, filters=query)
        written = export_files.FORMATS[extension]
        response = StreamingHttpResponse(written.write(columns, chain(first, rows)), content_type=written.content_type)
        name = f"{self.opts.db_table}-{timezone.now():%Y%m%dT%H%M%SZ}.{extension}"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response

    # Import

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks for a file, POST with a file shows what it would change, POST with the token of that changes it."""
        if not self.has_import_permission(request) or self.resource_class is None:
            raise PermissionDenied
        exchange.exchange_asked.send(self.model, request=request)
        if request.method != "POST":
            return self._ask(request)
        try:
            learn_missing_fields(self.model)
            if "token" in request.POST:
                return self._confirmed(request, self.resource_class)
            return self._previewed(request, self.resource_class)
        except import_files.BadFile as bad:
            return self._ask(request, str(bad))
        except ImportStopped as stopped:
            return self._ask(request, str(stopped))
        except OutcomeUnknown as lost:
            return self._ask(request, f"{lost} {AGAIN}")
        except Error as error:
            return self._ask(request, sentence(error, connections[OMNICHAT]))

    def _ask(self, request: HttpRequest, error: str = "") -> HttpResponse:
        resource = self.resource_class
        fields = [self.opts.get_field(name) for name in resource.importable] if resource else []
        context = {
            "error": error,
            "fields": fields,
            "title": "Import",
            "megabytes": import_files.MAX_BYTES // 1024 // 1024,
            "most_rows": import_files.MAX_ROWS,
        }
        return self._page(request, "import", context, status=400 if error else 200)

    def _previewed(self, request: HttpRequest, resource: type[exchange.TableResource]) -> HttpResponse:
        file = request.FILES.get("file")
        if file is None or file.name is None:
            raise import_files.BadFile("Choose a file first.")
        if (file.size or 0) > import_files.MAX_BYTES:
            raise import_files.BadFile(import_files.TOO_LARGE)
        table = import_files.read_file(file.name, file.read())
        found = preview(resource, table, file.name, may_add=self._may(request, "add"))
        self._tell(request, "preview import", **_counts(found))
        ready = bool(found.changes) and not found.problems
        token = pending.keep(found, table=self.opts.label, staff=request.user.pk) if ready else ""
        context = {
            "found": found,
            "token": token,
            "changes": [_shown(change) for change in found.changes[:LISTED]],
            "problems": found.problems[:LISTED],
            "listed": LISTED,
            "title": "Import: what would change",
        }
        return self._page(request, "preview", context, status=200 if not found.problems else 400)

    def _confirmed(self, request: HttpRequest, resource: type[exchange.TableResource]) -> HttpResponse:
        try:
            found = pending.take(request.POST["token"], table=self.opts.label, staff=request.user.pk)
        except pending.Gone:
            raise import_files.BadFile(EXPIRED) from None
        done = write_import(resource, found, by=request.user)  # type: ignore[arg-type]
        self._tell(request, "import", **_counts(found))
        messages.success(
            request, f"{counted(done, 'row')} of {found.file_name} {'was' if done == 1 else 'were'} written."
        )
        return HttpResponseRedirect(self._url("changelist"))

    # Both

    def _tell(self, request: HttpRequest, action: str, **detail: Any) -> None:
        exchange.exchanged.send(
            self.model, request=request, action=action, subject=self.opts.label_lower, detail=detail
        )

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "list_url": self._url("changelist"),
            **context,
        }
        return TemplateResponse(request, f"admin/exchange/{name}.html", whole, status=status)


def _counts(found: Preview) -> dict[str, Any]:
    return {"file": found.file_name, "rows": found.rows, "changes": len(found.changes), "new": found.new}


def _shown(change: Any) -> dict[str, Any]:
    """A change for the page: each column with what is and what would be."""
    cells = [(column, change.before.get(column), cell) for column, cell in change.after.items()]
    return {"row": change.row, "key": change.key, "new": change.new, "cells": cells}
