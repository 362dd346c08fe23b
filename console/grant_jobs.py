"""What of grants runs by itself or takes long. Importing this registers it; `console/apps.py` does so at the start."""

from __future__ import annotations

from datetime import time
from typing import Any

from django.utils.translation import gettext_lazy as _

from console import grant_bulk, grant_expiry, grant_reversal, grants, schedule
from console.jobs import Failure, Run, kind, periodic
from console.models import GrantBulk
from database.router import CONSOLE

#: How often what a crash left is looked for, in seconds.
RESUME_EVERY = 60


@kind(grant_bulk.KIND, title="Bulk grant", permission="console.add_grant")
def bulk(run: Run) -> dict[str, Any]:
    """Grant the rows of `{"bulk": ID}`, from the cursor on: the number of rows that are done."""
    rows = GrantBulk.objects.using(CONSOLE).select_related("made_by").get(pk=run.arguments["bulk"])
    total = len(rows.rows)
    try:
        return grant_bulk.work_off(rows, run.cursor or 0, lambda done: run.advance(done, total=total, cursor=done))
    except grants.GrantRefused as refused:
        raise Failure(str(refused)) from None


@kind("grants.expire", title="Expired grants", permission="console.change_job")
def expire(run: Run) -> dict[str, Any]:
    """Take back what is left of grants whose last day is over."""
    done = grant_expiry.expire(advance=lambda sums: run.advance(sums.expired))
    return {"expired": done.expired, "units": done.units}


def resume() -> None:
    grants.resume()
    grant_reversal.resume()


schedule.register("grants.expire", _("Expired grants"), "grants.expire", at=time(0, 20))
periodic("grants that a crash left", RESUME_EVERY, resume)
