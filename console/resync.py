"""Resyncs as the console runs them: recorded, as jobs and by the command, with findings that staff work off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from billing.resync.run import MANY, NoSuchUser, Progress, Resync, Wish, silent
from billing.resync.scratch import GOES_ON_SECONDS, Busy, Difference
from billing.stripe_api import StripeTrouble
from console import schedule
from console.jobs import Failure, Run, kind, start
from console.models import Finding, FindingState, Job, ResyncRun, ResyncState, StaffEvent
from console.models.finding import UNSETTLED
from database.router import CONSOLE

KIND = "stripe.resync"
#: What can go wrong with a resync that a person can set right: each has a sentence.
TROUBLE = (StripeTrouble, Busy, NoSuchUser)
_PORTION = 200
_STATES = {
    "repaired": FindingState.REPAIRED,
    "left": FindingState.LEFT,
    "gone": FindingState.GONE,
    "found": FindingState.OPEN,
}


def never(repairs: int) -> bool:
    return False


def perform(
    wish: Wish, *, name: str, by: User | None = None, job: Job | None = None, ask: Callable[[int], bool] = never,
    progress: Progress = silent, tell: Callable[[Difference], None] = lambda difference: None,
) -> ResyncRun:  # fmt: skip
    """Resync, and keep what was found. `ask` is asked before more than `MANY` repairs; `tell` gets each difference.

    Raises those of `TROUBLE`, with the run kept as FAILED, and the database's errors.
    """
    with Resync(wish) as resync:
        run = _record(replace(wish, since=resync.since), name, by, job, goes_on=resync.goes_on)
        try:
            resync.find(progress)
            run.payments_since = resync.payments_since
            may = not wish.writes or resync.repairs <= MANY or ask(resync.repairs)
            if may:
                resync.repair(by=by or name, progress=progress, resync=run.pk)
            _keep(run, resync.differences(), tell)
        except BaseException as problem:
            _close(run, resync, ResyncState.FAILED, str(problem) if isinstance(problem, TROUBLE) else _STOPPED)
            raise
        _close(run, resync, ResyncState.DONE if may else ResyncState.WAITING)
    return run


_STOPPED = "It was stopped before its end. Run it again: it goes on where it stopped."


def _record(wish: Wish, name: str, by: User | None, job: Job | None, *, goes_on: bool) -> ResyncRun:
    """The row of the run; that of an earlier one, where this goes on where that was killed."""
    runs = ResyncRun.objects.using(CONSOLE)
    scope = {"users": sorted(wish.users), "since": wish.since, "dry_run": wish.dry_run}
    unfinished = runs.filter(
        **scope, state__in=(ResyncState.RUNNING, ResyncState.FAILED),
        started_at__gte=timezone.now() - timedelta(seconds=GOES_ON_SECONDS),
    )  # fmt: skip
    run = unfinished.first() if goes_on else None
    if run is None:
        # The lock of the scratch file says that nobody runs the same now; the others were killed, so long ago.
        is_over = Q(**scope) | Q(started_at__lt=timezone.now() - timedelta(days=1))
        runs.filter(is_over, state=ResyncState.RUNNING).update(state=ResyncState.FAILED, error=_STOPPED)
        return runs.create(**scope, by=by, started_by=name[:150], job=job)
    runs.filter(pk=run.pk).update(state=ResyncState.RUNNING, error="", job=job or run.job, ended_at=None)
    return run


def _close(run: ResyncRun, resync: Resync, state: str, error: str = "") -> None:
    run.state, run.error, run.ended_at = state, error, timezone.now()
    run.calls, run.compared = resync.calls, resync.compared
    run.save(using=CONSOLE)


def _keep(run: ResyncRun, differences: Iterable[Difference], tell: Callable[[Difference], None]) -> None:
    """The findings of a run; those of earlier runs that it would have found again, and did not, are gone."""
    kinds: Counter[str] = Counter()
    states: Counter[str] = Counter()
    left = iter(differences)
    while portion := list(islice(left, _PORTION)):
        with transaction.atomic(using=CONSOLE):
            _keep_portion(run, portion)
        for each in portion:
            kinds[each.kind] += 1
            states[each.action] += 1
            tell(each)
    run.kinds, run.differences = dict(kinds.most_common()), kinds.total()
    run.applied, run.left = states["repaired"], states["left"]
    _forget_unseen(run)


def _keep_portion(run: ResyncRun, portion: list[Difference]) -> None:
    known = {
        (each.kind, each.user_id, each.subject): each
        for each in Finding.objects.using(CONSOLE).filter(
            state__in=UNSETTLED, kind__in={each.kind for each in portion}, user_id__in={_user(d) for d in portion}
        )
    }
    new = []
    for each in portion:
        state = _STATES.get(each.action, FindingState.LEFT)
        values = {
            "expected": each.expected, "found": each.found, "reason": each.reason, "state": state, "run": run,
            "last_seen_at": timezone.now(), "paid_at": each.paid_at,
        }  # fmt: skip
        before = known.get((each.kind, _user(each), each.subject[:255]))
        if before is not None:
            Finding.objects.using(CONSOLE).filter(pk=before.pk).update(**values)
        else:
            new.append(Finding(kind=each.kind, user_id=_user(each), subject=each.subject[:255], **values))
    Finding.objects.using(CONSOLE).bulk_create(new)


def _user(difference: Difference) -> str:
    return (difference.user_id or "")[:255]


def _forget_unseen(run: ResyncRun) -> None:
    unseen = Finding.objects.using(CONSOLE).filter(state__in=UNSETTLED, last_seen_at__lt=run.started_at)
    if run.users:
        unseen = unseen.filter(user_id__in=run.users)
    elif run.payments_since:
        # Not looked at this time: a payment of before, which a run that reached back so far has found.
        reached = Q(run__payments_since=None) | Q(run__payments_since__lte=F("paid_at"))
        unseen = unseen.exclude(reached, paid_at__lt=run.payments_since)
    else:
        return
    unseen.update(state=FindingState.GONE)


def looked_at(run: ResyncRun) -> str:
    """Of which payments a run can tell, as a sentence; empty while that is not known."""
    if run.state not in (ResyncState.DONE, ResyncState.WAITING):
        return ""
    if run.payments_since is None:
        return gettext("All payments of these users were looked at, whatever their age.")
    return gettext(
        "Each payment since %(day)s was looked at. Of older ones, packs whose payments name their units were, and the "
        "number of credits for paid periods: for the rest, resync since an earlier day."
    ) % {"day": f"{run.payments_since:%Y-%m-%d}"}


def settle(findings: Iterable[int], note: str, *, by: User) -> int:
    """Mark findings as done by a person, with a note; how many still were unsettled."""
    wanted = Finding.objects.using(CONSOLE).filter(pk__in=list(findings), state__in=UNSETTLED)
    rows = list(wanted)
    done = wanted.update(state=FindingState.DONE, note=note, settled_by=by, settled_at=timezone.now())
    StaffEvent.objects.using(CONSOLE).bulk_create(
        StaffEvent(staff=by, action="finding.done", subject=row.user_id or row.subject, detail={"kind": row.kind})
        for row in rows
    )
    return done


def problems_of(user_id: str) -> Iterator[Finding]:
    """What is unsettled of a user."""
    yield from Finding.objects.using(CONSOLE).filter(user_id=user_id, state__in=UNSETTLED)[:20]


# As a job


def order(wish: Wish, *, by: User | None, confirmed: bool = False) -> Job:
    """Queue a resync. Raises PermissionDenied."""
    about = f"{len(wish.users):,} users" if len(wish.users) > 1 else ", ".join(wish.users) or "all users"
    arguments = {
        "users": list(wish.users),
        "since": wish.since.isoformat() if wish.since else None,
        "dry_run": wish.dry_run,
        "confirmed": confirmed,
    }
    return start(KIND, arguments, by=by, title=f"Resync with Stripe: {about}")


@kind(KIND, title="Resync with Stripe", permission="console.add_resyncrun")
def resync_job(run: Run) -> dict[str, Any]:
    """`users` (none for all), `since`, `dry_run`, and `confirmed` where many repairs are wanted."""
    given = run.arguments
    since = given.get("since")
    wish = Wish(
        tuple(given.get("users") or ()), datetime.fromisoformat(since) if since else None, bool(given.get("dry_run"))
    )

    def progress(step: str, done: int, total: int | None) -> None:
        run.advance(done, total=total, message=f"{step}: {done:,}")

    name = run.actor.get_username() if run.actor else "schedule"
    try:
        done = perform(
            wish, name=name, by=run.actor, job=run.job, progress=progress,
            ask=lambda repairs: bool(given.get("confirmed")),
        )  # fmt: skip
    except TROUBLE as trouble:
        raise Failure(str(trouble)) from trouble
    if done.state == ResyncState.WAITING:
        run.log(f"More than {MANY} differences can be mended: confirm it on the page of resync {done.pk}.")
    return {
        "resync": done.pk, "calls": done.calls, "compared": done.compared, "differences": done.differences,
        "applied": done.applied, "left": done.left,
    }  # fmt: skip


schedule.register(
    "stripe_resync",
    gettext_lazy("Resync with Stripe"),
    KIND,
    at=time(3, 20),
    enabled=bool(settings.STRIPE_SECRET_KEY),
)
