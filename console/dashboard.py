"""The home page: what needs somebody now, and how the business goes.

What waits is counted in the console's own database, all in one query. Figures of OmniChat's tables are counted by a job
and kept with their moment, so that opening the page asks OmniChat's database nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Count, QuerySet, Value
from django.utils import timezone
from django.utils.translation import gettext

from billing import figures as billing_figures
from billing.models import StoredStatus
from chat import figures as chat_figures
from console import bars
from console.models import Summary
from database import cells
from database.router import CONSOLE

FIGURES = "business"
DAYS = 90
#: Days of which users' activity is added up.
ACTIVE_DAYS = 30
#: Models shown by name; all others are one.
MODELS = 5
#: Figures older than this are said to be old: a day and the time that its counting may take.
STALE_AFTER = timedelta(hours=26)

Staff = User | AnonymousUser


@dataclass(frozen=True)
class Need:
    """Something that waits for somebody: rows of the console's own tables, counted, with the list that shows them.

    `rows` gives those that wait for this member of staff, None where they are none of theirs.
    """

    name: str
    rows: Callable[[Staff], QuerySet[Any] | None]
    words: Callable[[int], str]
    url: Callable[[], str]


@dataclass(frozen=True)
class Waiting:
    count: int
    words: str
    url: str


NEEDS: dict[str, Need] = {}


def need(each: Need) -> None:
    """Show on the home page what waits. A second of the same name takes the place of the first."""
    NEEDS[each.name] = each


def waiting(staff: Staff) -> list[Waiting]:
    """What waits for this member of staff, in the order of `NEEDS`. One query for all."""
    counts = dict(_counted([(each.name, rows) for each in NEEDS.values() if (rows := each.rows(staff)) is not None]))
    return [
        Waiting(counts[each.name], each.words(counts[each.name]), each.url())
        for each in NEEDS.values()
        if counts.get(each.name)
    ]


def _counted(named: Iterable[tuple[str, QuerySet[Any]]]) -> Iterable[tuple[str, int]]:
    parts = [
        rows.using(CONSOLE).order_by().values(need=Value(name)).annotate(n=Count("pk")).values_list("need", "n")
        for name, rows in named
    ]
    return parts[0].union(*parts[1:], all=True) if parts else ()


# Counting


def count_figures(now: datetime | None = None) -> Summary:
    """Count the figures of OmniChat's tables and keep them; six queries over indexes."""
    moment = now or timezone.now()
    today = moment.astimezone(UTC).date()
    first, recent = today - timedelta(days=DAYS - 1), today - timedelta(days=ACTIVE_DAYS - 1)
    value = {
        "day": today.isoformat(),
        "subscriptions": [[c.plan, c.status, c.count, c.cents] for c in billing_figures.subscriptions()],
        "new": billing_figures.by_day("created_at", first),
        "canceled": billing_figures.by_day("canceled_at", first),
        "battery": billing_figures.battery_by_day(first),
        "usage": chat_figures.usage_by_day(first),
        "active": chat_figures.most_active(recent),
    }
    kept, _ = Summary.objects.using(CONSOLE).update_or_create(
        name=FIGURES, defaults={"value": value, "counted_at": moment}
    )
    return kept


# Showing


@dataclass(frozen=True)
class PlanRow:
    plan: str
    active: int
    trialing: int
    past_due: int
    revenue: Any


@dataclass(frozen=True)
class Figures:
    """What the home page shows. `revenue` is monthly and in dollars; a year's price counts a twelfth a month."""

    counted_at: datetime
    is_stale: bool
    active: int
    trialing: int
    past_due: int
    new: int
    canceled: int
    revenue: Any
    plans: list[PlanRow]
    plots: list[bars.Plot]
    most_active: list[tuple[str, str, int, int]]


def summaries(*names: str) -> dict[str, Summary]:
    """What is kept under these names, as far as it is. One query."""
    return Summary.objects.using(CONSOLE).in_bulk(names)


def figures(kept: Mapping[str, Summary] | None = None) -> Figures | None:
    """The figures that were kept last, of `summaries` where they were read; None where none were counted yet."""
    found = (summaries(FIGURES) if kept is None else kept).get(FIGURES)
    return None if found is None else _figures(found)


def _figures(kept: Summary) -> Figures:
    value = kept.value
    last = date.fromisoformat(value["day"])
    days = bars.days_to(last, DAYS)
    recent = {day.isoformat() for day in days[-ACTIVE_DAYS:]}
    count: dict[str, int] = defaultdict(int)
    for _, status, number, _ in value["subscriptions"]:
        count[status] += number
    return Figures(
        counted_at=kept.counted_at,
        is_stale=timezone.now() - kept.counted_at > STALE_AFTER,
        active=count[StoredStatus.ACTIVE],
        trialing=count[StoredStatus.TRIALING],
        past_due=count[StoredStatus.PAST_DUE],
        new=sum(number for day, number in value["new"] if day in recent),
        canceled=sum(number for day, number in value["canceled"] if day in recent),
        revenue=cells.cents(sum(c for _, status, _, c in value["subscriptions"] if status == StoredStatus.ACTIVE)),
        plans=_plans(value["subscriptions"]),
        plots=_plots(value, days),
        most_active=[(cells.list_url("chat.User", q=key), *rest) for key, *rest in value["active"]],
    )


def _plans(rows: list[list[Any]]) -> list[PlanRow]:
    by_plan: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for plan, status, number, monthly in rows:
        by_plan[plan][status] = (number, monthly)
    return [_plan(plan, states) for plan, states in sorted(by_plan.items())]


def _plan(name: str, states: dict[str, tuple[int, int]]) -> PlanRow:
    active, trialing, past_due = (
        states.get(s, (0, 0)) for s in (StoredStatus.ACTIVE, StoredStatus.TRIALING, StoredStatus.PAST_DUE)
    )
    return PlanRow(name, active[0], trialing[0], past_due[0], cells.cents(active[1]))


def _plots(value: dict[str, Any], days: list[date]) -> list[bars.Plot]:
    units: dict[str, dict[date, int]] = defaultdict(dict)
    for day, model, used, _ in value["usage"]:
        if found := _day(day):
            units[model or gettext("(no model)")][found] = used
    unit = gettext("units")
    return [
        bars.stacked(gettext("Subscriptions by day"), gettext("subscriptions"), days, {
            gettext("new"): _pairs(value["new"]), gettext("canceled"): _pairs(value["canceled"]),
        }),
        bars.stacked(gettext("Battery granted by day"), unit, days, {
            gettext("granted"): _pairs([day, granted] for day, granted, _ in value["battery"]),
        }),
        bars.stacked(gettext("Battery used by day"), unit, days, {
            gettext("used"): _pairs([day, used] for day, _, used in value["battery"]),
        }),
        bars.stacked(gettext("Usage by model and day"), unit, days, bars.largest(units, MODELS, gettext("others"))),
    ]  # fmt: skip


def _pairs(rows: Iterable[list[Any]]) -> dict[date, int]:
    return {found: number for day, number in rows if (found := _day(day))}


def _day(text: str) -> date | None:
    """None for what an odd row has in place of a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
