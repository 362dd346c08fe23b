"""What a page used of D1: a Server-Timing header for each answer, and figures for the footer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from database.router import OMNICHAT


class UsageMiddleware:
    """Counts anew at the start of each page. SQLite has nothing to count by: no request goes anywhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        usage = database_usage()
        if usage is None:
            return self.get_response(request)
        usage.reset()
        response = self.get_response(request)
        told = f"{usage.requests} requests, {usage.rows_read} rows read, {usage.rows_written} rows written"
        response["Server-Timing"] = f'omnichat;dur={usage.sql_ms:.1f};desc="{told}"'
        return response


def database_usage() -> Any:
    """The counts of this thread's connection (requests, rows_read, rows_written, sql_ms), or None off D1."""
    return getattr(connections[OMNICHAT], "usage", None)


def page_usage(request: HttpRequest) -> dict[str, Any]:
    """The context processor: `database_usage` stands for the counts as they are when the footer is rendered."""
    return {"database_usage": database_usage}
