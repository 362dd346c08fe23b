"""The columns of OmniChat's tables as Python values, odd values kept as they are."""

from __future__ import annotations

from django.db import models


class InstantField(models.TextField):
    """A moment, kept as TEXT in one of three forms."""


class DayField(models.TextField):
    """A calendar day, kept as TEXT."""


class JSONTextField(models.TextField):
    """JSON, kept as TEXT."""


class FlagField(models.BooleanField):
    """A boolean, kept as 0 or 1."""
