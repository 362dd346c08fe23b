"""The page of what the nightly look at schema and backups has found, and the button that looks again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from console.changelist import login
from console.health import KIND, SEES, last_look
from console.jobs import start
from console.models import Job
from console.models.job import ENDED
from database.router import CONSOLE


@require_http_methods(["GET", "HEAD", "POST"])
def health_page(request: HttpRequest) -> HttpResponse:
    """It asks OmniChat's database nothing: the job does."""
    if not request.user.has_perm(SEES):
        raise PermissionDenied
    job = Job.objects.using(CONSOLE).filter(kind=KIND).order_by("-pk").first()
    if request.method == "POST":
        if job is None or job.state in ENDED:
            start(KIND, {}, by=login(request))
        return redirect("health")
    found = last_look()
    context = {
        **admin.site.each_context(request),
        "title": gettext("Schema and backups"),
        "health": found,
        "backups": [_shown(record) for record in found.backups] if found else [],
        "job": job if job and job.state not in ENDED else None,
    }
    return TemplateResponse(request, "admin/console/health.html", context)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    verified = record["verified_at"]
    return {
        **record,
        "made": datetime.fromisoformat(record["created_at"]),
        "verified": datetime.fromisoformat(verified) if verified else None,
        "megabytes": f"{record['bytes'] / 1e6:,.1f}",
    }
