"""What staff did."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class StaffEvent(models.Model):
    """What staff did that changed nothing in OmniChat's tables: an export, an import's preview, a role given."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=100, db_index=True)
    subject = models.CharField(max_length=255, blank=True, help_text="What it was done to: a model, or a row's id.")
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}".strip()
