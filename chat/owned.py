"""Tables whose rows belong to an account, as the admins of two rooms show them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Model, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce, NullIf
from django.http import HttpRequest

from chat.models import User
from database import cells
from database.admin import CheapAdmin


def parent_label(model: type[Model], key: str, label: str) -> Subquery:
    """The text that names the row to which `key` points, or its id: NULL where there is no such row."""
    text: TextField = TextField()
    named = Coalesce(NullIf(F(label), Value("", text), output_field=text), F("pk"), output_field=text)
    return Subquery(model._default_manager.filter(pk=OuterRef(key)).values(named=named)[:1])


class OfUserAdmin(CheapAdmin):
    """A table with a user in each row, shown by the email and linked."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(user_email=parent_label(User, "user_id", "email"))
        return rows

    @admin.display(description="user")
    def of_user(self, row: Any) -> Any:
        return cells.row_link(User, row.user_id, row.user_email)
