from __future__ import annotations

from typing import ClassVar

from django.db import models


class Summary(models.Model):
    """Figures that cost too much to be counted for each page, under a name, and the moment they are of."""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.JSONField()
    counted_at = models.DateTimeField()

    # Said by hand: within a circle of imports the types of Django's own are not found.
    objects: ClassVar[models.Manager[Summary]] = models.Manager()

    class Meta:
        # Nobody edits figures, and whoever sees the home page sees them.
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
