"""What the menus above a list do: save a view of it, remove one, choose its columns."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from console import saved_views
from console.changelist import login
from console.models import SavedView
from database.router import CONSOLE


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    label, query = request.POST.get("list", ""), request.POST.get("query", "")
    saved_views.list_of(label, request)
    try:
        shared = "shared" in request.POST
        view = saved_views.save(label, request.POST.get("name", ""), query, by=login(request), shared=shared)
        messages.success(request, gettext("The view “%s” was saved. It stands above the list.") % view.name)
    except saved_views.ViewRefused as refused:
        messages.error(request, str(refused))
    return redirect(saved_views.address_of(label, saved_views.query_of(query)))


@require_POST
def remove_view(request: HttpRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView.objects.using(CONSOLE), pk=pk)
    saved_views.remove(view, by=login(request))
    messages.success(request, gettext("The view “%s” was removed.") % view.name)
    return redirect(saved_views.address_of(view.model, view.query))


@require_safe
def choose_columns(request: HttpRequest) -> HttpResponse:
    """Lead to the list with the columns that are marked. It changes nothing."""
    label = request.GET.get("list", "")
    offered = [str(name) for name in saved_views.list_of(label, request).offered_columns(request)]
    query = saved_views.with_columns(request.GET.get("query", ""), request.GET.getlist("column"), offered)
    return redirect(saved_views.address_of(label, query))
