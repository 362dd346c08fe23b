"""Where resyncs and findings show up elsewhere: on users and subscriptions, in timelines, on the home page.

Importing this registers it; `console/apps.py` does so at the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from billing.models import UserSubscription
from billing.resync.kinds import KINDS
from console.account_problems import Problem, look_for
from console.dashboard import Need, Staff, need
from console.models import Finding, ResyncRun, ResyncState
from console.models.finding import UNSETTLED
from console.resync import KIND, problems_of
from console.timeline import Happening, tell
from database.object_actions import ListAction, ObjectAction, offer, offer_for_list
from database.router import CONSOLE

_MAY = "console.add_resyncrun"


def _resync(request: HttpRequest, user_id: Any) -> Iterable[ObjectAction]:
    if user_id and request.user.has_perm(_MAY):
        address = reverse("admin:console_resyncrun_add")
        yield ObjectAction(_("Resync with Stripe"), f"{address}?{urlencode({'user': user_id})}")


def _of_user(request: HttpRequest, user: Any) -> Iterable[ObjectAction]:
    return _resync(request, user.pk)


def _of_subscription(request: HttpRequest, subscription: Any) -> Iterable[ObjectAction]:
    return _resync(request, subscription.user_id)


def _of_plan(request: HttpRequest, plan: Any) -> Iterable[ObjectAction]:
    """Where it differs from its prices at Stripe: each finding by its name."""
    if request.user.has_perm("console.view_finding"):
        found = Finding.objects.using(CONSOLE).filter(kind__startswith="plan_", state__in=UNSETTLED)
        for each in found.filter(Q(subject=plan.pk) | Q(subject__startswith=f"{plan.pk} "))[:5]:
            yield ObjectAction(each.kind.replace("_", " ").capitalize(), each.get_absolute_url())


def _of_job(request: HttpRequest, job: Any) -> Iterable[ObjectAction]:
    """From a job that has ended to what it found."""
    if job.kind == KIND and "resync" in (job.result or {}) and request.user.has_perm("console.view_resyncrun"):
        yield ObjectAction(_("What it found"), reverse("admin:console_resyncrun_change", args=[job.result["resync"]]))


def _ask(request: HttpRequest, users: list[str]) -> HttpResponse:
    pages: Any = admin.site.get_model_admin(ResyncRun)
    response: HttpResponse = pages.ask(request, "\n".join(users))
    return response


def _selected_subscriptions(request: HttpRequest, ids: list[str]) -> HttpResponse:
    users = UserSubscription.objects.filter(pk__in=ids).values_list("user_id", flat=True)
    return _ask(request, sorted({str(user) for user in users if user}))


@tell
def _findings(user_id: str, most: int) -> Iterator[Happening]:
    for each in Finding.objects.using(CONSOLE).filter(user_id=user_id)[:most]:
        words = gettext("Resync found: %(kind)s (%(state)s)") % {
            "kind": each.kind.replace("_", " "),
            "state": each.get_state_display(),
        }
        yield Happening(each.first_seen_at, "stripe", words, url=each.get_absolute_url(), kind=each.state)


@look_for
def _problems(user_id: str) -> Iterator[Problem]:
    """What the last resync left."""
    for each in problems_of(user_id):
        remedy = each.reason or gettext("A resync mends it.")
        yield Problem(each.kind, gettext(KINDS.get(each.kind, each.kind)), remedy)


def _unsettled(staff: Staff) -> QuerySet[Any] | None:
    if not staff.has_perm("console.change_finding"):
        return None
    return Finding.objects.filter(state__in=UNSETTLED)


def _waiting(staff: Staff) -> QuerySet[Any] | None:
    return ResyncRun.objects.filter(state=ResyncState.WAITING) if staff.has_perm(_MAY) else None


offer("chat.user", _of_user)
offer("billing.usersubscription", _of_subscription)
offer("billing.subscriptionplan", _of_plan)
offer("console.job", _of_job)
offer_for_list("chat.user", ListAction("resync_stripe", _("Resync with Stripe"), _MAY, _ask))
offer_for_list(
    "billing.usersubscription", ListAction("resync_stripe", _("Resync with Stripe"), _MAY, _selected_subscriptions)
)
need(
    Need(
        "findings",
        _unsettled,
        lambda n: (
            ngettext("%(n)s difference to Stripe is unsettled", "%(n)s differences to Stripe are unsettled", n)
            % {"n": f"{n:,}"}
        ),
        lambda: reverse("admin:console_finding_changelist") + "?state=unsettled",
    )
)
need(
    Need(
        "resyncs",
        _waiting,
        lambda n: (
            ngettext("%(n)s resync waits to be confirmed", "%(n)s resyncs wait to be confirmed", n) % {"n": f"{n:,}"}
        ),
        lambda: reverse("admin:console_resyncrun_changelist") + f"?state__exact={ResyncState.WAITING}",
    )
)
