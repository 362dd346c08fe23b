"""Everything that happened to an account, newest first: what the app did, what Stripe brought, what staff did.

Two queries to OmniChat's database, and one for each source of the console's own. Each source gives its newest; where
one of them has more, the timeline ends where that one does, so that no gap is shown as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.utils.translation import gettext, ngettext

from billing.ledger_rows import line_of, page_of
from billing.models import TransactionType, UserSubscription
from console.models import Grant, InboxEvent, StaffEvent
from database import cells
from database.instants import Instant
from database.models import AuditLog
from database.router import CONSOLE

#: So many of each source are looked at.
MOST = 50
#: How staff's doings are called that only looked.
READ = "account.read"


@dataclass(frozen=True)
class Happening:
    """`source` is app, stripe or staff, and `kind` a state whose colour it has. `at` is None where nobody knows."""

    at: datetime | None
    source: str
    what: Any
    who: str = ""
    url: str = ""
    kind: str = ""


#: What another part of the console knows of a user: happenings, the newest `most` of them.
Source = Callable[[str, int], Iterable[Happening]]
SOURCES: list[Source] = []


def tell(source: Source) -> Source:
    """Let timelines show what a source gives."""
    SOURCES.append(source)
    return source


def timeline(user_id: str, subscriptions: Iterable[UserSubscription]) -> list[Happening]:
    """The newest happenings of all sources; the ones without a moment come last."""
    told = [list(_ledger(user_id)), list(_audit(user_id)), *[list(source(user_id, MOST)) for source in SOURCES]]
    since = max((_oldest(rows) for rows in told if len(rows) >= MOST), default=None)
    told.append(list(_subscriptions(subscriptions)))
    rows = [row for rows in told for row in rows if since is None or (row.at is not None and row.at >= since)]
    return sorted(rows, key=lambda row: row.at or datetime.min.replace(tzinfo=UTC), reverse=True)


def _oldest(rows: list[Happening]) -> datetime:
    return min((row.at for row in rows if row.at is not None), default=datetime.min.replace(tzinfo=UTC))


def _moment(cell: Any) -> datetime | None:
    return cell if isinstance(cell, datetime) else None


def _ledger(user_id: str) -> Iterator[Happening]:
    """Credits and debits one by one, usage added up by day."""
    used: dict[date, list[Any]] = {}
    for row in page_of(user_id, None, backwards=False).rows:
        entry: Any = row
        at = _moment(entry.created_at)
        if entry.type == TransactionType.USAGE and at and type(entry.amount) is int:
            used.setdefault(at.date(), []).append(entry)
            continue
        line = line_of(entry)
        causes = ", ".join(f"{cause.label} {cause.key}".strip() for cause in line.causes)
        units = f"{entry.amount:+,}" if type(entry.amount) is int else str(entry.amount)
        what = gettext("%(units)s units: %(type)s") % {"units": units, "type": entry.type}
        source = "staff" if line.by else "stripe" if "Stripe" in causes else "app"
        url = cells.row_url(type(entry), entry.pk)
        yield Happening(at, source, f"{what} ({causes})" if causes else what, line.by or "", url, str(entry.type))
    for entries in used.values():
        units = f"{sum(entry.amount for entry in entries):+,}"
        one, many = "%(units)s units: used in %(n)s message", "%(units)s units: used in %(n)s messages"
        what = ngettext(one, many, len(entries)) % {"units": units, "n": f"{len(entries):,}"}
        yield Happening(_moment(entries[0].created_at), "app", what, kind="usage")


def _audit(user_id: str) -> Iterator[Happening]:
    rows = AuditLog.objects.filter(user_id=user_id).order_by(Instant("created_at").desc())[:MOST]
    for row in rows:
        if row.resource_type == "battery_transactions":
            continue  # the ledger tells of it
        by = row.metadata.get("by") if isinstance(row.metadata, dict) else None
        who = (by.get("username") or by.get("name") or "") if isinstance(by, dict) else str(by or "")
        source = "staff" if who else "app"
        yield Happening(_moment(row.created_at), source, str(row), who, cells.row_url(AuditLog, row.pk), "update")


def _subscriptions(subscriptions: Iterable[UserSubscription]) -> Iterator[Happening]:
    for each in subscriptions:
        url = cells.row_url(UserSubscription, each.pk)
        plan = str(each.plan or each.plan_id or "")
        if at := _moment(each.created_at):
            yield Happening(at, "stripe", gettext("Subscribed to %s") % plan, url=url, kind="active")
        if at := _moment(each.canceled_at):
            yield Happening(at, "stripe", gettext("Canceled %s") % plan, url=url, kind="canceled")


@tell
def _staff(user_id: str, most: int) -> Iterator[Happening]:
    events = StaffEvent.objects.using(CONSOLE).filter(subject=user_id).exclude(action=READ).select_related("staff")
    for event in events[:most]:
        yield Happening(event.at, "staff", event.action, event.staff.get_username() if event.staff else "", kind="new")


@tell
def _grants(user_id: str, most: int) -> Iterator[Happening]:
    """Those that gave nothing; what one gave and took back stands in the ledger."""
    given = (Grant.State.APPLIED, Grant.State.REVERSED)
    for grant in Grant.objects.using(CONSOLE).filter(user_id=user_id).exclude(state__in=given)[:most]:
        words = gettext("Grant of %(units)s units: %(state)s") % {
            "units": f"{grant.units:,}",
            "state": grant.state.lower(),
        }
        yield Happening(
            grant.requested_at, "staff", words, grant.requester, grant.get_absolute_url(), grant.state.lower()
        )


@tell
def _events(user_id: str, most: int) -> Iterator[Happening]:
    for event in InboxEvent.objects.using(CONSOLE).filter(subject=user_id).defer("payload")[:most]:
        at = event.happened_at or event.received_at
        yield Happening(
            at, event.source, f"{event.type} ({event.state})", url=event.get_absolute_url(), kind=event.state
        )
