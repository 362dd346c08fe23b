"""What one person may grant alone: by role, for a grant, a UTC day, and a recipient. Above it a second person decides.

Only what somebody gave alone counts: what another approved does not, nor what was rejected. What was reversed or
expired does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet, Sum
from django.utils import timezone

from console.models.grant import Grant
from database.router import CONSOLE

#: For so many days what one person gives to one recipient counts together.
RECIPIENT_DAYS = 30
#: Users that one query asks for.
PORTION = 1000
NO_ROLE = "None of your roles may grant anything alone."


@dataclass(frozen=True)
class Limits:
    """In units; None is no limit. `grant` for one grant, `day` for a UTC day, `recipient` for one in 30 days."""

    grant: int | None = 0
    day: int | None = 0
    recipient: int | None = 0

    def widest(self, other: Limits) -> Limits:
        return Limits(*(_larger(getattr(self, name.name), getattr(other, name.name)) for name in fields(self)))


UNLIMITED = Limits(None, None, None)


def limits_of(person: User) -> Limits:
    """The widest of the limits of a person's roles; of all roles for a superuser, who needs a second person as well."""
    roles = settings.GRANT_LIMITS
    names = roles if person.is_superuser else person.groups.values_list("name", flat=True)
    limits = Limits()
    for name in names:
        limits = limits.widest(Limits(**roles.get(name, {})))
    return limits


@dataclass
class Purse:
    """What a person may still grant alone. `take` counts what is granted, so that a bulk counts as a whole.

    Nothing holds others off: for a decision the purse is made, and the grants are written, under a lock on the person.
    """

    limits: Limits
    today: int = 0
    to: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, person: User, recipients: Iterable[str]) -> Purse:
        """One query for the roles, one for the day, and one for each thousand recipients."""
        now = timezone.now()
        alone = Grant.objects.using(CONSOLE).filter(requested_by=person, waits_because="")
        alone = alone.exclude(state=Grant.State.REJECTED)
        lately = alone.filter(requested_at__gte=now - timedelta(days=RECIPIENT_DAYS)).order_by()
        today = _sum(alone.filter(requested_at__gte=day_of(now)))
        received: Counter[str] = Counter()
        users = list(dict.fromkeys(recipients))
        for start in range(0, len(users), PORTION):
            some = lately.filter(user_id__in=users[start : start + PORTION])
            received.update(dict(some.values_list("user_id").annotate(Sum("units"))))
        return cls(limits_of(person), today, received)

    @property
    def left_today(self) -> int | None:
        return None if self.limits.day is None else max(self.limits.day - self.today, 0)

    def objection(self, user_id: str, units: int) -> str:
        """Why these units are over a limit; empty where they are within all."""
        if self.limits == Limits():
            return NO_ROLE
        if _over(units, self.limits.grant):
            return f"{units:,} units are over the {self.limits.grant:,} of one grant."
        if _over(self.today + units, self.limits.day):
            return (
                f"With {self.today:,} units granted today (UTC), {units:,} more are over the {self.limits.day:,} a day."
            )
        if _over(self.to[user_id] + units, self.limits.recipient):
            return (
                f"With {self.to[user_id]:,} units to this user in {RECIPIENT_DAYS} days, {units:,} are over "
                f"the {self.limits.recipient:,} to one recipient."
            )
        return ""

    def take(self, user_id: str, units: int) -> str:
        """The objection, else count the units as granted."""
        objection = self.objection(user_id, units)
        if not objection:
            self.today += units
            self.to[user_id] += units
        return objection


def day_of(moment: datetime) -> datetime:
    """The beginning of the moment's UTC day."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _sum(grants: QuerySet[Grant]) -> int:
    return grants.aggregate(units=Sum("units"))["units"] or 0


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _over(units: int, limit: int | None) -> bool:
    return limit is not None and units > limit
