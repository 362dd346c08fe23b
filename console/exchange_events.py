"""What staff take out of OmniChat's tables as files and bring in, kept in the console's database."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from console.models import StaffEvent


def record_exchange(*, request: HttpRequest, action: str, subject: str, detail: dict[str, Any], **signal: Any) -> None:
    """Keep who exports which list, previews an import or makes it. Listens to `database.exchange.exchanged`."""
    StaffEvent.objects.create(staff_id=request.user.pk, action=action, subject=subject, detail=detail)
