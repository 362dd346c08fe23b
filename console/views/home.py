"""The home page, and the button that counts its figures again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from console.dashboard import figures, waiting
from console.figure_jobs import KIND
from console.jobs import start

#: Who sees figures of the business: whoever sees what they are made of.
SEES_FIGURES = ("billing.view_usersubscription", "billing.view_batterytransaction", "chat.view_apiusage")


@require_safe
def home_page(request: HttpRequest) -> HttpResponse:
    """What waits for whoever asks, the figures as they were counted last, and the ways to the lists."""
    sees = request.user.has_perms(SEES_FIGURES)
    shown = {"waiting": waiting(request.user), "sees_figures": sees, "figures": figures() if sees else None}
    return admin.site.index(request, extra_context=shown)


@require_POST
def count_again(request: HttpRequest) -> HttpResponse:
    """Queue the counting. Whoever asks while it is queued gets the same job."""
    if not request.user.has_perms(SEES_FIGURES):
        raise PermissionDenied
    start(KIND, {}, by=None, title=gettext("Figures of the home page"))
    messages.success(request, gettext("The figures are being counted. Open the page again in a moment."))
    return redirect("admin:index")
