"""What the processes of the proofs do: entries of all kinds, grants, imports and resets, killed and run again.

    python -m tests.proof.works prepare                   users, subscriptions, and all tables
    python -m tests.proof.works race SEED FIRST LAST      posts the causes of these numbers, in an order of its own
    python -m tests.proof.works kill TIMES SEED NAME...   begins works, kills each, runs it again, and looks
    python -m tests.proof.works lose TIMES NAME...        runs works again while the database's answers are lost
    python -m tests.proof.works check                     what is wrong

The environment names the databases. Each prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from billing import allowance  # noqa: E402
from billing.ledger import Entry, post  # noqa: E402
from billing.ledger_audit import audit_ledgers  # noqa: E402
from billing.models import TransactionType as Type  # noqa: E402
from chat.resources import UserResource  # noqa: E402
from d1.errors import OutcomeUnknown  # noqa: E402
from d1.rate import budget  # noqa: E402
from database import import_writes, imports  # noqa: E402
from database.import_files import Given, Table  # noqa: E402

# The engine of the proofs limits no rate.
budget.limit = 10**9
USERS = [f"user_{number:02}" for number in range(50)]
#: Comparisons with calls are no matter of these entries, which no call made.
OF_CALLS = ("usage", "summary")


def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params) or None)
        return list(cursor.fetchall()) if cursor.description else []


def prepare() -> dict[str, Any]:
    call_command("migrate_database", "--json", skip_checks=True, stdout=io.StringIO())
    call_command("migrate", verbosity=0, skip_checks=True)
    users = json.dumps(USERS)
    rows("INSERT INTO users (id, email) SELECT value, value || '@example.com' FROM json_each(%s)", users)
    rows("INSERT INTO user_subscriptions (id, user_id, plan_id, status) SELECT id, id, 'power', 'active' FROM users")
    return {"users": len(USERS)}


# Entries of all kinds


def cause(number: int) -> Entry:
    """The entry of a number, always the same: any process that posts it posts this."""
    user, units, id = USERS[number * 7 % len(USERS)], number % 97 + 1, f"cause:{number}"
    kinds = (
        Entry(id, user, Type.PURCHASE, units, payment_intent=f"pi_{number}"),
        Entry(id, user, Type.SUBSCRIPTION, units * 3, metadata={"invoice": f"in_{number}"}),
        Entry(id, user, Type.BONUS, units),
        Entry(id, user, Type.BONUS, -units, metadata={"grant": str(number)}),
        Entry(id, user, Type.REFUND, units),
        Entry(id, user, Type.REFUND, -units * 4),
        Entry(id, user, Type.USAGE, -units),
    )
    return kinds[number % len(kinds)]


def race(seed: str, first: str, last: str) -> dict[str, Any]:
    """Calls of one to forty entries, and a reset among them now and then."""
    rng = random.Random(seed)
    numbers = list(range(int(first), int(last)))
    rng.shuffle(numbers)
    told: Counter[str] = Counter()
    posted: list[str] = []
    while numbers:
        call = [cause(numbers.pop()) for _ in range(min(rng.randint(1, 40), len(numbers)))]
        for outcome in post(call, by=f"racer {seed}"):
            told[outcome.state.value] += 1
            posted += [outcome.entry.id] if outcome.is_posted else []
        if rng.random() < 0.05:
            allowance.give_allowances(date(2026, 11, rng.randint(1, 5)), by=f"racer {seed}")
    return {"posted": posted, "states": told}


# Works that are killed


@dataclass(frozen=True)
class Work:
    """`run(round)` may be killed and run again. `whole(round)` is what is wrong once it has run to its end."""

    run: Callable[[int], Any]
    whole: Callable[[int], list[str]]


def bulk(round: int) -> None:
    entries = [Entry(f"bulk:{round}:{n}", USERS[n % 40], Type.BONUS, n + 1) for n in range(120)]
    for start in range(0, len(entries), 20):
        post(entries[start : start + 20], by="proof")


def bulk_whole(round: int) -> list[str]:
    found = rows("SELECT count(*), sum(amount) FROM battery_transactions WHERE id LIKE %s", f"bulk:{round}:%")
    return wrong("entries of the bulk", found, [(120, 120 * 121 // 2)])


def day_of(round: int) -> date:
    return date(2020, 1, 1) + timedelta(days=round)


def reset(round: int) -> None:
    allowance.PORTION = 10
    allowance.give_allowances(day_of(round), by="proof")


def reset_whole(round: int) -> list[str]:
    day = str(day_of(round))
    found = rows("SELECT count(*), sum(amount) FROM battery_transactions WHERE id LIKE %s", f"allowance:%:{day}")
    moved = rows("SELECT DISTINCT last_daily_reset FROM user_battery")
    return [*wrong("allowances", found, [(50, 50 * 1500)]), *wrong("last resets", moved, [(day,)])]


def bring_in(round: int) -> None:
    """An import of names, in transactions of ten rows."""
    imports.BATCH = import_writes.BATCH = 10
    given = [Given(n + 2, {"id": USERS[n], "name": f"Name {round}.{n}."}) for n in range(40)]
    found = imports.preview(UserResource, Table(["id", "name"], given), "names.csv", may_add=False)
    import_writes.write_import(UserResource, found, by="proof")


def bring_in_whole(round: int) -> list[str]:
    named = rows("SELECT count(*) FROM users WHERE name LIKE %s", f"Name {round}.%")
    told = rows("SELECT count(*) FROM audit_logs WHERE instr(metadata ->> '$.after.name', %s) = 1", f"Name {round}.")
    return [*wrong("names", named, [(40,)]), *wrong("entries of the audit log", told, [(40,)])]


def grant(round: int) -> None:
    for number in range(4):
        words = [USERS[number], "7", "--reason", "proof", "--key", f"proof-{round}-{number}"]
        call_command("grant_battery", *words, "--json", skip_checks=True, stdout=io.StringIO())


def grant_whole(round: int) -> list[str]:
    from console.models import Grant

    grants = Grant.objects.filter(key__startswith=f"command:proof-{round}-")
    ids = json.dumps([f"grant:{grant.pk}" for grant in grants])
    found = rows(
        "SELECT count(*), sum(amount) FROM battery_transactions WHERE id IN (SELECT value FROM json_each(%s))", ids
    )
    states = sorted({str(grant.state).lower() for grant in grants})
    return [*wrong("entries of grants", found, [(4, 28)]), *wrong("states of grants", states, ["applied"])]


def grant_file(round: int) -> None:
    """A file of grants, worked off from its first row, as a job does that lost its place."""
    from console import grant_bulk

    grant_bulk.work_off(bulk_of(round, f"round-{round}.csv"), 0, lambda done: None)


def grant_file_whole(round: int) -> list[str]:
    return granted_whole(f"round-{round}.csv")


def granted_whole(name: str) -> list[str]:
    from console.models import Grant

    given = Grant.objects.filter(bulk__file_name=name)
    ids = json.dumps([f"grant:{grant.pk}" for grant in given])
    ours = "id IN (SELECT value FROM json_each(%s))"
    found = rows(f"SELECT count(*), count(DISTINCT user_id), sum(amount) FROM battery_transactions WHERE {ours}", ids)
    states = sorted({str(grant.state) for grant in given})
    return [*wrong("grants of the file", found, [(40, 40, 200)]), *wrong("their states", states, ["APPLIED"])]


def person() -> Any:
    from django.contrib.auth.models import User

    settings.GRANT_LIMITS = {"Proof": {"grant": None, "day": None, "recipient": None}}
    return User.objects.get_or_create(username="proof", defaults={"is_superuser": True, "is_staff": True})[0]


def bulk_of(round: int, name: str) -> Any:
    """A previewed file of forty grants, to be granted in portions of ten."""
    from console import grant_bulk
    from console.models import GrantBulk

    grant_bulk.PORTION = 10
    by = person()
    bulk = GrantBulk.objects.filter(file_name=name).first()
    if bulk is None:
        content = "user,units,reason\n" + "".join(f"{user},5,{name} {round}\n" for user in USERS[:40])
        options: dict[str, Any] = {"category": "test", "text": "", "ticket": "", "expires_on": None}
        bulk, _ = grant_bulk.preview_file(name, content.encode(), by=by, **options)
    return bulk


def grant_job(round: int) -> None:
    """A confirmed file, worked off by the runner of jobs, which takes up what a killed worker left."""
    from django.utils import timezone
    from django_tasks_db.models import DBTaskResult

    from console import grant_bulk, jobs
    from console.job_queue import reap

    job = grant_bulk.confirm(bulk_of(round, f"job-{round}.csv"), by=person())
    reap(timedelta(seconds=-1))
    jobs.work_off()
    # After trouble of a database it waits for some seconds.
    while jobs.Job.objects.filter(pk=job.pk, state="queued").exists():
        DBTaskResult.objects.update(run_after=timezone.now())
        jobs.work_off()


def grant_job_whole(round: int) -> list[str]:
    from console.models import Job

    states = sorted(Job.objects.filter(title=f"Grants of job-{round}.csv").values_list("state", flat=True))
    return [*wrong("states of the job", states, ["done"]), *granted_whole(f"job-{round}.csv")]


def take_back(round: int) -> None:
    """Eight grants, of which three are reversed in part and all expire."""
    from console import grant_expiry, grant_reversal, grants
    from console.models import Grant

    by, day, names = person(), day_of(round), [f"back-{round}-{n}" for n in range(8)]
    wishes = [grants.Wish(USERS[n], "", 10, "test", "proof", key=name, expires_on=day) for n, name in enumerate(names)]
    grants.apply(grants.decide(wishes, by=by))
    grant_reversal.RESUMED_AFTER = timedelta(0)
    grant_reversal.resume()
    for each in Grant.objects.filter(key__in=names[:3], reversal_units=None):
        grant_reversal.reverse(each, 4, by=by, text="proof")
    grant_expiry.expire(day + timedelta(days=1))


def take_back_whole(round: int) -> list[str]:
    from console.models import Grant

    given = list(Grant.objects.filter(key__startswith=f"back-{round}-").order_by("key"))
    causes = [f"{cause}:{grant.pk}" for grant in given for cause in ("grant", "grant-reversal", "grant-expiry")]
    units = rows(
        "SELECT count(*), sum(amount) FROM battery_transactions WHERE id IN (SELECT value FROM json_each(%s))",
        json.dumps(causes),
    )
    ended = [(grant.reversed_units, grant.expired_units) for grant in given]
    expected = [(4, 6)] * 3 + [(None, 10)] * 5
    return [*wrong("entries of grants and their ends", units, [(19, 0)]), *wrong("ends", ended, expected)]


WORKS = {
    "take back": Work(take_back, take_back_whole),
    "grant job": Work(grant_job, grant_job_whole),
    "grant file": Work(grant_file, grant_file_whole),
    "bulk": Work(bulk, bulk_whole),
    "reset": Work(reset, reset_whole),
    "import": Work(bring_in, bring_in_whole),
    "grant": Work(grant, grant_whole),
}


def wrong(what: str, found: Any, expected: Any) -> list[str]:
    return [] if found == expected else [f"{what}: expected {expected}, found {found}"]


def books() -> list[str]:
    """What is wrong with the books at this moment, all read by one statement."""
    ((links, sums, audited, halves),) = rows("""
        WITH t AS MATERIALIZED (SELECT id, user_id, amount, balance_after,
            lag(balance_after, 1, 0) OVER (PARTITION BY user_id ORDER BY rowid) AS before FROM battery_transactions)
        SELECT (SELECT count(*) FROM t WHERE balance_after <> before + amount),
          (SELECT count(*) FROM (SELECT user_id, sum(amount) AS total FROM t GROUP BY 1) s
            LEFT JOIN user_battery b USING (user_id) WHERE b.total_balance IS NOT s.total),
          (SELECT count(*) FROM audit_logs WHERE resourceType = 'battery_transactions') - (SELECT count(*) FROM t),
          (SELECT count(*) FROM users WHERE name LIKE 'Name %%')
            - (SELECT count(DISTINCT resourceId) FROM audit_logs WHERE metadata ->> '$.after.name' LIKE 'Name %%')
    """)
    found = {"links broken": links, "balances wrong": sums, "entries without audit": audited, "half imports": halves}
    return [f"{what}: {number}" for what, number in found.items() if number]


def in_child(work: Callable[[], Any]) -> int:
    """Run in a process of its own, which has no connection yet; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        problems = work() or []
        for problem in problems:
            print(problem, file=sys.stderr)
        code = 3 if problems else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(child: int, what: str) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise SystemExit(f"{what}: ended with {code}; what is wrong stands above.")


