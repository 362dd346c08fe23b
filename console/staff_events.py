"""What staff did that changed nothing in OmniChat's tables is recorded here, and nowhere else."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from console.models.staff import StaffEvent
from database.router import CONSOLE

By = AbstractBaseUser | AnonymousUser | None


def record(action: str, *, by: By, subject: str = "", detail: dict[str, Any] | None = None) -> StaffEvent:
    """Keep that `by` did `action`; None is somebody at the command line."""
    return StaffEvent.objects.using(CONSOLE).create(
        staff_id=by.pk if by else None, action=action, subject=subject[:255], detail=detail or {}
    )
