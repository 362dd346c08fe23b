"""One's own security: sessions, second factor, password. And, for Operators, who needs a second factor."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from console.changelist import login
from console.signin import policy, sessions
from console.signin.fresh import require_fresh


def _page(request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
    whole = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"admin/console/{name}.html", whole)


def security(request: HttpRequest) -> HttpResponse:
    """GET: in which browsers one is signed in, and what one has beyond the password."""
    kinds = list(Authenticator.objects.filter(user_id=request.user.pk).values_list("type", flat=True))
    context = {
        "sessions": sessions.own_sessions(request),
        "has_totp": Authenticator.Type.TOTP in kinds,
        "passkeys": kinds.count(Authenticator.Type.WEBAUTHN),
        "has_recovery_codes": Authenticator.Type.RECOVERY_CODES in kinds,
        "is_required": sessions.facts(request).get("needs_factor"),
        "may_see_policy": _may_see_policy(request),
    }
    return _page(request, "security", gettext("Security"), **context)


@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    if not sessions.end_one(request, pk):
        messages.info(request, gettext("This session has ended already."))
    else:
        messages.success(request, gettext("The session was ended."))
    return HttpResponseRedirect(reverse("security"))


@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    ended = sessions.end_others(request)
    told = ngettext("%(n)d other session was ended.", "%(n)d other sessions were ended.", ended)
    messages.success(request, told % {"n": ended})
    return HttpResponseRedirect(reverse("security"))


def _may_see_policy(request: HttpRequest) -> bool:
    return login(request).has_perm("auth.view_user")


def factor_policy(request: HttpRequest) -> HttpResponse:
    """GET shows which roles need a second factor, POST sets it."""
    if not _may_see_policy(request):
        raise PermissionDenied
    may_change = login(request).has_perm("auth.change_user")
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        if stale := require_fresh(request):
            return stale
        policy.require_of(request.POST.getlist("role"), by=login(request))
        messages.success(request, gettext("Saved. Who is signed in is asked within a minute."))
        return HttpResponseRedirect(reverse("factor_policy"))
    required = policy.required_roles()
    roles = [(role, role in required) for role in policy.REQUIRABLE]
    title = gettext("Who needs a second factor")
    return _page(request, "factor_policy", title, roles=roles, may_change=may_change)


def remove_factors(request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks, POST removes somebody's second factors, for who has lost them. Nobody's own."""
    person = get_object_or_404(User, pk=pk)
    model_admin = admin.site.get_model_admin(User)
    if person.pk == request.user.pk or not model_admin.has_change_permission(request, person):
        raise PermissionDenied
    if stale := require_fresh(request):
        return stale
    if request.method == "POST":
        policy.remove_factors(person, by=login(request))
        sessions.end_all_of(person)
        messages.success(request, gettext("Removed. The next sign-in asks for the password alone."))
        return HttpResponseRedirect(reverse("admin:auth_user_change", args=[pk]))
    title = gettext("Remove second factors")
    return _page(request, "remove_factors", title, person=person, has_factor=policy.duties_of(person).has_factor)
