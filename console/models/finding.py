"""Runs of the resync, and what they found: a list that staff work off."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from console.models.job import Job


class ResyncState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    WAITING = "waiting", _("waits to be confirmed")
    FAILED = "failed", _("failed")


class ResyncRun(models.Model):
    """One resync. `applied` counts what was mended, `left` what is for a person, `kinds` differences by name."""

    State = ResyncState

    state = models.CharField(max_length=10, choices=ResyncState.choices, default=ResyncState.RUNNING)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    started_by = models.CharField(max_length=150, help_text="The login, or who ran the command.")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    users = models.JSONField(default=list, help_text="The users it was about; empty for all.")
    since = models.DateTimeField(null=True)
    payments_since = models.DateTimeField(
        null=True, help_text="From when on it looked at each payment of all users; empty: at all of some users'."
    )
    dry_run = models.BooleanField(default=False)
    calls = models.PositiveIntegerField(default=0)
    compared = models.PositiveIntegerField(default=0)
    differences = models.PositiveIntegerField(default=0)
    applied = models.PositiveIntegerField(default=0)
    left = models.PositiveIntegerField(default=0)
    kinds = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "resync"
        default_permissions = ("view", "add")

    def __str__(self) -> str:
        return f"Resync {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("admin:console_resyncrun_change", args=[self.pk])


class FindingState(models.TextChoices):
    OPEN = "open", _("open")
    LEFT = "left", _("left for a person")
    REPAIRED = "repaired", _("repaired")
    DONE = "done", _("done")
    GONE = "gone", _("gone")


#: What still is for somebody.
UNSETTLED = (FindingState.OPEN, FindingState.LEFT)


class Finding(models.Model):
    """A difference between OmniChat and Stripe. Found again while it is unsettled, it is the same row.

    OPEN could be mended and was not (a dry run, or observing); LEFT is for a person, with the reason; GONE was no
    longer found by a later resync.
    """

    State = FindingState

    kind = models.CharField(max_length=50, db_index=True)
    user_id = models.CharField("user", max_length=255, blank=True, db_index=True)
    subject = models.CharField(max_length=255)
    expected = models.JSONField(null=True, help_text="As Stripe says.")
    found = models.JSONField(null=True, help_text="As OmniChat has it.")
    reason = models.TextField(blank=True)
    paid_at = models.DateTimeField(null=True, help_text="When the payment was made that it is about.")
    state = models.CharField(max_length=10, choices=FindingState.choices, default=FindingState.OPEN)
    run = models.ForeignKey(ResyncRun, models.CASCADE, related_name="findings", help_text="The last one that found it.")
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    note = models.TextField(blank=True, max_length=2000)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "change")
        indexes = [models.Index(fields=["state", "kind"], name="finding_open")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "user_id", "subject"],
                condition=models.Q(state__in=("open", "left")),
                name="finding_unsettled_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.user_id or self.subject}"

    def get_absolute_url(self) -> str:
        return reverse("admin:console_finding_change", args=[self.pk])

    @property
    def is_unsettled(self) -> bool:
        return self.state in UNSETTLED
