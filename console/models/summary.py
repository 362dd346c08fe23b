from __future__ import annotations

from django.db import models


class Summary(models.Model):
    """Figures that cost too much to be counted for each page, under a name, and the moment they are of."""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.JSONField()
    counted_at = models.DateTimeField()

    class Meta:
        # Nobody edits figures, and whoever sees the home page sees them.
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
