"""Events of Stripe and Clerk, kept as they came, and how far each is worked off."""

from __future__ import annotations

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class InboxSource(models.TextChoices):
    STRIPE = "stripe", "Stripe"
    CLERK = "clerk", "Clerk"


class InboxState(models.TextChoices):
    RECEIVED = "received", _("received")
    PROCESSED = "processed", _("processed")
    IGNORED = "ignored", _("ignored")
    FAILED = "failed", _("failed")
    PARKED = "parked", _("parked")


#: States in which an event still waits to be worked off.
WAITING = (InboxState.RECEIVED, InboxState.FAILED)
#: States of which one may be claimed.
OPEN = (*WAITING, InboxState.PARKED)


class InboxEvent(models.Model):
    """One event, by its own id, once. Who works it off holds it by `lease`, until that runs out.

    FAILED is tried again by itself; PARKED waits for a person, and where time may help is tried again, too
    (`next_at`).
    """

    State = InboxState

    source = models.CharField(max_length=10, choices=InboxSource.choices)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100, db_index=True)
    api_version = models.CharField(max_length=50, blank=True)
    livemode = models.BooleanField(null=True, help_text="Live or test; empty where the sender has no such modes.")
    subject = models.CharField(max_length=255, blank=True, db_index=True, help_text="Whom or what it is about.")
    payload = models.TextField(help_text="JSON as it came, without what would let somebody pay.")
    happened_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=InboxState.choices, default=InboxState.RECEIVED)
    attempts = models.PositiveIntegerField(default=0, help_text="Tries that failed by a fault of the event or of ours.")
    error = models.TextField(blank=True)
    effect = models.JSONField(default=list, help_text="What was written, or when observing would have been, in lines.")
    next_at = models.DateTimeField(null=True)
    lease = models.CharField(max_length=32, blank=True)
    leased_until = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "webhook event"
        constraints = [models.UniqueConstraint(fields=["source", "event_id"], name="inbox_event_once")]
        indexes = [
            models.Index(fields=["state", "next_at"], name="inbox_due"),
            models.Index(fields=["source", "-received_at"], name="inbox_last"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"

    def get_absolute_url(self) -> str:
        return reverse("admin:console_inboxevent_change", args=[self.pk])
