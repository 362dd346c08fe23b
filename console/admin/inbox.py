"""The pages of the inbox: a list with the inbox's health, a page for each event, and a replay that shows first."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console import inbox
from console.changelist import OwnFiltersMixin, ReadOnlyMixin, login
from console.inbox_handling import set_aside, tried
from console.models import InboxEvent, InboxState, StaffEvent
from database import cells


@admin.register(InboxEvent)
class InboxAdmin(ReadOnlyMixin, OwnFiltersMixin, admin.ModelAdmin):
    """Who has `change_inboxevent` may replay; nobody edits an event."""

    list_display = ("type", "shown_state", "source", "shown_subject", "received", "attempts", "short_error")
    list_filter = ("state", "source", "type")
    filter_parameters = ("state__exact", "source__exact", "type")
    search_fields = ("=event_id", "=subject")
    search_help_text = _("The id of an event, a customer, a payment intent or a user.")
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "admin/console/inbox_list.html"
    empty_words = _("What Stripe and Clerk tell of is kept here, as soon as it comes.")
    shown_state = cells.column("state", cells.state(InboxState.values), heading="state", sort="state")
    received = cells.column("received_at", cells.moment, heading="received", sort="received_at")

    @admin.display(description=_("about"), ordering="subject")
    def shown_subject(self, event: InboxEvent) -> str:
        return event.subject or cells.EMPTY

    @admin.display(description=_("error"))
    def short_error(self, event: InboxEvent) -> str:
        return (event.error or cells.EMPTY) if len(event.error) <= 90 else f"{event.error[:89]}…"

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboxEvent]:
        return super().get_queryset(request).defer("payload", "effect")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = {"health": inbox.health(), "title": gettext("Webhooks")} if self.has_view_permission(request) else {}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def get_urls(self) -> list[Any]:
        replay = self.admin_site.admin_view(self.replay)
        return [path("<int:pk>/replay/", replay, name="console_inboxevent_replay"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        event = self._event(request, object_id)
        context = {"payload": cells.json_block(json.loads(event.payload)), "effect": map(_in_words, event.effect)}
        return self._page(request, event, "admin/console/inbox_page.html", context)

    def replay(self, request: HttpRequest, pk: int) -> HttpResponse:
        """First what it would change; then, asked by a POST, it is done, or set aside."""
        event = self._event(request, pk)
        if not may_replay(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, event, "admin/console/inbox_replay.html", {"preview": tried(event)})
        if "set_aside" in request.POST:
            return self._set_aside(request, event)
        after = inbox.replay(event)
        StaffEvent.objects.create(
            staff_id=request.user.pk, action="webhook.replay", subject=event.event_id, detail={"state": after.state}
        )
        if after.state in (InboxState.PROCESSED, InboxState.IGNORED):
            messages.success(request, gettext("It was worked off. What it wrote stands below."))
        else:
            held = gettext("others of the same customer are worked off now. It follows; look again in a minute.")
            messages.warning(request, gettext("It could not be worked off: %s") % (after.error or held))
        return HttpResponseRedirect(event.get_absolute_url())

    def _set_aside(self, request: HttpRequest, event: InboxEvent) -> HttpResponse:
        if set_aside(event):
            StaffEvent.objects.create(staff_id=request.user.pk, action="webhook.set_aside", subject=event.event_id)
            messages.success(request, gettext("It was set aside."))
        else:
            messages.warning(request, gettext("It is no longer parked."))
        return HttpResponseRedirect(event.get_absolute_url())

    def _event(self, request: HttpRequest, pk: Any) -> InboxEvent:
        number = int(pk) if str(pk).isdecimal() and len(str(pk)) < 19 else -1
        event = get_object_or_404(InboxEvent, pk=number)
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        return event

    def _page(self, request: HttpRequest, event: InboxEvent, template: str, more: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": event.type,
            "event": event,
            "state": cells.state(InboxState.values)(event.state),
            "may_replay": may_replay(request),
            "has_view_permission": True,
            **more,
        }
        return TemplateResponse(request, template, context)


def _in_words(line: str) -> str:
    """A line of what an event wrote. An entry that was there already is told as in the preview of a replay."""
    cause, _colon, posted = line.partition(": ")
    return gettext("%s: is in the ledger already") % cause if posted.endswith(", repeated") else line


def may_replay(request: HttpRequest) -> bool:
    return login(request).has_perm("console.change_inboxevent")
