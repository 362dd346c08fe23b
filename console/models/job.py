"""Work that takes longer than a click, and the times at which some of it starts by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELED = "canceled", _("canceled")


#: States in which nothing more happens by itself.
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELED)


class Job(models.Model):
    """One piece of work: how far it is, what came of it, and where to go on after a kill.

    A worker owns a running job by its `lease`: what it writes, it writes only while the lease is still its own.
    """

    State = JobState

    kind = models.CharField(max_length=60, db_index=True)
    title = models.CharField(max_length=200)
    key = models.CharField(max_length=200, unique=True, null=True, help_text="The same key is the same job.")
    arguments = models.JSONField(default=dict)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    in_command = models.BooleanField(default=False, help_text="A command runs it in its own process: no worker does.")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    message = models.CharField(max_length=300, blank=True)
    cursor = models.JSONField(null=True, help_text="Where to go on.")
    result = models.JSONField(null=True)
    error = models.TextField(blank=True, help_text="A sentence for people.")
    log = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Starts since it last got any further.")
    cancel_asked = models.BooleanField(default=False)
    canceled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    lease = models.CharField(max_length=32, blank=True)
    ticket = models.UUIDField(null=True, help_text="Its row in the queue.")
    heartbeat_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    #: Where the present attempt began: an estimate comes from it alone.
    attempt_at = models.DateTimeField(null=True)
    attempt_done = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="job_state"),
            models.Index(fields=["actor", "-id"], name="job_actor"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("admin:console_job_change", args=[self.pk])

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def percent(self) -> int | None:
        """0 to 100, or None where the total is not known."""
        if self.state == JobState.DONE:
            return 100
        return min(100, 100 * self.done // self.total) if self.total else None

    @property
    def estimate(self) -> int | None:
        """Seconds that are left at the speed of the present attempt, or None where nobody can know."""
        gone = self.done - self.attempt_done
        if self.state != JobState.RUNNING or not self.total or not self.attempt_at or gone <= 0:
            return None
        now = timezone.now()
        seconds = (min(self.heartbeat_at or now, now) - self.attempt_at).total_seconds()
        return max(0, round(seconds * (self.total - self.done) / gone))

    @property
    def took(self) -> timedelta | None:
        return (self.ended_at or timezone.now()) - self.started_at if self.started_at else None


class ScheduleEntry(models.Model):
    """When a kind of job starts by itself. What it is stands in code; here is when, and whether."""

    #: What code calls each entry, by its name.
    titles: ClassVar[dict[str, Any]] = {}

    name = models.CharField(max_length=60, unique=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    at = models.TimeField(null=True, blank=True, help_text=_("Each day at this time, UTC."))
    every_seconds = models.PositiveIntegerField(null=True, blank=True, help_text=_("Or every so many seconds."))
    next_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True, help_text=_("The moment that was due last."))
    last_job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["name"]
        verbose_name = _("scheduled job")
        verbose_name_plural = _("scheduled jobs")

    def __str__(self) -> str:
        return str(self.titles.get(self.name, self.name))

    def get_absolute_url(self) -> str:
        return reverse("admin:console_scheduleentry_change", args=[self.pk])
