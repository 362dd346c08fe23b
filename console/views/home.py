"""The home page, and the button that counts its figures again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from console.backup_events import LAST, SEES_BACKUPS, last_backup
from console.changelist import login
from console.dashboard import FIGURES, figures, summaries, waiting
from console.figure_jobs import KIND
from console.jobs import start
from console.models import Job
from console.models.job import ENDED
from database.router import CONSOLE

#: Who sees figures of the business: whoever sees what they are made of.
SEES_FIGURES = ("billing.view_usersubscription", "billing.view_batterytransaction", "chat.view_apiusage")


#: Where the session keeps the counting that its reader asked for.
_ASKED = "figures_job"


@require_safe
def home_page(request: HttpRequest) -> HttpResponse:
    """What waits for whoever asks, the figures as they were counted last, and what one changed last."""
    sees = request.user.has_perms(SEES_FIGURES)
    sees_backups = request.user.has_perm(SEES_BACKUPS)
    kept = summaries(FIGURES, LAST) if sees or sees_backups else {}
    shown = {
        "waiting": waiting(request.user),
        "sees_figures": sees,
        "figures": figures(kept) if sees else None,
        "sees_backups": sees_backups,
        "last_backup": last_backup(kept) if sees_backups else None,
    }
    return admin.site.index(request, extra_context={**shown, "counting": _counting(request)})


@require_POST
def count_again(request: HttpRequest) -> HttpResponse:
    """Queue the counting. Whoever asks while one is not over gets the same job."""
    if not request.user.has_perms(SEES_FIGURES):
        raise PermissionDenied
    open_ = Job.objects.using(CONSOLE).filter(kind=KIND).exclude(state__in=ENDED).first()
    job = open_ or start(KIND, {}, by=login(request), title=gettext("Figures of the home page"))
    if job.actor_id == request.user.pk or request.user.has_perm("console.view_job"):
        request.session[_ASKED] = job.pk
    messages.success(request, gettext("The figures are being counted."))
    return redirect("admin:index")


def _counting(request: HttpRequest) -> Job | None:
    """The counting that this reader asked for, until it is over. No query for all others."""
    if _ASKED not in request.session:
        return None
    job = Job.objects.using(CONSOLE).filter(pk=request.session[_ASKED]).exclude(state__in=ENDED).first()
    if job is None:
        del request.session[_ASKED]
    return job
