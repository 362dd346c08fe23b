"""Requests that are none: refused without being read again."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.template.loader import render_to_string


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler of status 400. Its own looks for a token in the body that could not be read: a 500."""
    return HttpResponseBadRequest(render_to_string("400.html"))


class BodyLength:
    """Django takes Content-Length for a number, and not every server sees to it that it is one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        return self.get_response(request) if length.isascii() and length.isdigit() else bad_request(request)
