"""Where Stripe and Clerk deliver their events: verified, kept, answered at once. The work is done afterwards."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from console import inbox
from console.inbox_arrivals import (
    Arrival,
    Refused,
    arrival_of_clerk,
    arrival_of_stripe,
    read,
    verify_clerk,
    verify_stripe,
)
from database.gathering import Gathering

_keeping = Gathering[Arrival](lambda arrivals: inbox.keep(arrivals))
#: Bytes of a body. Stripe's events have some thousands.
LARGEST = 1024 * 1024


# Whoever delivers has no session and no form: the signature takes the place of the token.
@csrf_exempt
@require_POST
@sensitive_variables()
def stripe(request: HttpRequest) -> HttpResponse:
    def arrival(body: bytes) -> Arrival:
        verify_stripe(body, request.META.get("HTTP_STRIPE_SIGNATURE", ""), settings.STRIPE_WEBHOOK_SECRETS)
        return arrival_of_stripe(read(body))

    return _received(request, "STRIPE_WEBHOOK_SECRET", settings.STRIPE_WEBHOOK_SECRETS, arrival)


@csrf_exempt
@require_POST
@sensitive_variables()
def clerk(request: HttpRequest) -> HttpResponse:
    def arrival(body: bytes) -> Arrival:
        verify_clerk(body, request.headers, settings.CLERK_WEBHOOK_SECRETS)
        return arrival_of_clerk(read(body), request.headers.get("svix-id", ""))

    return _received(request, "CLERK_WEBHOOK_SECRET", settings.CLERK_WEBHOOK_SECRETS, arrival)


@sensitive_variables("secrets", "body")
def _received(
    request: HttpRequest, variable: str, secrets: list[str], arrival: Callable[[bytes], Arrival]
) -> HttpResponse:
    if not secrets:
        return _said(f"{variable} is not set here: the event was not kept.", 503)
    try:
        body = request.read(LARGEST + 1)
    except (UnreadablePostError, OSError):
        return _said("The body broke off.", 400)
    if len(body) > LARGEST:
        return _said("The body is larger than 1 MiB.", 413)
    try:
        _keeping.write(arrival(body))
    except Refused as refused:
        return _said(str(refused), 400)
    except (DatabaseError, InterfaceError):
        # Whoever sent it sends it again.
        return _said("The event cannot be kept now: send it again later.", 503)
    return _said("Kept.", 200)


def _said(sentence: str, status: int) -> HttpResponse:
    return HttpResponse(f"{sentence}\n".encode(), status=status, content_type="text/plain; charset=utf-8")


class Deliveries:
    """Answers deliveries ahead of the middleware that browsers need, which took as long as all the rest."""

    _views = {"/webhooks/stripe/": stripe, "/webhooks/clerk/": clerk}

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = self._views.get(request.path_info)
        if view is None:
            return self._get_response(request)
        request.get_host()  # Raises DisallowedHost, as everywhere.
        response = view(request)
        # As from that middleware; and without a length the connection would not stay open.
        response["Content-Security-Policy"] = "default-src 'none'"
        response["X-Frame-Options"] = "DENY"
        response["Content-Length"] = str(len(response.content))
        return response
