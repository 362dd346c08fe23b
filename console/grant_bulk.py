"""Bulk grants: kept as they were previewed, confirmed once, and worked off by a job a thousand rows at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from billing.allowance import today
from console import grants, jobs
from console.grant_files import Line, Row, judge, rows_of
from console.grants import GrantRefused, Wish
from console.models.grant import Grant, GrantBulk
from console.models.job import Job
from console.models.staff import StaffEvent
from database.import_files import read_file
from database.router import CONSOLE

KIND = "grants.bulk"
#: Rows that are decided, posted (on D1 in one request) and closed together.
PORTION = 1000
#: What nobody confirmed is kept for so long.
KEPT = timedelta(days=1)


def preview_file(
    name: str, content: bytes, *, by: User, category: str, text: str, ticket: str, expires_on: date | None
) -> tuple[GrantBulk, list[Line]]:
    """What each row of a file would become, and the bulk grant that waits for a confirmation. Raises `BadFile`."""
    rows = rows_of(read_file(name, content), text)
    bulk = GrantBulk(file_name=name[:255], sha256=hashlib.sha256(content).hexdigest())
    return _kept(bulk, rows, by, category=category, ticket=ticket, expires_on=expires_on)


def preview_users(
    users: Sequence[str], units: int, *, by: User, category: str, text: str, ticket: str, expires_on: date | None
) -> tuple[GrantBulk, list[Line]]:
    """The same for users of a list, by their ids."""
    rows = [Row(number, user, units, text) for number, user in enumerate(users, start=1)]
    return _kept(GrantBulk(), rows, by, category=category, ticket=ticket, expires_on=expires_on)


def _kept(bulk: GrantBulk, rows: Sequence[Row], by: User, **values: Any) -> tuple[GrantBulk, list[Line]]:
    key: Callable[[int], str] | None = bulk.key if bulk.sha256 else None
    lines = judge(rows, by=by, key=key)
    GrantBulk.objects.using(CONSOLE).filter(confirmed_at=None, made_at__lt=timezone.now() - KEPT).delete()
    bulk.rows = [line.stored() for line in lines if line.is_granted]
    bulk.made_by = by
    for name, value in values.items():
        setattr(bulk, name, value)
    bulk.save(using=CONSOLE)
    return bulk, lines


def confirm(bulk: GrantBulk, *, by: User) -> Job:
    """Start the job of a bulk grant; confirmed twice it is the same job. Raises GrantRefused."""
    if bulk.made_by_id != by.pk:
        raise GrantRefused("Somebody else looked at these rows: upload the file yourself.")
    if bulk.confirmed_at is None and bulk.expires_on is not None and bulk.expires_on < today():
        raise GrantRefused(f"The last day of these grants, {bulk.expires_on}, is over: begin anew with another.")
    with transaction.atomic(using=CONSOLE):
        first = (
            GrantBulk.objects.using(CONSOLE).filter(pk=bulk.pk, confirmed_at=None).update(confirmed_at=timezone.now())
        )
        job = jobs.start(
            KIND,
            {"bulk": str(bulk.pk)},
            by=by,
            key=f"{KIND}:{bulk.pk}",
            title=f"Grants of {bulk.file_name or f'{len(bulk.rows):,} selected users'}",
            total=len(bulk.rows),
        )
        if first:
            detail = {"file": bulk.file_name, "sha256": bulk.sha256, "rows": len(bulk.rows), "job": job.pk}
            StaffEvent.objects.using(CONSOLE).create(staff=by, action="grant.bulk", subject=str(bulk.pk), detail=detail)
    return job


def work_off(bulk: GrantBulk, start: int, advance: Callable[[int], None]) -> dict[str, Any]:
    """Grant the rows from number `start` on, a portion at a time; `advance` gets how many are done.

    Begun again anywhere, it gives nothing twice: each row has its key. Raises GrantRefused.
    """
    assert bulk.made_by is not None
    for first in range(start, len(bulk.rows), PORTION):
        some = bulk.rows[first : first + PORTION]
        keys = [bulk.key(row["row"]) for row in some]
        # The same file in other hands came first with these.
        others = set(Grant.objects.using(CONSOLE).filter(key__in=keys).exclude(bulk=bulk).values_list("key", flat=True))
        wishes = [_wish(bulk, row) for row in some if bulk.key(row["row"]) not in others]
        grants.apply(grants.decide(wishes, by=bulk.made_by))
        advance(min(first + PORTION, len(bulk.rows)))
    return result(bulk)


def _wish(bulk: GrantBulk, row: dict[str, Any]) -> Wish:
    return Wish(
        row["user_id"],
        row["email"],
        row["units"],
        bulk.category,
        row["text"],
        key=bulk.key(row["row"]),
        ticket=bulk.ticket,
        expires_on=bulk.expires_on,
        bulk=bulk,
        bulk_row=row["row"],
    )


def result(bulk: GrantBulk) -> dict[str, Any]:
    """How many grants of a bulk are in which state, and the units of those that are given."""
    states = bulk.grants.using(CONSOLE).order_by().values_list("state").annotate(Count("pk"), Sum("units"))
    found = {state: (count, units) for state, count, units in states}
    granted = [found.get(state, (0, 0)) for state in (Grant.State.APPLIED, Grant.State.REVERSED)]
    return {
        "granted": sum(count for count, _ in granted),
        "units": sum(units for _, units in granted),
        "waiting": found.get(Grant.State.REQUESTED, (0, 0))[0],
        "not_granted": found.get(Grant.State.REJECTED, (0, 0))[0] + found.get(Grant.State.APPROVED, (0, 0))[0],
        "granted_before": len(bulk.rows) - sum(count for count, _ in found.values()),
    }
