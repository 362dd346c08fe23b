"""Lists as somebody wants to see them again: filters, search, order and columns under a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """`query` is what stands in the address of the list `model` ("chat.user"), without a place in it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    model = models.CharField(max_length=100)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "id")
        # Who may see a list may save views of it, and only they open the list that a shared one names.
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["owner", "model", "name"], name="saved_view_once"),)
        indexes = (models.Index(fields=["model", "name"], name="saved_view_by_list"),)

    def __str__(self) -> str:
        return self.name
