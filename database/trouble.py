"""A page that says what is wrong with a database, where any page would otherwise fail with a stack."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib.admin.utils import quote, unquote
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse

from d1.errors import OutcomeUnknown, RateLimited
from database.failures import absent, sentence
from database.router import CONSOLE, OMNICHAT

logger = logging.getLogger(__name__)

_VERIFY = "manage.py verify_database tells what else differs, manage.py migrate_database makes what is missing."
_LOOK_UP = (
    "Open the row again in a minute: if it shows your change, and the audit log an entry of it, then it was saved; "
    "both come together or not at all."
)


class DatabaseTroubleMiddleware:
    """Answers with status 503 and a sentence for whatever a database refuses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, DatabaseError | InterfaceError):
            return None
        logger.error("A database refused what %s asked.", request.path, exc_info=error)
        return _page(request, error)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler of status 500. What a database refuses outside of a view, as a session that cannot be saved
    while another process holds the file, ends here."""
    error = sys.exc_info()[1]
    if isinstance(error, DatabaseError | InterfaceError):
        return _page(request, error)
    return HttpResponse(render_to_string("500.html"), status=500)


def _page(request: HttpRequest, error: Exception) -> HttpResponse:
    context = {"title": title_of(error), "sentence": explain(error), "links": ways_to_find_out(request, error)}
    # No request and no session: the console's own database may be the one in trouble.
    response = HttpResponse(render_to_string("admin/omnichat/database_trouble.html", context), status=503)
    if isinstance(error, RateLimited):
        response["Retry-After"] = str(math.ceil(error.retry_after))
    return response


def title_of(error: Exception) -> str:
    return (
        "Nobody knows whether this was saved" if isinstance(error, OutcomeUnknown) else "The database does not answer"
    )


def explain(error: Exception) -> str:
    """What is wrong, and the way out."""
    if isinstance(error, OutcomeUnknown):
        return f"{error} {_LOOK_UP}"
    alias = CONSOLE if not answers(CONSOLE) else OMNICHAT
    what = absent(error)
    if what and alias == OMNICHAT:
        return f"OmniChat's database has no {what}. {_VERIFY}"
    if what:
        return f"The console's own database has no {what}: run manage.py setup_database."
    return sentence(error, connections[alias])


def ways_to_find_out(request: HttpRequest, error: Exception) -> list[tuple[str, str]]:
    """Labels and addresses of the pages that tell whether a change was saved: the row's, where there is one, and its
    audit log."""
    if not isinstance(error, OutcomeUnknown):
        return []
    match = request.resolver_match
    key = unquote(str(match.kwargs["object_id"])) if match and "object_id" in match.kwargs else ""
    log = reverse("admin:database_auditlog_changelist")
    if not match or not key:
        return [("The page again", request.path), ("The audit log", log)]
    row = f"{match.view_name.rpartition('_')[0]}_change"
    try:
        page = reverse(row, args=[quote(key)])
    except NoReverseMatch:
        page = request.path
    return [("The row as it is now", page), ("Its audit log", f"{log}?{urlencode({'q': key})}")]


def answers(alias: str) -> bool:
    """Whether a database can be read at all, and has Django's own tables."""
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_session LIMIT 1")
    except (DatabaseError, InterfaceError):
        return False
    return True
