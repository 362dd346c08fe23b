"""Views of lists that somebody saved: a name for what stands in the address of a list."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, QueryDict
from django.utils.translation import gettext

from console.models import SavedView
from database import cells
from database.chosen_columns import PARAMETER
from database.listing import PLACES
from database.router import CONSOLE

#: What of an address is no part of a view: a place in the list, what widgets add, what Django says of errors.
_NOT_KEPT = (*PLACES, "p", "all", "e", "_popup", "_to_field", "_facets")
#: So many views of a list are shown.
MOST = 30
LONGEST_QUERY = 2000


class ViewRefused(Exception):
    """Why a view is not saved, as a sentence."""


def list_of(label: str, request: HttpRequest) -> Any:
    """The admin of the list "chat.user". Raises Http404 and PermissionDenied for a list that is not there or theirs."""
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        raise Http404 from None
    if not admin.site.is_registered(model):
        raise Http404
    found = admin.site.get_model_admin(model)
    if not found.has_view_permission(request):
        raise PermissionDenied
    return found


def query_of(text: str) -> str:
    """What of the query of an address makes a view, always in one order."""
    query = QueryDict(text.replace("\0", ""), mutable=True)
    kept = QueryDict(mutable=True)
    for name in sorted(set(query) - set(_NOT_KEPT)):
        kept.setlist(name, query.getlist(name))
    return kept.urlencode()


def with_columns(text: str, columns: list[str], offered: list[str]) -> str:
    """The view with other columns. The order by a column goes, since it is told by the column's number."""
    query = QueryDict(query_of(text), mutable=True)
    for name in (PARAMETER, "o"):
        query.pop(name, None)
    wanted = [name for name in offered if name in columns]
    if wanted and set(offered[1:]) - set(wanted):
        query[PARAMETER] = ",".join(wanted)
    return query.urlencode(safe=",")


def address_of(label: str, query: str) -> str:
    return cells.list_url(label) + (f"?{query}" if query else "")


def views_of(label: str, user: User) -> list[SavedView]:
    """One's own and those that others share. One query to the console's database."""
    theirs = SavedView.objects.using(CONSOLE).filter(Q(owner=user) | Q(is_shared=True), model=label.lower())
    return list(theirs.select_related("owner")[:MOST])


def save(label: str, name: str, query: str, *, by: User, shared: bool) -> SavedView:
    """Keep a view; one of one's own of the same name is replaced. Raises ViewRefused."""
    name, kept = name.replace("\0", "").strip(), query_of(query)
    if not name or len(name) > 60:
        raise ViewRefused(gettext("Give the view a name of 1 to 60 characters."))
    if len(kept) > LONGEST_QUERY:
        raise ViewRefused(gettext("This list is filtered by too much to be saved."))
    view, _ = SavedView.objects.using(CONSOLE).update_or_create(
        owner=by, model=label.lower(), name=name, defaults={"query": kept, "is_shared": shared}
    )
    return view


def remove(view: SavedView, *, by: User) -> None:
    """One's own; raises PermissionDenied for another's."""
    if view.owner_id != by.pk:
        raise PermissionDenied
    view.delete(using=CONSOLE)
