"""What happened to a grant: each step with who took it, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from billing.models import BatteryTransaction
from console.models.grant import Grant
from database import cells


@dataclass(frozen=True)
class Step:
    """`at` None is still to come. `url` is that of the ledger's entry, empty where there is none."""

    what: str
    at: datetime | None
    by: str = ""
    text: str = ""
    url: str = ""

    @property
    def moment(self) -> cells.Shown:
        return cells.moment(self.at)


def steps(grant: Grant) -> list[Step]:
    """In the order in which they happened. No query."""
    return [
        Step(_("Asked for"), grant.requested_at, grant.requester, grant.waits_because),
        *_decision(grant),
        *_taken_back(grant),
    ]


def _decision(grant: Grant) -> list[Step]:
    if grant.state == Grant.State.REQUESTED:
        return [Step(_("Waits for a second person"), None)]
    by = _name(grant.decided_by)
    if grant.state == Grant.State.REJECTED:
        return [Step(_("Rejected"), grant.decided_at, by, grant.decision)]
    if grant.waits_because:
        approved = Step(_("Approved"), grant.decided_at, by, grant.decision)
    else:
        approved = Step(_("Approved: within the limits"), grant.decided_at)
    applied = Step(_("In the battery"), grant.applied_at, url=_entry(grant.entry_id) if grant.applied_at else "")
    if grant.state == Grant.State.APPROVED:
        applied = Step(_("Not yet in the battery"), None, text=grant.problem or _("It is posted within minutes."))
    return [approved, applied]


def _taken_back(grant: Grant) -> list[Step]:
    found = []
    if grant.reversal_units is not None:
        text = _units(grant.reversed_units, grant.reversal_units, grant.units)
        url = _entry(grant.reversal_entry_id) if grant.reversed_units else ""
        by = _name(grant.reversal_by)
        found.append(Step(_("Taken back"), grant.reversal_at, by, f"{text} {grant.reversal_text}".strip(), url))
    if grant.expired_at is not None:
        text = _("%(units)s units were left and taken back.") % {"units": f"{grant.expired_units or 0:,}"}
        url = _entry(grant.expiry_entry_id) if grant.expired_units else ""
        found.append(Step(_("Expired"), grant.expired_at, text=text, url=url))
    return found


def _units(done: int | None, asked: int, given: int) -> str:
    if done is None:
        return _("%(units)s units, not yet posted.") % {"units": f"{asked:,}"}
    return _("%(units)s of %(given)s units.") % {"units": f"{done:,}", "given": f"{given:,}"}


def _name(person: User | None) -> str:
    return person.get_username() if person else ""


def _entry(id: str) -> str:
    return cells.row_url(BatteryTransaction, id)
