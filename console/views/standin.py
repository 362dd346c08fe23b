"""The demo's page of Stripe's stand-in: somebody buys, subscribes or disputes, and the events come."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from console import demo_stripe
from console.changelist import login


@require_http_methods(["GET", "HEAD", "POST"])
def standin_page(request: HttpRequest) -> HttpResponse:
    """Only where the demo runs a stand-in. A real Stripe has a dashboard of its own."""
    url = _standin()
    if request.method == "POST":
        return _act(request, url)
    context = {
        **admin.site.each_context(request),
        "title": gettext("Stripe stand-in"),
        "url": url,
        "deeds": demo_stripe.DEEDS,
        "who": request.GET.get("who") or demo_stripe.somebody(),
        "may_act": _may_act(request),
    }
    return TemplateResponse(request, "admin/console/standin.html", context)


def _standin() -> str:
    if not settings.STRIPE_STANDIN:
        raise Http404
    return str(settings.STRIPE_STANDIN)


def _may_act(request: HttpRequest) -> bool:
    return login(request).has_perm("console.change_inboxevent")


def _act(request: HttpRequest, url: str) -> HttpResponse:
    if not _may_act(request):
        raise PermissionDenied
    who, deed = request.POST.get("who", "").strip(), request.POST.get("deed", "")
    customer = demo_stripe.customer_of(who)
    if deed not in demo_stripe.DEEDS or customer is None:
        messages.error(request, gettext("Choose what happens, and a user of the demo who has a Stripe customer."))
        return redirect("stripe_standin")
    try:
        demo_stripe.do(url, deed, customer)
    except demo_stripe.StandInFailed as failure:
        messages.error(request, str(failure))
        return redirect(reverse("stripe_standin", query={"who": who}))
    messages.success(request, gettext("It happened at the stand-in. Its events are here in a moment."))
    return redirect("admin:console_inboxevent_changelist")
