"""Lists and pages of the console's own tables."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest


class OwnChangeList(ChangeList):
    """A list that knows its own filters alone: what else stands in an address is passed over, not looked up."""

    model_admin: Any

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {name: values for name, values in found.items() if name in self.model_admin.filter_parameters}


class OwnFiltersMixin:
    """`filter_parameters` are those by which the filters of `list_filter` stand in an address."""

    filter_parameters: ClassVar[tuple[str, ...]] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OwnChangeList


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
