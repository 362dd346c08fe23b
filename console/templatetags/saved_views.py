"""What stands above each list: saved views, the choice of columns, and the form that saves a view."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.utils import label_for_field

from console.saved_views import query_of, views_of

register = template.Library()


@register.inclusion_tag("admin/console/saved_views.html", takes_context=True)
def saved_views(context: dict[str, Any]) -> dict[str, Any]:
    """One query to the console's database."""
    request, cl = context["request"], context["cl"]
    label, query = cl.opts.label_lower, query_of(request.GET.urlencode())
    views = views_of(label, request.user)
    own = [view for view in views if view.owner_id == request.user.pk and view.query == query]
    return {
        "list": label,
        "query": query,
        "views": views,
        "current": own[0] if own else None,
        "columns": _columns(request, cl),
        "user": request.user,
        "csrf_token": context.get("csrf_token"),
    }


def _columns(request: Any, cl: Any) -> list[tuple[str, str, bool]]:
    """Of each column but the first its name, what it is called, and whether it is shown."""
    if not hasattr(cl.model_admin, "offered_columns"):
        return []
    shown = set(map(str, cl.list_display))
    return [
        (str(name), str(label_for_field(name, cl.model, cl.model_admin)), str(name) in shown)
        for name in cl.model_admin.offered_columns(request)[1:]
    ]
