"""The admin of OmniChat's tables: cheap, read-only unless said otherwise, and never deleting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import OperationalError
from django.db.models import F, Model, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest, HttpResponse

from database import cells
from database.chosen_columns import chosen
from database.columns import is_about_a_column, learn_missing_fields, missing_fields
from database.edits import NotSaved
from database.exchange_admin import ExchangeMixin
from database.filters import OneValueFilter, by_parent, by_period, by_seen
from database.instants import Instant
from database.listing import KeysetChangeList, WholePaginator
from database.models import AuditLog, SchemaVersion
from database.object_actions import ListAction, actions_of, list_actions
from database.paging import Order, RowId
from database.search import Exact, FirstOf, Search


def newest_first(field: str, column: str, *leads: str) -> Order:
    """The order of a table by one of its moments."""
    return Order(column, Instant(field), leads=frozenset(leads), field=field)


class CheapAdmin(ExchangeMixin, admin.ModelAdmin):
    """What the admins of all eleven tables have in common.

    `orders` are the ways in which the list may run, each served by an index; the first is the usual one. `editable` are
    the fields that a form offers to who may change the row; all else is shown.
    """

    orders: ClassVar[tuple[Order, ...]]
    search: ClassVar[Search]
    editable: ClassVar[tuple[str, ...]] = ()
    #: Columns that a query of this admin never fetches.
    unread: ClassVar[tuple[str, ...]] = ()
    #: Columns that stand beside the name at the head of a row's page.
    states: ClassVar[tuple[str, ...]] = ()
    #: An editable field and the column that shows it to who may not change it.
    shown_by: ClassVar[dict[str, str]] = {}

    list_filter: ClassVar[tuple[type[OneValueFilter], ...]] = ()  # type: ignore[assignment]
    #: Only says that there is a search: `search` does it.
    search_fields = ("pk",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = WholePaginator
    empty_value_display = cells.EMPTY
    change_list_template = "admin/omnichat/change_list.html"
    change_form_template = "admin/omnichat/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.editable) and super().has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        opts = self.opts
        names = (f"{opts.app_label}.{action}_{opts.model_name}" for action in ("view", "change"))
        return any(request.user.has_perm(name) for name in names)

    # Columns

    def missing(self) -> frozenset[str]:
        return missing_fields(self.model)

    def present(self, names: Iterable[Any]) -> list[Any]:
        """The names of columns and fields without those that the live table lacks."""
        missing = self.missing()
        return [name for name in names if getattr(getattr(self, str(name), None), "column", name) not in missing]

    def orders_of_table(self) -> Sequence[Order]:
        there = [order for order in self.orders if self.present([order.column])]
        if self.orders[0] in there:
            return there
        return [Order("", RowId(), leads=self.orders[0].leads, tie=RowId(), certain=False), *there]

    def offered_columns(self, request: HttpRequest) -> list[Any]:
        return self.present(super().get_list_display(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        return chosen(request, self.offered_columns(request))

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return [order.column for order in self.orders_of_table()]

    def get_list_filter(self, request: HttpRequest) -> Any:
        missing = self.missing()
        return [filter_ for filter_ in self.list_filter if filter_.column not in missing]

    def get_ordering(self, request: HttpRequest) -> Any:
        order = self.orders_of_table()[0]
        return [OrderBy(key, descending=order.descending) for key in (order.key, order.tie)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*self.unread, *self.missing())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_actions(self, request: HttpRequest) -> Any:
        offered = list_actions(request, self.opts.label_lower)
        actions = {each.name: (runner(each), each.name, each.label) for each in offered}
        return {**super().get_actions(request), **actions}

    @property
    def search_help_text(self) -> str:  # type: ignore[override]
        return self.search.help_text

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """For the fields that complete what one types."""
        term = search_term.strip().replace("\0", "")
        return (queryset.filter(self.search.find(self.model, term).condition) if term else queryset), False

    # The page of a row

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """An address may name a field with `_to_field=` and nothing behind it, which Django looks up by no name."""
        return super().get_object(request, object_id, from_field or None)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        shown: Sequence[Any] = super().get_fields(request, obj)
        if not self.has_change_permission(request, obj):
            shown = [self.shown_by.get(str(name), name) for name in shown]
        return self.present(shown)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        """What a key may name, without the columns that the other table lacks."""
        rows = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        missing = missing_fields(db_field.related_model)
        if not missing:
            return rows
        return (db_field.related_model._default_manager.using(db) if rows is None else rows).defer(*missing)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if not self.fieldsets:
            return super().get_fieldsets(request, obj)
        may_change = self.has_change_permission(request, obj)
        sections = []
        for title, options in self.fieldsets:
            names = [name if may_change else self.shown_by.get(str(name), name) for name in options["fields"]]
            sections.append((title, {**options, "fields": self.present(names)}))
        return sections

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        sections = self.get_fieldsets(request, obj)
        return [name for _, options in sections for name in options["fields"] if name not in self.editable]

    def links(self, row: Any) -> list[tuple[str, str]]:
        """Label and address of the lists of rows that belong to this one."""
        return []

    def labels(self, row: Any) -> list[Any]:
        """The states that stand beside the name at the head of the page."""
        cells_of_row = [getattr(self, name)(row) for name in self.present(self.states)]
        return [cell for cell in cells_of_row if cell != cells.EMPTY]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None:
            context["links"] = self.links(row)
            context["labels"] = self.labels(row)
            context["object_actions"] = actions_of(request, row)
        return super().render_change_form(request, context, *args, **kwargs)

    # Saving

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "refusal", None)
        return refused(form, refusal) if refusal else form

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """The row and its entry in the audit log are committed when this returns, before anything is said of it."""
        form.save_changes(by=request.user)
        for warning in form.warnings:
            self.message_user(request, warning, messages.WARNING)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        return self._read(lambda: self._edited(request, object_id, form_url, extra_context))

    def _edited(self, request: HttpRequest, *args: Any) -> HttpResponse:
        # Past Django's own `changeform_view`, which holds a transaction around the message and the log entry.
        view: Callable[..., HttpResponse] = self._changeform_view  # type: ignore[attr-defined]
        try:
            return view(request, *args)
        except NotSaved as refusal:
            request.refusal = refusal  # type: ignore[attr-defined]
        response = view(request, *args)
        response.status_code = HTTPStatus.CONFLICT
        return response

    # A table that lacks a column

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return self._read(lambda: super(CheapAdmin, self).changelist_view(request, extra_context))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._read(lambda: super(CheapAdmin, self).history_view(request, object_id, extra_context))

    def _read(self, view: Callable[[], HttpResponse]) -> HttpResponse:
        try:
            return view()
        except OperationalError as error:
            if not is_about_a_column(error):
                raise
            others: list[Any] = [field.related_model for field in self.opts.concrete_fields if field.related_model]
            missing = frozenset().union(*map(learn_missing_fields, (self.model, *others)))
            if not missing:
                raise
        return view()


def runner(action: ListAction) -> Callable[..., HttpResponse]:
    """The action as Django calls it. The keys are those that were marked: no list is asked for again."""

    def run(admin_of_list: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        return action.run(request, request.POST.getlist(ACTION_CHECKBOX_NAME))

    return run


def refused(form: type[Any], refusal: NotSaved) -> type[Any]:
    """The form with what a refused save says in it."""

    def _post_clean(self: Any) -> None:
        form._post_clean(self)
        self.refuse(refusal)

    return type(form.__name__, (form,), {"_post_clean": _post_clean})


@admin.register(AuditLog)
class AuditLogAdmin(CheapAdmin):
    created = cells.column("created_at", cells.moment, "when", sort="created_at")
    of_user = cells.column("user_id", cells.identifier, "user")
    resource = cells.column("resource_id", cells.identifier, "resource")
    details = cells.column("metadata", cells.json_block)
    entry = cells.column("id", cells.identifier, "id")

    list_display = ("created", "action", "resource_type", "resource", "of_user", "staff")
    list_filter = (
        by_seen("action"),
        by_seen("resource_type"),
        by_parent("user", "user_id", "Clerk id"),
        by_period("created_at", "when"),
    )
    fields = ("entry", "created", "action", "resource_type", "resource", "of_user", "details")
    orders = (newest_first("created_at", "created", "action", "resource_type", "user"),)
    search = Search(
        (Exact("user_id", starts="user_"), FirstOf(("id", "resource_id"))),
        "A user's Clerk id, the id of what was changed, or the id of an entry.",
    )

    @admin.display(description="staff")
    def staff(self, row: AuditLog) -> Any:
        by = row.metadata.get("by") if isinstance(row.metadata, dict) else None
        return by.get("username") or by.get("name") if isinstance(by, dict) else by


@admin.register(SchemaVersion)
class SchemaVersionAdmin(CheapAdmin):
    applied = cells.column("applied_at", cells.unix_seconds, "applied")
    sha256 = cells.column("checksum", cells.identifier, "checksum (SHA-256)")

    list_display = ("version", "name", "applied", "sha256")
    fields = ("version", "name", "applied", "sha256")
    orders = (Order("version", F("pk")),)
    search = Search((Exact("name"),), "The name of a migration.")
