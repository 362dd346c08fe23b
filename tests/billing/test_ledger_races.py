"""The ledger under writers at once, lost answers and kills: nothing lost, nothing doubled."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from billing import allowance
from billing.allowance import give_allowances
from billing.ledger import Entry, Short, State, foresee, post
from billing.models import TransactionType as Type
from billing.stripe_accounts import read_account
from omniops.environment import sqlite

ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"
ROOT = Path(__file__).resolve().parent.parent.parent
USERS = [f"user_{number}" for number in range(5)]

WRITER = """
import sys, django
django.setup()
from billing.ledger import Entry, post
from billing.models import TransactionType as Type
print("ready", flush=True)
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    post([Entry(f"grant:{number}", f"user_{number % 5}", Type.BONUS, number + 1)], by="writer")
print("done", flush=True)
"""

# Tells of each portion of users, and waits until it is told to go on.
RESET = """
import sys, django
django.setup()
from datetime import date
from billing import allowance
allowance.PORTION = 7
def advance(users):
    print(users, flush=True)
    sys.stdin.readline()
print("ready", flush=True)
allowance.give_allowances(date(2026, 11, 22), by="killed", advance=advance)
"""


@pytest.fixture
def file(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """OmniChat's database is a file with five users, as for several processes."""
    usual = connections["omnichat"], connections.settings["omnichat"]
    path = tmp_path / "omnichat.sqlite3"
    connections.settings["omnichat"] = connections.configure_settings({"default": {}, "omnichat": sqlite(path)})[
        "omnichat"
    ]
    connections["omnichat"] = connections.create_connection("omnichat")
    with django_db_blocker.unblock():
        call_command("migrate_database", "--json", skip_checks=True, stdout=io.StringIO())
        make_users()
        yield path
        connections["omnichat"].close()
    connections["omnichat"], connections.settings["omnichat"] = usual


def make_users() -> None:
    rows("INSERT INTO users (id, email) SELECT value, value FROM json_each(%s)", json.dumps(USERS))


def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params) or None)
        return list(cursor.fetchall()) if cursor.description else []


def assert_books_agree() -> None:
    balances = dict(rows("SELECT user_id, total_balance FROM user_battery"))
    last: dict[str, int] = {}
    for user, amount, after in rows("SELECT user_id, amount, balance_after FROM battery_transactions ORDER BY rowid"):
        assert after == last.get(user, 0) + amount
        last[user] = after
    assert last == balances
    ((entries, audited),) = rows(
        "SELECT (SELECT count(*) FROM battery_transactions), (SELECT count(*) FROM audit_logs)"
    )
    assert entries == audited


def mixed(seed: int) -> list[list[Entry]]:
    """Calls of one to four entries. Seeds share many causes, so that two of them meet at the same one."""
    rng, calls = random.Random(seed), []
    for _ in range(25):
        numbers = rng.sample(range(80), rng.randint(1, 4))
        calls.append([
            Entry(f"cause:{n}", USERS[n % 5], Type.REFUND, 40 - n if n != 40 else 7, short=list(Short)[n % 3])
            for n in numbers
        ])  # fmt: skip
    return calls


