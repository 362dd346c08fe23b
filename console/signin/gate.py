"""The middleware before each page: is the session still good, has it its second factor, is a password owed?

Everything is shut for a session that owes something but the pages on which it pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext

from console.signin import access, events, sessions
from console.signin.fresh import NotFresh, require_fresh
from console.signin.oidc import staff_of

#: Open to every session, so that one can always leave.
LEAVING = {"admin:logout", "admin:login", "account_login", "account_logout", "admin:jsi18n"}
#: Where one proves a factor that is set up, and where one sets up the first.
PROVING = {"mfa_reauthenticate", "mfa_reauthenticate_webauthn"}
SETTING_UP = {
    "mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "mfa_list_webauthn", "account_reauthenticate",
    "sign_in_elsewhere",
}  # fmt: skip
CHANGING_PASSWORD = {"own_password", "account_reauthenticate"}


class SignInGate:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/") and not response.has_header("Cache-Control"):
            # Errors as well: they show who is signed in, and a 404 may be kept by a browser or proxy.
            add_never_cache_headers(response)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if access.is_configured() and request.path.startswith("/admin/") and (answer := by_access(request)):
            return answer
        if not request.session.get(SESSION_KEY) or not request.user.is_authenticated:
            return None
        if sessions.has_ended(request):
            return _ended(request)
        if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate" or request.method != "GET":
            # What a page asks for by itself, such as the progress of a job, is no use by a person.
            sessions.note_use(request)
        return _owed(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return require_fresh(request) if isinstance(exception, NotFresh) else None


def by_access(request: HttpRequest) -> HttpResponse | None:
    """Each request is to come through Access, and to be of who is signed in."""
    try:
        identity = access.identity(request)
    except access.AccessRefused as refused:
        return _refused(request, f"access: {refused}")
    except access.AccessUnreachable:
        return render(request, "admin/console/access_unreachable.html", status=503)
    request.access_identity = identity  # type: ignore[attr-defined]
    user = request.user
    if user.is_authenticated and user.email.casefold() == identity.email.casefold():
        return None
    if user.is_authenticated:
        logout(request)
    return None if staff_of(identity.email) else _refused(request, "access: no staff", identity.email)


def _refused(request: HttpRequest, why: str, who: str = "") -> HttpResponse:
    """`who` is vouched for by Access, and no staff."""
    events.refused(request, why, who)
    return render(request, "admin/console/access_refused.html", status=403)


def _ended(request: HttpRequest) -> HttpResponse | None:
    way_back = request.get_full_path() if request.method == "GET" else reverse("admin:index")
    logout(request)
    if _name(request) in LEAVING:
        return None
    messages.info(request, gettext("Your session has ended: after 30 minutes without use, or 8 hours. Log in again."))
    return HttpResponseRedirect(f"{reverse('admin:login')}?{urlencode({REDIRECT_FIELD_NAME: way_back})}")


def _owed(request: HttpRequest) -> HttpResponse | None:
    known, name = sessions.facts(request), _name(request)
    if name in LEAVING:
        return None
    if known["needs_factor"] and not known["second"]:
        return _factor_owed(request, name, known["has_factor"])
    if known["owes_password"] and name not in CHANGING_PASSWORD:
        messages.warning(request, gettext("Somebody else set your password. Choose one that only you know."))
        return HttpResponseRedirect(reverse("admin:password_change"))
    return None


def _factor_owed(request: HttpRequest, name: str, has_factor: bool) -> HttpResponse | None:
    if name in (PROVING if has_factor else SETTING_UP):
        return None
    if has_factor:
        way_back = request.get_full_path() if request.method == "GET" else reverse("admin:index")
        return HttpResponseRedirect(f"{_proving_page(request)}?{urlencode({REDIRECT_FIELD_NAME: way_back})}")
    messages.warning(request, gettext("Your role needs a second factor. Set one up to go on."))
    return HttpResponseRedirect(reverse("mfa_index"))


def _proving_page(request: HttpRequest) -> str:
    from allauth.account.adapter import get_adapter

    urls = [method["url"] for method in get_adapter(request).get_reauthentication_methods(request.user)]
    proving = [url for url in urls if url in {reverse(name) for name in PROVING}]
    return proving[0] if proving else reverse("mfa_reauthenticate")


def _name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""
