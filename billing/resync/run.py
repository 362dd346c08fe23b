"""One resync from its beginning to its end, in steps of which each goes on after a kill where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import connections

from billing.resync import books, repairing
from billing.resync.choosing import MOST_SINGLY, changed_users, is_known_since, missing_users, read_accounts
from billing.resync.comparing import Comparing, read_plans
from billing.resync.kinds import FOUND, REPAIR
from billing.resync.plans import compare_plans
from billing.resync.reading import DAYS_OF_PAYMENTS, INVOICES, OLDEST, ListTrouble, at_once, read_all, read_lists
from billing.resync.scratch import Difference, Scratch
from billing.resync.snapshot import Snapshot
from billing.stripe_api import Stripe, stripe_of_settings
from database.audit import Actor
from database.router import OMNICHAT

#: More repairs than these in one run are asked about first.
MANY = 100
#: From so many suspects on, all paid invoices may be listed instead of those of each customer.
INVOICES_LISTED_FROM = 50

Progress = Callable[[str, int, int | None], None]


def silent(step: str, done: int, total: int | None) -> None:
    """No progress is shown."""


class NoSuchUser(Exception):
    """Somebody was named who is not there. The text is a sentence."""


@dataclass(frozen=True)
class Wish:
    """`users` for some alone, `since` for what has changed; neither is everybody.

    Longer ago than Stripe tells what has changed, `since` is everybody, with each payment from then on.
    """

    users: tuple[str, ...] = ()
    since: datetime | None = None
    dry_run: bool = False

    @property
    def writes(self) -> bool:
        return not self.dry_run and settings.STRIPE_EFFECTS == "apply"


class Resync:
    """A context manager: `find`, then `repair`, and read `differences` before it ends.

    Raises StripeTrouble, Busy, NoSuchUser and the database's errors. What was read stays for the next run of
    the same wish, unless a list was found to misbehave.
    """

    def __init__(self, wish: Wish, *, stripe: Stripe | None = None) -> None:
        self.wish, self.stripe = wish, stripe or stripe_of_settings()

    def __enter__(self) -> Self:
        if self.wish.users and (missing := missing_users(self.wish.users)):
            raise NoSuchUser(f"There is no user {', '.join(missing[:5])}: give Clerk ids.")
        self.scratch = Scratch(_identity(self.wish))
        if self.since and self.wish.since and self.since > self.wish.since:
            self.scratch.begin_anew()
        self.scratch.set("since", self.since.isoformat() if self.since else None)
        self._calls_before = self.stripe.calls.total()
        self._counted = int(self.scratch.get("calls", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scratch.set("calls", self.calls)
        self.scratch.close(keep=kind is not None and not isinstance(error, ListTrouble))

    @property
    def calls(self) -> int:
        """Requests to Stripe, also those of an earlier process that was killed, as far as it told."""
        return self._counted + self.stripe.calls.total() - self._calls_before

    @property
    def goes_on(self) -> bool:
        """Whether it takes up what an earlier process left."""
        return self.scratch.goes_on

    @property
    def since(self) -> datetime | None:
        """As it was wished, or a little before, where it takes up what an earlier process left."""
        found = self.scratch.get("since")
        return datetime.fromisoformat(found) if found else self.wish.since

    @property
    def compared(self) -> int:
        return int(self.scratch.get("compared", 0))

    @property
    def payments_since(self) -> datetime | None:
        """From when on a complete resync looked at each payment; None where it was about some users, and all theirs."""
        found = self.scratch.get("payments_since")
        return datetime.fromtimestamp(found, UTC) if found else None

    @property
    def repairs(self) -> int:
        """Differences that can be mended, and are not yet."""
        return self.scratch.actions().get(REPAIR, 0)

    def find(self, progress: Progress = silent) -> None:
        """Read Stripe, compare, and name what differs. Writes nothing to OmniChat."""
        scratch = self.scratch
        if scratch.get("newest_event") is None:
            scratch.set("newest_event", repairing.newest_event(self.stripe))
        users = self._chosen()
        is_whole = users is None
        self._read(users, progress)
        snapshot = Snapshot(self.stripe, scratch, is_whole=is_whole)
        if not scratch.get("notes"):
            books.keep_notes(scratch)
            scratch.set("notes", True)
        if not scratch.get("all_compared"):
            total = None if users is None else len(users)
            comparing = Comparing(scratch, snapshot, read_plans(), is_whole)
            comparing.run(users, _counter("Comparing users", self.compared, total, progress))
            scratch.set("all_compared", True)
        self._read_invoices(progress)
        repairing.judge(scratch, snapshot, _counter("Looking closely", 0, scratch.count("new"), progress))
        if not self.wish.users and not scratch.get("plans"):
            for difference in compare_plans(self.stripe):
                scratch.note(difference)
            scratch.set("plans", True)
        scratch.set("calls", self.calls)

    def _chosen(self) -> list[str] | None:
        """None for everybody."""
        if self.wish.users:
            return sorted(set(self.wish.users))
        if self.since is None:
            return None
        known = self.scratch.get("chosen")
        if known is None:
            changed = changed_users(self.stripe, self.since) if is_known_since(self.since) else None
            known = {"users": changed if changed is not None and len(changed) <= MOST_SINGLY else None}
            self.scratch.set("chosen", known)
        return known["users"]  # type: ignore[no-any-return]

    def _read(self, users: list[str] | None, progress: Progress) -> None:
        if users is not None:
            read_accounts(self.stripe, self.scratch, users, _counter("Reading Stripe", 0, len(users), progress))
            return
        if self.payments_since is None:
            usual = datetime.now(UTC) - timedelta(days=DAYS_OF_PAYMENTS)
            since = int(min(usual, self.since or usual).timestamp())
            self.scratch.set("payments_since", max(since, OLDEST))
        since = self.scratch.get("payments_since")
        read_all(self.stripe, self.scratch, since, _counter("Reading Stripe", 0, None, progress))

    def _read_invoices(self, progress: Progress) -> None:
        """Of each suspect who needs them, or all at once where these are many."""
        if self.scratch.get("invoices"):
            return
        sql = (
            "SELECT customer FROM suspects WHERE state = 'new' AND (needs LIKE '%invoices%' OR needs LIKE '%reversed%')"
        )
        wanted = {customer for (customer,) in self.scratch.db.execute(sql) if customer}
        if len(wanted) >= max(INVOICES_LISTED_FROM, self._pages_of_invoices()):
            read_lists(
                self.stripe, self.scratch, [INVOICES], advance=_counter("Reading invoices", 0, None, progress),
                sorted_out=lambda invoice: invoice.get("customer") not in wanted,
            )  # fmt: skip
            self.scratch.set("invoices", True)
            return
        advance = _counter("Reading invoices", 0, len(wanted), progress)
        left = sorted(customer for customer in wanted if not self.scratch.get(f"invoices:{customer}"))
        for customer, invoices in zip(left, at_once(self._invoices_of, left), strict=True):
            self.scratch.keep("invoice", invoices)
            self.scratch.set(f"invoices:{customer}", True)
            advance(1)

    def _pages_of_invoices(self) -> float:
        """About as many as it takes to list all: one invoice a month of each subscription."""
        sql = "SELECT total((? - created) / 2629746.0 + 1) / 100 FROM objects WHERE kind = 'subscription'"
        return float(self.scratch.db.execute(sql, [datetime.now(UTC).timestamp()]).fetchone()[0])

    def _invoices_of(self, customer: str) -> list[dict[str, Any]]:
        return list(self.stripe.list(INVOICES.path, customer=customer, **INVOICES.params))

    def repair(self, *, by: Actor, progress: Progress = silent, **audit_metadata: Any) -> None:
        """Mend what `find` named. Where STRIPE_EFFECTS is `observe`, and in a dry run, nothing."""
        if not self.wish.writes:
            return
        total = self.scratch.count("wrong") + self.scratch.count("writing")
        snapshot = Snapshot(self.stripe, self.scratch, is_whole=self.payments_since is not None)
        advance = _counter("Mending", 0, total, progress)
        repairing.repair(self.scratch, snapshot, by=by, advance=advance, **audit_metadata)

    def differences(self) -> Iterator[Difference]:
        """All of them, with what was done: repaired, left, gone; found, where nothing was to be written."""
        for each in self.scratch.differences():
            yield each._replace(action=_SAID.get(each.action, each.action))


_SAID = {REPAIR: FOUND, "leave": "left"}


def _counter(step: str, done: int, total: int | None, progress: Progress) -> Callable[[int], None]:
    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(step, done, total)

    return advance


def _identity(wish: Wish) -> str:
    database = connections[OMNICHAT].settings_dict
    words = [
        str(database["NAME"]), str(database.get("OPTIONS", {}).get("api_base", "")), settings.STRIPE_SECRET_KEY,
        settings.STRIPE_API_BASE, wish.users, _distance(wish.since), wish.dry_run, settings.STRIPE_EFFECTS,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:24]


def _distance(since: datetime | None) -> str:
    """The same for 12 hours ago and, some minutes later, for 12 hours ago."""
    if since is None:
        return ""
    hours = round((datetime.now(UTC) - since) / timedelta(hours=1))
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} d"
