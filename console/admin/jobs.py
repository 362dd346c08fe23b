"""The pages of jobs: a list, a page for each with its progress, and the buttons to stop one and to try again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from django_tasks_db import admin as admin_of_tickets
from django_tasks_db.models import DBTaskResult

from console import jobs
from console.changelist import OwnFiltersMixin, ReadOnlyMixin, login
from console.job_progress import amount, in_words, progress_of
from console.models import Job, JobState, StaffEvent
from database import cells
from database.object_actions import actions_of

# Tickets come and go with their jobs: the page that django-tasks-db brings along, if it was loaded before or not, goes.
assert admin_of_tickets
admin.site.unregister(DBTaskResult)


@admin.register(Job)
class JobAdmin(ReadOnlyMixin, OwnFiltersMixin, admin.ModelAdmin):
    """Everybody sees their own jobs; who has `view_job` all."""

    list_display = ("title", "shown_state", "progress", "who", "started", "took", "left")
    list_display_links = ("title",)
    list_filter = ("state",)
    filter_parameters = ("state__exact",)
    list_select_related = ("actor",)
    list_per_page = 50
    show_full_result_count = False
    shown_state = cells.column("state", cells.state(JobState.values), heading="state")
    started = cells.column("started_at", cells.moment, heading="started")

    @admin.display(description=_("progress"))
    def progress(self, job: Job) -> SafeString | str:
        if job.percent is None:
            return amount(job)
        bar = '<progress max="100" value="{}" aria-label="{}"></progress> {}%'
        return format_html(bar, job.percent, job.title, job.percent)

    @admin.display(description=_("who"))
    def who(self, job: Job) -> str:
        return job.actor.get_username() if job.actor else gettext("the console")

    @admin.display(description=_("took"))
    def took(self, job: Job) -> str:
        return in_words(job.took) if job.took else cells.EMPTY

    @admin.display(description=_("left"))
    def left(self, job: Job) -> str:
        seconds = job.estimate
        return cells.EMPTY if seconds is None else in_words(timedelta(seconds=seconds))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        every = super().get_queryset(request).defer("log", "arguments", "result", "cursor")
        return every if sees_all(request) else every.filter(actor_id=request.user.pk)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if sees_all(request):
            return True
        # A login without a role starts nothing.
        return bool(request.user.get_all_permissions()) if obj is None else obj.actor_id == request.user.pk

    def get_urls(self) -> list[Any]:
        pages = (("progress", self.show_progress), ("cancel", self.cancel), ("retry", self.retry))
        mine = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"console_job_{name}")
            for name, view in pages
        ]
        return [*mine, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        job = self._job(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": job.title,
            "job": job,
            "kind": jobs.title_of(job),
            "has_view_permission": True,
            "may_control": jobs.may_control(job, login(request)),
            "actions": actions_of(request, job),
        }
        return TemplateResponse(request, "admin/console/job_page.html", context)

    def show_progress(self, request: HttpRequest, pk: int) -> JsonResponse:
        return JsonResponse(progress_of(self._job(request, pk)))

    @property
    def cancel(self) -> Any:
        return require_POST(self._cancel)

    @property
    def retry(self) -> Any:
        return require_POST(self._retry)

    def _cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self._controlled(request, pk)
        if jobs.cancel(job, by=login(request)):
            _keep(request, "job.cancel", job)
            messages.success(request, gettext("It is asked to stop. What it has done so far stays done."))
        else:
            messages.warning(request, gettext("It had ended already: there was nothing to stop."))
        return HttpResponseRedirect(job.get_absolute_url())

    def _retry(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self._controlled(request, pk)
        if jobs.retry(job):
            _keep(request, "job.retry", job)
            messages.success(request, gettext("It is queued again, and goes on where it stopped."))
        else:
            messages.warning(
                request, gettext("Nothing to try again: it did not fail, or a command ran it. Run that again.")
            )
        return HttpResponseRedirect(job.get_absolute_url())

    def _job(self, request: HttpRequest, pk: Any) -> Job:
        job = get_object_or_404(Job.objects.select_related("actor", "canceled_by"), pk=_number(pk))
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        return job

    def _controlled(self, request: HttpRequest, pk: int) -> Job:
        job = self._job(request, pk)
        if not jobs.may_control(job, login(request)):
            raise PermissionDenied
        return job


def sees_all(request: HttpRequest) -> bool:
    return request.user.has_perm("console.view_job")


def _number(pk: Any) -> int:
    """No id is -1."""
    return int(pk) if str(pk).isdecimal() and len(str(pk)) < 19 else -1


def _keep(request: HttpRequest, action: str, job: Job) -> None:
    StaffEvent.objects.create(
        staff_id=request.user.pk, action=action, subject=str(job.pk), detail={"kind": job.kind, "title": job.title}
    )