def at_once(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections["omnichat"].close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def race() -> None:
    posted: list[str] = []

    def work(seed: int) -> Callable[[], None]:
        def run() -> None:
            for call in mixed(seed):
                posted.extend(outcome.entry.id for outcome in post(call, by="racer") if outcome.is_posted)

        return run

    at_once(*(work(seed) for seed in range(4)))
    assert len(posted) == len(set(posted)) == rows("SELECT count(*) FROM battery_transactions")[0][0]
    assert_books_agree()


def test_threads_at_once_keep_the_books_of_a_file(file: Path):
    race()


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
@pytest.mark.django_db
def test_threads_at_once_keep_the_books_of_d1():
    make_users()
    race()


def writer(file: Path, first: int, end: int, program: str = WRITER) -> subprocess.Popen[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDFLARE", "D1_"))}
    environment = {**bare, "OMNICHAT_DATABASE_URL": f"sqlite:///{file}", "DJANGO_SETTINGS_MODULE": "omniops.settings"}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(first), str(end)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once_post_each_cause_once(file: Path):
    writers = [writer(file, 0, 60), writer(file, 0, 60)]
    assert [process.communicate(timeout=600)[0].split()[-1] for process in writers] == ["done", "done"]
    assert rows("SELECT count(*), sum(amount) FROM battery_transactions") == [(60, 60 * 61 // 2)]
    assert_books_agree()


def test_a_kill_at_any_moment_leaves_no_half_entry(file: Path):
    for attempt in range(3):
        process = writer(file, 0, 2000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.03 + 0.11 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert_books_agree()
    done = rows("SELECT count(*) FROM battery_transactions")[0][0]
    assert post([Entry("grant:0", "user_0", Type.BONUS, 1)], by="again")[0].state in (State.POSTED, State.REPEATED)
    assert rows("SELECT count(*) FROM battery_transactions")[0][0] == max(done, 1)


def control(method: str, path: str, **body: Any) -> Any:
    """A word to the D1 engine that the tests run on."""
    options = settings.DATABASES["omnichat"]["OPTIONS"]
    request = urllib.request.Request(
        f"{options['api_base'].removesuffix('/client/v4')}/__standin__/{path}",
        json.dumps(body).encode() if body else None,
        {"Authorization": "Bearer x", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def fault() -> Iterator[Callable[..., Any]]:
    yield lambda name, **options: control("POST", "faults", name=name, **options)
    control("DELETE", "faults")


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["cut_after", "error_before"])
def test_answers_lost_at_a_fifth_lose_and_double_nothing(fault: Callable[..., Any], name: str):
    make_users()
    fault(name, probability=0.2, match="INSERT INTO battery_transactions")
    for number in range(40):
        (outcome,) = post([Entry(f"grant:{number}", USERS[number % 5], Type.BONUS, 3)], by="alice")
        assert outcome.is_posted
    assert rows("SELECT count(*), sum(amount) FROM battery_transactions") == [(40, 120)]
    assert_books_agree()


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
@pytest.mark.django_db
def test_what_only_reads_is_sent_again_when_its_answer_is_lost(fault: Callable[..., Any]):
    make_users()
    for name in ("cut_after", "error_before"):
        fault(name, count=1)
        assert [row["id"] for row in read_account(None, "user_1").users] == ["user_1"]
        fault(name, count=1)
        (outcome,) = foresee([Entry("grant:1", "user_1", Type.BONUS, 3)])
        assert outcome.is_posted


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
@pytest.mark.django_db
def test_writers_at_once_with_lost_answers_keep_the_books(fault: Callable[..., Any]):
    make_users()
    fault("cut_after", probability=0.2, match="INSERT INTO battery_transactions")
    race()


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
@pytest.mark.django_db
def test_a_call_is_one_request(django_assert_num_queries: Any):
    make_users()
    usage = connections["omnichat"].usage
    usage.reset()
    post([Entry("grant:1", "user_1", Type.BONUS, 3)], by="alice")
    assert usage.requests == 1
    post([Entry(f"grant:{user}:{n}", user, Type.BONUS, 3) for user in USERS for n in range(3)], by="alice")
    assert usage.requests == 2


def test_a_reset_that_was_killed_midway_is_finished_by_two_at_once(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowance, "PORTION", 7)
    rows("INSERT INTO users (id, email) SELECT 'many_' || value, value FROM json_each(%s)", json.dumps(list(range(60))))
    rows("INSERT INTO user_subscriptions (id, user_id, plan_id, status) SELECT id, id, 'power', 'active' FROM users")
    killed = writer(file, 0, 0, RESET)
    assert killed.stdin is not None
    assert killed.stdout is not None
    assert [killed.stdout.readline() for _ in range(2)] == ["ready\n", "7\n"]
    for _ in range(2):
        killed.stdin.write("go on\n")
        killed.stdin.flush()
        assert killed.stdout.readline() == "7\n"
    killed.kill()
    killed.communicate()
    assert rows("SELECT count(*), sum(total_balance) FROM user_battery") == [(21, 21 * 1500)]
    assert_books_agree()
    credited: list[int] = []
    at_once(*[lambda: credited.append(give_allowances(date(2026, 11, 22), by="test").credited)] * 3)
    assert sum(credited) == 65 - 21
    assert rows("SELECT DISTINCT total_balance, last_daily_reset FROM user_battery") == [(1500, "2026-11-22")]
    assert rows("SELECT count(*) FROM battery_transactions") == [(65,)]
    assert_books_agree()
