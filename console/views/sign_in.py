"""The page of sign-in, and what stands beside it: throttling, the change of one's password, leaving half-way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, perform_password_login
from allauth.account.internal.stagekit import clear_login, unstash_login
from allauth.account.models import Login
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from requests import RequestException

from console.models import StaffEvent
from console.signin import access, events, sessions, throttle
from console.signin.models import OwedPassword
from console.signin.oidc import PROVIDER, staff_of

logger = logging.getLogger(__name__)


def too_many(request: HttpRequest, tried: throttle.Try) -> HttpResponse:
    minutes = -(-tried.wait // 60)
    answer = render(request, "429.html", {"minutes": minutes}, status=HTTPStatus.TOO_MANY_REQUESTS)
    answer["Retry-After"] = str(tried.wait)
    return answer


def begin_try(request: HttpRequest, name: str) -> throttle.Try:
    return throttle.begin(name, get_adapter(request).get_client_ip(request))


@method_decorator([never_cache, csrf_protect, sensitive_post_parameters()], name="dispatch")
class SignIn(LoginView):
    """Name and password. What the person has beyond them, a second factor, allauth asks for next."""

    form_class = AdminAuthenticationForm
    template_name = "admin/login.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if admin.site.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if access.is_configured():
            return self._by_access(request)
        self.tried = begin_try(request, f"name {request.POST.get('username', '')}")
        if self.tried.wait:
            return too_many(request, self.tried)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        self.tried.forget()
        login = Login(user=form.get_user(), redirect_url=self.get_success_url())
        answer: HttpResponse = perform_password_login(self.request, {"username": form.cleaned_data["username"]}, login)
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        events.failed(self.tried, "password")
        return super().form_invalid(form)

    def _by_access(self, request: HttpRequest) -> HttpResponse:
        """The token was verified by the gate before this page."""
        identity: access.Identity = request.access_identity  # type: ignore[attr-defined]
        request.vouched_at = identity.at  # type: ignore[attr-defined]
        login = Login(user=staff_of(identity.email), redirect_url=self.get_success_url())
        answer: HttpResponse = perform_login(request, login)
        return answer

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(
            **admin.site.each_context(self.request),
            title=gettext("Log in"),
            subtitle=None,
            app_path=self.request.get_full_path(),
            access_identity=getattr(self.request, "access_identity", None),
            oidc_url=reverse("openid_connect_login", args=[PROVIDER]) if settings.OIDC_ISSUER else "",
            **context,
        )


sign_in = SignIn.as_view()


@require_POST
@csrf_protect
def leave(request: HttpRequest) -> HttpResponse:
    """Give a sign-in up that waits for its second factor."""
    clear_login(request)
    get_adapter(request).logout(request)
    return HttpResponseRedirect(reverse("admin:login"))


def elsewhere(request: HttpRequest) -> HttpResponse:
    """Who has neither password nor second factor here proves who they are by signing in anew."""
    if not admin.site.has_permission(request):
        return HttpResponseRedirect(reverse("admin:login"))
    context = {**admin.site.each_context(request), "title": gettext("Confirm that it is you")}
    return render(request, "account/elsewhere.html", {**context, "by_access": access.is_configured()})


def throttled(view: Callable[..., Any]) -> Callable[..., Any]:
    """Count the tries of a page on which somebody proves who they are, by what they know or what their app shows."""

    @wraps(view)
    def counted(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        who = _who(request) if request.method == "POST" else None
        if who is None:
            return view(request, *args, **kwargs)
        tried = begin_try(request, f"proof {who}")
        if tried.wait:
            return too_many(request, tried)
        before = _proof(request)
        answer = view(request, *args, **kwargs)
        if _proof(request) != before:
            tried.forget()
        else:
            events.failed(tried, "proof", login=who)
        return answer

    return never_cache(counted)


def _proof(request: HttpRequest) -> Any:
    """What changes when a proof succeeds. A redirect would not tell: some pages answer what is wrong by one."""
    return request.user.pk, sessions.facts(request).get("fresh")


def _who(request: HttpRequest) -> Any:
    if request.user.is_authenticated:
        return request.user.pk
    login = unstash_login(request, peek=True)
    return login.user.pk if login and login.user else None


class OwnPassword(PasswordChangeView):
    form_class = AdminPasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")

    def form_valid(self, form: Any) -> HttpResponse:
        """Django ends the other sessions by the changed password; they go from the list of sessions too."""
        request = self.request
        answer = super().form_valid(form)
        sessions.end_others(request)
        UserSession.objects.create_from_request(request)
        OwedPassword.objects.filter(pk=request.user.pk).delete()
        sessions.note_password(request)
        name = request.user.get_username()
        StaffEvent.objects.create(staff_id=request.user.pk, action="sign_in.password", subject=name)
        return answer

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(**{**admin.site.each_context(self.request), **context})


own_password = throttled(sensitive_post_parameters()(OwnPassword.as_view()))


def reachable(view: Callable[..., Any]) -> Callable[..., Any]:
    """For the two steps of OpenID Connect: an issuer that cannot be reached is told, and is no error of ours."""

    @wraps(view)
    def told(request: HttpRequest, provider_id: str) -> Any:
        try:
            return view(request, provider_id)
        except (RequestException, KeyError, ValueError, TypeError) as error:
            logger.warning("The issuer in OIDC_ISSUER did not answer as it should: %s", error)
            messages.error(request, gettext("The issuer of sign-ins cannot be reached now. Try again in a minute."))
            return HttpResponseRedirect(reverse("admin:login"))

    return told


oidc_login = reachable(openid_connect.login)
oidc_callback = reachable(openid_connect.callback)


def oidc_failed(request: HttpRequest) -> HttpResponse:
    messages.info(request, gettext("The sign-in was not finished. Try again."))
    return HttpResponseRedirect(reverse("admin:login"))
