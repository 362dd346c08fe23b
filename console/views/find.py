"""The page behind the one search box."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from console.search import find


@require_safe
def find_page(request: HttpRequest) -> HttpResponse:
    """A whole id opens its page; else what was found is shown in groups."""
    findings = find(request.GET.get("q", ""), by=request.user)
    if findings.exact:
        return redirect(findings.exact)
    context = {**admin.site.each_context(request), "findings": findings}
    return TemplateResponse(request, "admin/console/find.html", context)
