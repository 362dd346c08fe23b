"""The audit log: who of the staff did what to an account, what was before and what after.

An entry belongs into the same `transaction.atomic(using="omnichat")` as the change that it tells of.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from database.models import AuditLog
from database.router import OMNICHAT
from database.values import Odd, Stored

#: A member of staff, or the name of a program or of whoever sits at the command line.
Actor = AbstractBaseUser | str


def record(
    action: str,
    *,
    by: Actor,
    user_id: str | None,
    resource_type: str | None = None,
    resource_id: str | None = None,
    before: Mapping[str, Stored] | None = None,
    after: Mapping[str, Stored] | None = None,
    id: str | None = None,
    **metadata: Any,
) -> AuditLog:
    """Insert one entry. See `entry` for what the words mean."""
    written = entry(
        action,
        by=by,
        user_id=user_id,
        resource_type=resource_type,
        resource_id=resource_id,
        before=before,
        after=after,
        id=id,
        **metadata,
    )
    written.save(using=OMNICHAT, force_insert=True)
    return written


def record_all(entries: Iterable[AuditLog]) -> None:
    """Insert many entries at once."""
    AuditLog.objects.using(OMNICHAT).bulk_create(entries)


def entry(
    action: str,
    *,
    by: Actor,
    user_id: str | None,
    resource_type: str | None = None,
    resource_id: str | None = None,
    before: Mapping[str, Stored] | None = None,
    after: Mapping[str, Stored] | None = None,
    id: str | None = None,
    **metadata: Any,
) -> AuditLog:
    """An entry that is not inserted yet.

    `action` is `resource.verb`, `user_id` the account concerned, `resource_type` a table and `resource_id` the key of
    its row; `before` and `after` map columns to cells. `id` derived from the cause makes a second try collide with
    the first; without it the id is random. What else is given goes into the metadata beside `by`, `before`, `after`.
    """
    kept: dict[str, Any] = {"by": _named(by)}
    if before is not None:
        kept["before"] = _plain(before)
    if after is not None:
        kept["after"] = _plain(after)
    return AuditLog(
        id=id or str(uuid.uuid4()),
        user_id=user_id,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        metadata={**kept, **metadata},
        created_at=timezone.now(),
    )


def _named(by: Actor) -> dict[str, Any]:
    return {"name": by} if isinstance(by, str) else {"username": by.get_username(), "id": by.pk}


def _plain(cells: Mapping[str, Stored]) -> dict[str, Any]:
    return {column: cell if _has_json(cell) else str(Odd(cell)) for column, cell in cells.items()}


def _has_json(cell: Stored) -> bool:
    return not isinstance(cell, bytes) and not (isinstance(cell, float) and not math.isfinite(cell))
