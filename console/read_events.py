"""Who opened which page about a person, kept in the console's database. The pages of accounts record it themselves."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from console.staff_events import record
from console.timeline import READ


def record_opened(*, request: HttpRequest, user_id: str, page: str, **signal: Any) -> None:
    """Listens to `database.object_actions.opened`."""
    record(READ, by=request.user, subject=user_id, detail={"page": page})
