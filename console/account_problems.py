"""What is wrong with an account, in words, each with its remedy. It looks at what the page has read already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from billing.models import StoredStatus
from chat.models import SubscriptionStatus, Tier
from console.account import Account

#: So long a renewal may take: Stripe tries the payment an hour after the period's end.
GRACE = timedelta(days=1)
_RESYNC = gettext_lazy("Resync the user with Stripe; where Stripe agrees with this, correct the profile.")


@dataclass(frozen=True)
class Problem:
    """`kind` is its name in the documentation."""

    kind: str
    words: str
    remedy: Any


#: What another part of the console knows to be wrong with a user. It asks OmniChat's database nothing.
Source = Callable[[str], Iterable[Problem]]
SOURCES: list[Source] = []


def look_for(source: Source) -> Source:
    """Have accounts show what a source gives."""
    SOURCES.append(source)
    return source


def problems(account: Account, now: datetime | None = None) -> list[Problem]:
    """All that is wrong, what concerns money first."""
    now = now or timezone.now()
    told = [problem for source in SOURCES for problem in source(str(account.user.pk))]
    own = (_tier(account), _status(account), _renewal(account, now), _customers(account), _battery(account))
    # A finding of a resync tells more of the same.
    found = {problem.kind.replace("_", " ") for problem in told}
    return [*(problem for one in own for problem in one if problem.kind not in found), *told]


def _tier(account: Account) -> Iterator[Problem]:
    user, count = account.user, len(account.in_force)
    if count > 1:
        words = gettext("%(n)s subscriptions are in force: the customer may pay twice.") % {"n": count}
        yield Problem("two subscriptions", words, gettext("Look into Stripe; cancel and refund the one too many."))
    if count and user.tier != Tier.PAID:
        words = gettext("A subscription is in force, and the tier is not paid: the customer pays for nothing.")
        yield Problem("tier", words, _RESYNC)
    if not count and user.tier == Tier.PAID:
        yield Problem("tier", gettext("The tier is paid, and no subscription is in force."), _RESYNC)


def _status(account: Account) -> Iterator[Problem]:
    held, told = account.subscription, account.user.subscription_status
    if held is None:
        if told not in (None, "", SubscriptionStatus.INACTIVE):
            words = gettext("The profile says “%(told)s”, and there is no subscription.") % {"told": told}
            yield Problem("status", words, _RESYNC)
        return
    agrees = told == held.status or (held.status == StoredStatus.CANCELED and told == SubscriptionStatus.INACTIVE)
    if not agrees:
        words = gettext("The profile says “%(told)s”, the subscription “%(held)s”.")
        yield Problem("status", words % {"told": told or gettext("nothing"), "held": held.status}, _RESYNC)


def _renewal(account: Account, now: datetime) -> Iterator[Problem]:
    for subscription in account.in_force:
        end = subscription.current_period_end
        if isinstance(end, datetime) and end + GRACE < now:
            words = gettext("The period ended on %(day)s, and no renewal was seen.") % {"day": end.date().isoformat()}
            yield Problem("renewal", words, gettext("Resync the user: an event of Stripe's may be lost."))


def _customers(account: Account) -> Iterator[Problem]:
    own = account.user.stripe_customer_id
    others = {s.stripe_customer_id for s in account.in_force if s.stripe_customer_id and s.stripe_customer_id != own}
    for customer in sorted(others):
        words = gettext("The subscription is of the Stripe customer %(theirs)s, the profile names %(own)s.")
        remedy = gettext("Find out in Stripe which one is this person's, and correct the profile.")
        yield Problem("customer", words % {"theirs": customer, "own": own or gettext("none")}, remedy)


def _battery(account: Account) -> Iterator[Problem]:
    balance, last = account.balance, account.last_balance
    audit = gettext("manage.py audit_battery tells whose units are missing; an operator runs it.")
    if not account.has_battery:
        if last is not None:
            yield Problem("no battery", gettext("There are entries in the ledger, and no battery."), audit)
        return
    if type(balance) is not int:
        yield Problem("balance", gettext("The balance is no whole number."), audit)
        return
    if type(last) is int and balance != last:
        words = gettext("The balance is %(balance)s units, the ledger's newest entry left %(last)s.")
        yield Problem("balance", words % {"balance": f"{balance:,}", "last": f"{last:,}"}, audit)
    if balance < 0:
        words = gettext("The balance is under zero: %(balance)s units.") % {"balance": f"{balance:,}"}
        yield Problem("under zero", words, gettext("More was used than was there; grant what is owed, if anything is."))
