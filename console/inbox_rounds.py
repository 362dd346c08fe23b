"""The inbox is worked off by each worker on its rounds, and what is parked stands on the home page.

Importing this registers both; `console/apps.py` does so at the start.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import ngettext

from console import inbox
from console.dashboard import Need, Staff, need
from console.jobs import periodic
from console.models import InboxEvent, InboxState


def work_off_a_round() -> bool:
    """Whether more waits that can be worked off now."""
    worked = inbox.work_off(inbox.BATCH)
    return worked.states.total() >= inbox.BATCH and not worked.stopped


def _parked(staff: Staff) -> QuerySet[Any] | None:
    if not staff.has_perm("console.view_inboxevent"):
        return None
    return InboxEvent.objects.filter(state=InboxState.PARKED)


periodic("webhooks", 1, work_off_a_round)
need(
    Need(
        "inbox",
        _parked,
        lambda n: ngettext("%(n)s webhook event is parked", "%(n)s webhook events are parked", n) % {"n": f"{n:,}"},
        lambda: reverse("admin:console_inboxevent_changelist") + f"?state__exact={InboxState.PARKED}",
    )
)