def kill(times: str, seed: str, *names: str) -> dict[str, Any]:
    """Each work is killed before its end so many times, at moments spread over the time that it takes."""
    rng = random.Random(seed)
    rounds: Counter[str] = Counter()
    for name in names:
        # The first takes longer than the others will.
        finish(in_child(lambda name=name: WORKS[name].run(-1)), f"the first {name}")  # type: ignore[misc]
        began = time.monotonic()
        finish(in_child(lambda name=name: WORKS[name].run(0)), f"the second {name}")  # type: ignore[misc]
        took, killed = time.monotonic() - began, 0
        while killed < int(times):
            rounds[name] += 1
            killed += _killed_and_run_again(WORKS[name], rounds[name], rng.uniform(0, took))
    return {"killed": int(times) * len(names), "rounds": rounds}


def _killed_and_run_again(work: Work, round: int, after: float) -> bool:
    child = in_child(lambda: work.run(round))
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    finish(in_child(books), f"after kill {round}")
    finish(in_child(lambda: work.run(round)), f"run {round} again")
    finish(in_child(lambda: [*books(), *work.whole(round)]), f"after run {round} again")
    return killed


def lose(times: str, *names: str) -> dict[str, Any]:
    """Whoever is told that the outcome is unknown does the same again; how often that was."""
    again: Counter[str] = Counter()
    for name in names:
        for round in range(1, int(times) + 1):
            again[name] += _until_it_is_known(WORKS[name], round)
            if problems := [*books(), *WORKS[name].whole(round)]:
                raise SystemExit(f"after round {round} of {name}: {problems}")
    return {"again": again}


def _until_it_is_known(work: Work, round: int) -> int:
    for tries in range(100):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                work.run(round)
        except OutcomeUnknown:
            continue
        except SystemExit as end:
            # A command says it in a sentence.
            print(end, file=sys.stderr)
        else:
            return tries
    raise SystemExit("A hundred times nobody knew.")


def check() -> dict[str, Any]:
    audit = audit_ledgers()
    drift = [str(finding) for finding in audit.drift if finding.kind not in OF_CALLS]
    posted = [id for (id,) in rows("SELECT id FROM battery_transactions WHERE id LIKE 'cause:%%'")]
    days = rows("SELECT count(*), count(DISTINCT id) FROM battery_transactions WHERE id LIKE 'allowance:%%'")
    return {"books": books(), "drift": drift, "rows": audit.rows, "posted": sorted(posted), "allowances": days[0]}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": prepare, "race": race, "kill": kill, "lose": lose, "check": check,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
