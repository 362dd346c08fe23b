"""Sign-ins, tries that failed and changes of second factors, as events of staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django.utils import timezone

from console.models import StaffEvent
from console.signin import throttle
from console.staff_events import prune

#: A sign-in that is complete, one that failed, and the failure by which a name or address is shut out for a while.
DONE, FAILED, SHUT_OUT = "sign_in.done", "sign_in.failed", "sign_in.shut_out"
#: More of a kind failed within an hour than are kept.
FLOOD, MOST_AN_HOUR = "sign_in.flood", 200
KEPT_FOR = timedelta(days=90)


def _keep(action: str, user: AbstractBaseUser, authenticator: Authenticator) -> None:
    StaffEvent.objects.create(
        staff_id=user.pk, action=action, subject=user.get_username(), detail={"type": authenticator.type}
    )


def factor_added(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_added", user, authenticator)


def factor_removed(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_removed", user, authenticator)


def factor_reset(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_reset", user, authenticator)


def signed_in(*, request: HttpRequest, user: AbstractBaseUser, **signal: Any) -> None:
    """Somebody is in, all factors given. Listens to `user_logged_in` of allauth."""
    ways = [str(one.get("type") or one.get("method")) for one in get_authentication_records(request, user)]
    if hasattr(request, "access_identity"):
        ways = ["access", *ways]
    detail = {"address": address_of(request), "ways": ways}
    StaffEvent.objects.create(staff_id=user.pk, action=DONE, subject=user.get_username(), detail=detail)


def failed(tried: throttle.Try, what: str, *, login: Any = None) -> None:
    """A try that the throttle has counted came to nothing. `login` is whose proof it was, where that is known.

    The subject is the keyed hash: people type passwords into the field for the name.
    """
    detail = {"address": tried.address, "what": what, **({"login": login} if login else {})}
    _keep_failure(FAILED, tried.subject, detail)
    if wait := tried.wait_of_next():
        _keep_failure(SHUT_OUT, tried.subject, {**detail, "seconds": wait})


def refused(request: HttpRequest, why: str, who: str = "") -> None:
    """Somebody for whom an issuer or Access vouches, but who is no staff here; or for whom nobody does.

    The same from the same address is kept as often as a password may be tried.
    """
    tried = throttle.begin(f"refused {why} {who}", get_adapter(request).get_client_ip(request))
    if not tried.wait:
        _keep_failure(FAILED, who, {"address": tried.address, "what": why})


def _keep_failure(action: str, subject: str, detail: dict[str, Any]) -> None:
    """At most so many of a kind in an hour: whoever tries names without end fills no table. Then it is told once."""
    lately = StaffEvent.objects.filter(at__gt=timezone.now() - timedelta(hours=1))
    if (kept := lately.filter(action=action).count()) < MOST_AN_HOUR:
        StaffEvent.objects.create(action=action, subject=subject, detail=detail)
    elif not lately.filter(action=FLOOD, subject=action).exists():
        StaffEvent.objects.create(action=FLOOD, subject=action, detail={"kept": kept})


def prune_failures() -> int:
    """Remove failures of long ago; gives how many."""
    old = StaffEvent.objects.filter(action__in=(FAILED, SHUT_OUT, FLOOD), at__lt=timezone.now() - KEPT_FOR)
    return prune(old)


def address_of(request: HttpRequest) -> str:
    """As the throttle counts it."""
    return throttle.network_of(get_adapter(request).get_client_ip(request))
