"""Where grants show up elsewhere: on users, in the ledger, on the home page.

Importing this registers it; `console/apps.py` does so at the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from billing.causes import Cause, register
from console.dashboard import Need, Staff, need
from console.grant_forms import is_uuid
from console.grant_queue import waiting_for
from console.models import Grant
from database.object_actions import ListAction, ObjectAction, offer, offer_for_list


def _give(request: HttpRequest, user: Any) -> Iterable[ObjectAction]:
    if request.user.has_perm("console.add_grant"):
        address = reverse("admin:console_grant_add")
        yield ObjectAction(_("Grant battery"), f"{address}?{urlencode({'user': user.pk})}")


def _give_selected(request: HttpRequest, ids: list[str]) -> HttpResponse:
    pages: Any = admin.site.get_model_admin(Grant)
    response: HttpResponse = pages.ask_selected(request, ids)
    return response


def _waiting(staff: Staff) -> QuerySet[Any] | None:
    return waiting_for(staff)


def _cause(grant: str) -> Cause | None:
    """Of an entry of the ledger: what follows `grant:` in its id."""
    if not is_uuid(grant):
        return None
    return Cause(str(_("Grant")), grant, reverse("admin:console_grant_change", args=(grant,)))


offer("chat.user", _give)
offer_for_list("chat.user", ListAction("grant_battery", _("Grant battery"), "console.add_grant", _give_selected))
for prefix in ("grant", "grant-reversal", "grant-expiry"):
    register(prefix, _cause)
need(
    Need(
        "grants",
        _waiting,
        lambda n: ngettext("%(n)s grant waits for you", "%(n)s grants wait for you", n) % {"n": f"{n:,}"},
        lambda: reverse("admin:console_grant_queue"),
    )
)
