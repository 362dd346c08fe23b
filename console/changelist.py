"""Lists and pages of the console's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest

from database.chosen_columns import chosen

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object


class OwnChangeList(ChangeList):
    """A list that knows its own filters alone: what else stands in an address is passed over, not looked up."""

    model_admin: Any

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {name: values for name, values in found.items() if name in self.model_admin.filter_parameters}


class OwnFiltersMixin(Base):
    """`filter_parameters` are those by which the filters of `list_filter` stand in an address."""

    filter_parameters: ClassVar[tuple[str, ...]] = ()

    def offered_columns(self, request: HttpRequest) -> list[Any]:
        return list(super().get_list_display(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        return chosen(request, self.offered_columns(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OwnChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """An address may name a field with `_to_field=` and nothing behind it, which Django looks up by no name."""
        return super().get_object(request, object_id, from_field or None)  # type: ignore[misc]


class ReadOnlyMixin:
    """Rows that only the console itself makes and changes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def login(request: HttpRequest) -> User:
    """Who asks: the admin lets nobody in without a login."""
    return cast("User", request.user)
