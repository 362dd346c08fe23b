"""A fresh sign-in, for what destroys and for what gives much away.

    if stale := require_fresh(request):
        return stale

at the top of a view, before anything is done. Ask at GET of a form too, so that what is filled in is rarely lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext

from console.signin.sessions import facts

#: A password or second factor given so many seconds ago is fresh.
FRESH = 10 * 60


#: Units above which one grant, or those of a file together, ask for a fresh sign-in.
LARGE_GRANT = 10_000


class NotFresh(Exception):
    """Raised where no answer can be given back; the gate answers as `require_fresh` does."""


def is_fresh(request: HttpRequest) -> bool:
    """Whether whoever asks gave a password or second factor within ten minutes."""
    return time.time() - float(facts(request).get("fresh", 0)) < FRESH


def require_fresh(request: HttpRequest) -> HttpResponse | None:
    """None where the sign-in is fresh. Else the way to confirm it, from which one comes back to where one was.

    What a POST would have done is not done later by itself: the page says that it has to be clicked again.
    """
    if is_fresh(request):
        return None
    if request.method != "GET":
        messages.warning(request, gettext("Nothing was done yet. Confirm that it is you, then do it again."))
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    return HttpResponseRedirect(f"{methods[0]['url']}?{urlencode({REDIRECT_FIELD_NAME: _way_back(request)})}")


def _way_back(request: HttpRequest) -> str:
    """The page with the form, which is not always at the address that the form goes to."""
    referer = request.headers.get("Referer", "")
    hosts = {request.get_host()}
    if request.method != "GET" and url_has_allowed_host_and_scheme(referer, hosts, request.is_secure()):
        return referer
    return request.get_full_path()


def check_exchange(*, request: HttpRequest, **signal: Any) -> None:
    """Listens to `database.exchange.exchange_asked`."""
    if not is_fresh(request):
        raise NotFresh


def fresh_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """For a view that is all of it to be guarded. Stands below what checks permissions."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return require_fresh(request) or view(request, *args, **kwargs)

    return guarded
