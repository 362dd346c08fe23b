"""`/metrics` for Prometheus, to who has the token. It asks neither OmniChat's database nor anything outside."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db import Error
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from billing.stripe_api import StripeTrouble, stripe_of_settings
from console.models import InboxEvent, Job, JobState, StaffEvent
from console.models.inbox import WAITING
from d1.rate import budget


class Figures:
    """Counted when asked for: of this process the calls, of the console's database what waits."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("omniops_d1_requests_left", "Of 1,200 in 5 minutes, as known here.", budget.left())
        yield from _stripe()
        try:
            yield from _stored()
        except Error:
            yield GaugeMetricFamily("omniops_console_database_up", "Whether it answers.", 0)


def _stripe() -> Iterator[Metric]:
    if not settings.STRIPE_SECRET_KEY:
        return
    calls = CounterMetricFamily("omniops_stripe_calls", "Requests to Stripe's API.", labels=["call"])
    try:
        stripe = stripe_of_settings()
    except StripeTrouble:
        return
    for call, count in stripe.calls.items():
        calls.add_metric([call], count)
    yield calls
    yield GaugeMetricFamily("omniops_stripe_requests_left", "Of a second, as known here.", stripe.budget.left())


def _stored() -> Iterator[Metric]:
    states = dict(Job.objects.order_by().values_list("state").annotate(Count("pk")))
    jobs = GaugeMetricFamily("omniops_jobs", "Jobs by state.", labels=["state"])
    for state in JobState.values:
        jobs.add_metric([state], states.get(state, 0))
    yield jobs
    now = timezone.now()
    events = InboxEvent.objects.filter(state__in=WAITING).aggregate(count=Count("pk"), oldest=Min("received_at"))
    age = (now - events["oldest"]).total_seconds() if events["oldest"] else 0
    yield GaugeMetricFamily("omniops_webhooks_waiting", "Events that are not worked off.", events["count"])
    yield GaugeMetricFamily("omniops_webhooks_oldest_seconds", "Age of the oldest of them.", age)
    queued = Job.objects.filter(state=JobState.QUEUED).aggregate(oldest=Min("created_at"))["oldest"]
    waits = (now - queued).total_seconds() if queued else 0
    yield GaugeMetricFamily("omniops_jobs_oldest_queued_seconds", "Age of the job that waits longest.", waits)
    made = StaffEvent.objects.filter(action="backup make").order_by("-at").values_list("at", flat=True).first()
    if made:
        since = (now - made).total_seconds()
        yield GaugeMetricFamily("omniops_backup_age_seconds", "Since the last backup.", since)
    yield GaugeMetricFamily("omniops_console_database_up", "Whether it answers.", 1)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 where METRICS_TOKEN is not set, 401 without `Authorization: Bearer TOKEN`."""
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "").encode(errors="replace")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse("Give the token.\n", status=401, content_type="text/plain")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures())
    # The second are those of django-prometheus: requests, their times and their answers.
    return HttpResponse(generate_latest(registry) + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
