"""An id for each request, in every line of the log that is written for it."""

from __future__ import annotations

import structlog
from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware

from console.signin.events import address_of


class RequestLog(RequestMiddleware):
    """Tells the address without its query, in which emails are looked for."""

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        """As the throttle knows it: whoever sends X-Forwarded-For is not believed."""
        structlog.contextvars.bind_contextvars(ip=address_of(request))

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {request.path}"
