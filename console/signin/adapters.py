"""What allauth asks of us: who may come in, how secrets are stored, how a client's address is known."""

from __future__ import annotations

import base64
import logging
import secrets
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse, ReauthenticationRequired
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from console.signin import encryption, events, oidc
from console.signin.fresh import is_fresh

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_login(self, request: HttpRequest, user: AbstractBaseUser, **login: Any) -> HttpResponse | None:
        """By whichever way one comes: only active staff."""
        if user.is_active and getattr(user, "is_staff", False):
            return None
        clear_login(request)
        return refused(request, gettext("This sign-in is not known here. Ask an Operator for a login."))

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        return refused(request, gettext("This sign-in is not known here. Ask an Operator for a login."))

    def get_client_ip(self, request: HttpRequest) -> str:
        """As ALLAUTH_TRUSTED_PROXY_COUNT says; where headers do not match it, what connected to us."""
        try:
            return str(super().get_client_ip(request))
        except (ImproperlyConfigured, PermissionDenied):
            return request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104  a socket file has no address

    def is_reauthentication_required(self, *, app: str, **rest: Any) -> bool:
        """Raises where it is, as all callers do next: allauth lets pass whoever has no way to confirm."""
        if not is_fresh(context.request):
            raise ReauthenticationRequired
        return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Who has neither a password nor a factor is told what to do."""
        elsewhere = {"id": "elsewhere", "description": "", "url": reverse("sign_in_elsewhere")}
        return super().get_reauthentication_methods(user) or [elsewhere]

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The console sends no mail; what changed is kept as an event of staff."""


def refused(request: HttpRequest, why: str) -> HttpResponse:
    events.refused(request, why)
    messages.error(request, why)
    return HttpResponseRedirect(reverse("admin:login"))


class FactorAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return encryption.decrypt(encrypted_text)
        except encryption.Unreadable as unreadable:
            logger.error(str(unreadable))
            # A secret that nobody has, so that no code fits; an empty one could be computed with.
            return base64.b32encode(secrets.token_bytes(20)).decode()

    def get_totp_issuer(self) -> str:
        return f"OmniChat console {self._get_site_name()}"

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1
        return gettext("Passkey %(number)d") % {"number": number}


class OidcAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def authenticate_by_email(self, login: Any) -> None:
        """Left to `pre_social_login`: allauth's own way clears the password of whom it finds."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        try:
            found = oidc.identify(sociallogin.account.extra_data)
        except oidc.Unknown as unknown:
            raise ImmediateHttpResponse(refused(request, str(unknown))) from None
        if sociallogin.state.get("process") != "login":
            raise ImmediateHttpResponse(refused(request, gettext("Sign in from the page of sign-in.")))
        sociallogin.user = found.user
        request.vouched_at = found.at  # type: ignore[attr-defined]
