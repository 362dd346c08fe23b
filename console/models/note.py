"""What staff write down about a user of OmniChat."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Note(models.Model):
    """A few lines about an account, for colleagues. Whoever wrote it may change it, nobody else."""

    user_id = models.CharField("user", max_length=255)
    text = models.TextField(_("note"), max_length=4000)
    is_pinned = models.BooleanField(_("pinned"), default=False)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-is_pinned", "-created_at", "-id")
        default_permissions = ("add", "view")
        # A person has no model of the console's own, and these rights have to stand somewhere.
        permissions = (
            ("export_person", "Can export all data of a person"),
            ("delete_person", "Can delete a person"),
        )
        indexes = (models.Index(fields=["user_id", "-is_pinned", "-created_at"], name="note_by_user"),)

    def __str__(self) -> str:
        return self.text[:80]

    @property
    def is_edited(self) -> bool:
        return (self.updated_at - self.created_at).total_seconds() > 1
