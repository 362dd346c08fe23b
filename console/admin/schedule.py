"""The pages of the schedule: what starts by itself, when it last did and when it does next."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from console import schedule
from console.changelist import OwnFiltersMixin, login
from console.models import JobState, ScheduleEntry, StaffEvent
from database import cells


class EntryForm(forms.ModelForm):
    """Either a time of the day or an interval."""

    # Not the admin's widget, whose shortcuts are in the reader's time.
    at = forms.TimeField(
        label=_("Each day at"),
        required=False,
        widget=forms.TimeInput(format="%H:%M", attrs={"placeholder": "00:05"}),
        help_text=_("Hours and minutes, UTC. Empty where it runs at an interval."),
    )
    every_seconds = forms.IntegerField(
        label=_("Seconds between two runs"),
        required=False,
        min_value=schedule.SHORTEST_SECONDS,
        max_value=schedule.LONGEST_SECONDS,
    )

    class Meta:
        model = ScheduleEntry
        fields = ("is_enabled", "at", "every_seconds")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if "at" in self.errors or "every_seconds" in self.errors:
            return values
        if (values.get("at") is None) == (not values.get("every_seconds")):
            raise ValidationError(gettext("Give a time of the day or a number of seconds, and leave the other empty."))
        return values


@admin.register(ScheduleEntry)
class ScheduleAdmin(OwnFiltersMixin, admin.ModelAdmin):
    """Operators switch entries and move their times; code says which there are."""

    form = EntryForm
    list_display = ("what", "enabled", "when", "next_run", "last_run", "last_outcome")
    list_display_links = ("what",)
    list_select_related = ("last_job",)
    fields = ("is_enabled", "at", "every_seconds", "next_run", "last_run", "last_outcome")
    readonly_fields = ("next_run", "last_run", "last_outcome")
    change_form_template = "admin/console/job_schedule_entry.html"
    next_run = cells.column("next_at", cells.moment, heading="next run")
    last_run = cells.column("last_at", cells.moment, heading="last run")

    @admin.display(description=_("what"))
    def what(self, entry: ScheduleEntry) -> str:
        return str(entry)

    @admin.display(description=_("state"))
    def enabled(self, entry: ScheduleEntry) -> SafeString:
        slug, words = ("yes", _("on")) if entry.is_enabled else ("no", _("off"))
        return format_html('<span class="state state-{}">{}</span>', slug, words)

    @admin.display(description=_("when"))
    def when(self, entry: ScheduleEntry) -> str:
        return schedule.times_of(entry)

    @admin.display(description=_("last job"))
    def last_outcome(self, entry: ScheduleEntry) -> SafeString | str:
        job = entry.last_job
        if job is None:
            return gettext("It has not run yet.")
        label = cells.state(JobState.values)(job.state)
        return format_html('{} <a href="{}">{}</a>', label, job.get_absolute_url(), gettext("Show the job"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ScheduleEntry, form: Any, change: bool) -> None:
        before = {name: form.initial.get(name) for name in EntryForm.Meta.fields}
        schedule.change(obj, is_enabled=obj.is_enabled, at=obj.at, every_seconds=obj.every_seconds)
        detail = {"before": _plain(before), "after": _plain(form.cleaned_data)}
        StaffEvent.objects.create(staff_id=request.user.pk, action="schedule.change", subject=obj.name, detail=detail)

    def get_urls(self) -> list[Any]:
        run = self.admin_site.admin_view(require_POST(self.run_now))
        return [path("<int:pk>/run/", run, name="console_scheduleentry_run"), *super().get_urls()]

    def run_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        entry = get_object_or_404(ScheduleEntry.objects.select_related("last_job"), pk=pk)
        if not self.has_change_permission(request, entry):
            raise PermissionDenied
        try:
            job = schedule.begin_now(entry, by=login(request))
        except schedule.NotStarted as refusal:
            messages.warning(request, str(refusal))
            return HttpResponseRedirect(entry.get_absolute_url())
        StaffEvent.objects.create(staff_id=request.user.pk, action="schedule.run", subject=entry.name)
        return HttpResponseRedirect(job.get_absolute_url())


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if name == "at" and value is not None else value for name, value in values.items()}
