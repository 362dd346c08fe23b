"""Sign-in by OpenID Connect: whom the claims of an issuer stand for. Rights are never taken from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext

PROVIDER = "oidc"


class Unknown(ValueError):
    """The claims stand for nobody who may sign in; the message tells what to do, and not who exists."""


@dataclass(frozen=True)
class Found:
    """`at` is when the issuer saw a password or factor (Unix seconds), 0 where it does not say."""

    user: User
    at: float


def identify(data: Mapping[str, Any]) -> Found:
    """The one member of staff with the verified email of `data`, `{"id_token": claims, "userinfo": claims}`."""
    token, info = data.get("id_token") or {}, data.get("userinfo") or {}
    if str(token.get("iss", "")).rstrip("/") != settings.OIDC_ISSUER:
        raise Unknown(gettext("The answer was not of the issuer in OIDC_ISSUER. Tell an Operator."))
    # OpenID Connect Core, 5.3.2: userinfo of another subject must not be used.
    if info and info.get("sub") != token.get("sub"):
        raise Unknown(gettext("The issuer's answers do not belong together. Sign in again."))
    claims = {**token, **info}
    if claims.get("email_verified") not in (True, "true"):
        raise Unknown(gettext("The issuer has not verified your email address. Ask its administrator to."))
    user = staff_of(str(claims.get("email") or ""))
    if user is None:
        raise Unknown(gettext("This sign-in is not known here. Ask an Operator for a login."))
    return Found(user, float(token.get("auth_time") or 0))


def staff_of(email: str) -> User | None:
    """The active member of staff who has this address, whichever case it is in; none where two have it."""
    found = list(User.objects.filter(email__iexact=email, is_active=True, is_staff=True)[:2]) if email else []
    return found[0] if len(found) == 1 else None
