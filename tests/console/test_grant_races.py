"""Grants at the same moment, and after a kill -9: both databases are files, as for several processes."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connections

from console import grant_expiry, grant_reversal, grants
from console.grants import GrantRefused, Wish, apply, approve, decide
from console.models import Grant
from console.roles import BILLING, SUPPORT
from omniops.environment import sqlite

pytestmark = pytest.mark.skipif(settings.DATABASES["omnichat"]["ENGINE"] == "d1", reason="of SQLite files")
ROOT = Path(__file__).resolve().parent.parent.parent
LATER = date(2999, 1, 2)
USERS = [f"u{n}" for n in range(8)]

# A process that dies by SIGKILL when it comes to a step: argv are the module, the function, before or after, its turn.
DYING = """
import os, signal, sys, importlib
import django
django.setup()
module, name, side, turn = importlib.import_module(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
real, calls = getattr(module, name), [0]
def step(*args, **kwargs):
    calls[0] += 1
    if calls[0] == turn and side == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = real(*args, **kwargs)
    if calls[0] == turn:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(module, name, step)
"""
GRANTING = """
from console import grant_bulk
from console.models import GrantBulk
grant_bulk.PORTION = 3
grant_bulk.work_off(GrantBulk.objects.get(), 0, lambda done: None)
"""
REVERSING = """
from django.contrib.auth.models import User
from console.grant_reversal import reverse
from console.models import Grant
reverse(Grant.objects.get(), 60, by=User.objects.get(username="bob"), text="x")
"""
EXPIRING = """
from datetime import date
from console.grant_expiry import expire
expire(date(2999, 1, 2))
"""


def swap(alias: str, path: Path) -> None:
    config = connections.configure_settings({"default": {}, alias: sqlite(path)})
    connections.settings[alias] = config[alias]
    connections[alias] = connections.create_connection(alias)


@contextmanager
def on_files(folder: Path, django_db_blocker: Any) -> Iterator[None]:
    usual = {alias: (connections[alias], connections.settings[alias]) for alias in ("default", "omnichat")}
    for alias in usual:
        swap(alias, folder / f"{alias}.sqlite3")
    try:
        with django_db_blocker.unblock():
            yield
            for alias in usual:
                connections[alias].close()
    finally:
        for alias, (connection, config) in usual.items():
            connections[alias], connections.settings[alias] = connection, config


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Path:
    """Both databases with staff and users, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with on_files(folder, django_db_blocker):
        call_command("setup_database", "--json", skip_checks=True, stdout=io.StringIO(), stderr=io.StringIO())
        for name, role in (("alice", SUPPORT), ("bob", BILLING), ("carol", BILLING)):
            User.objects.create_user(name, is_staff=True).groups.add(Group.objects.get(name=role))
        rows("INSERT INTO users (id, email) SELECT value, value FROM json_each(%s)", json.dumps(USERS))
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with on_files(tmp_path, django_db_blocker):
        yield tmp_path


def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params) or None)
        return list(cursor.fetchall()) if cursor.description else []


def assert_books_agree() -> None:
    given = dict(rows("SELECT user_id, sum(amount) FROM battery_transactions GROUP BY 1"))
    assert given == dict(rows("SELECT user_id, total_balance FROM user_battery"))
    entries = {id for (id,) in rows("SELECT id FROM battery_transactions WHERE id LIKE 'grant:%%'")}
    given_states = (Grant.State.APPLIED, Grant.State.REVERSED)
    assert entries == {grant.entry_id for grant in Grant.objects.filter(state__in=given_states)}


def at_once(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            start.wait(60)
            work()
        except BaseException as failure:
            failures.append(failure)
        finally:
            for alias in ("default", "omnichat"):
                connections[alias].close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def wish(units: int, user: str = "u0", **values: Any) -> Wish:
    return Wish(user, user, units, "goodwill", "x", **values)


def test_grants_at_once_do_not_slip_under_the_limit_of_a_day_together(files: Path) -> None:
    alice = User.objects.get(username="alice")

    def give(user: str) -> Callable[[], None]:
        return lambda: [apply(decide([wish(4_000, user)], by=alice)) for _ in range(2)] and None

    at_once(*(give(user) for user in USERS[:5]))
    assert Grant.objects.filter(state="APPLIED").count() == 5
    assert Grant.objects.filter(state="REQUESTED").count() == 5
    assert_books_agree()


def test_one_form_sent_by_several_at_once_is_one_grant(files: Path) -> None:
    alice = User.objects.get(username="alice")
    at_once(*[lambda: apply(decide([wish(50, key="k")], by=alice)) and None] * 6)
    assert rows("SELECT total_balance FROM user_battery") == [(50,)]
    assert Grant.objects.count() == 1


def test_of_several_who_approve_at_once_one_wins_and_the_others_are_told(files: Path) -> None:
    (grant,) = decide([wish(9_000)], by=User.objects.get(username="alice"))
    won: list[str] = []

    def settle(name: str) -> Callable[[], None]:
        def run() -> None:
            decided = approve([grant.pk], by=User.objects.get(username=name))
            won.extend(name for _ in decided)
            apply([grant])

        return run

    at_once(settle("bob"), settle("carol"), settle("bob"), settle("carol"))
    assert len(won) == 1
    assert Grant.objects.get().decided_by == User.objects.get(username=won[0])
    assert rows("SELECT total_balance FROM user_battery") == [(9_000,)]


def test_of_several_reversals_and_expiries_at_once_the_units_are_taken_once(files: Path) -> None:
    bob = User.objects.get(username="bob")
    for user in USERS:
        apply(decide([wish(100, user, expires_on="2999-01-01")], by="operator"))
    taken: list[int] = []

    def reverse_all() -> None:
        for grant in Grant.objects.order_by("user_id"):
            try:
                taken.append(grant_reversal.reverse(grant, 60, by=bob, text="x"))
            except GrantRefused:
                continue

    def expire_all() -> None:
        taken.append(grant_expiry.expire(LATER).units)

    at_once(reverse_all, reverse_all, expire_all, expire_all)
    grant_expiry.expire(LATER)
    assert rows("SELECT DISTINCT total_balance FROM user_battery") == [(0,)]
    for grant in Grant.objects.all():
        assert (grant.reversed_units or 0) + (grant.expired_units or 0) == 100
    assert_books_agree()


def die(files: Path, program: str, *where: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDFLARE", "D1_"))}
    urls = {
        "CONSOLE_DATABASE_URL": f"sqlite:///{files / 'default.sqlite3'}",
        "OMNICHAT_DATABASE_URL": f"sqlite:///{files / 'omnichat.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "omniops.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", DYING + program, *where], cwd=ROOT, env={**bare, **urls}, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


STEPS = [
    ("console.grants", "_decided", "before", "5"),
    ("console.grants", "_decide", "after", "2"),
    ("console.grants", "post", "before", "2"),
    ("console.grants", "post", "after", "2"),
    ("console.grants", "_close", "before", "2"),
    ("console.grants", "_close", "after", "2"),
]


@pytest.mark.parametrize("where", STEPS, ids=lambda step: f"{step[2]} {step[1]}")
def test_a_kill_between_any_steps_of_a_bulk_then_the_same_again_grants_once(
    files: Path, where: tuple[str, ...]
) -> None:
    from console import grant_bulk
    from console.models import GrantBulk

    held = [{"row": n, "user_id": user, "email": user, "units": 10 + n, "text": "x"} for n, user in enumerate(USERS)]
    bulk = GrantBulk.objects.create(rows=held, category="outage", made_by=User.objects.get(username="alice"))
    die(files, GRANTING, *where)
    assert grant_bulk.work_off(bulk, 0, lambda done: None)["granted"] == 8
    assert dict(rows("SELECT user_id, total_balance FROM user_battery")) == {u: 10 + n for n, u in enumerate(USERS)}
    assert_books_agree()


@pytest.mark.parametrize(
    ("module", "step", "side"),
    [
        ("console.grant_reversal", "_decide_reversal", "after"),
        ("console.grant_reversal", "post", "after"),
        ("console.grant_reversal", "_post_reversals", "after"),
    ],
)
def test_a_kill_between_any_steps_of_a_reversal_takes_the_units_once(
    files: Path, module: str, step: str, side: str
) -> None:
    apply(decide([wish(100)], by="operator"))
    die(files, REVERSING, module, step, side, "1")
    Grant.objects.update(reversal_at="2026-01-01T00:00:00Z")
    grant_reversal.resume()
    grant = Grant.objects.get()
    assert (grant.state, grant.reversed_units) == ("REVERSED", 60)
    assert rows("SELECT total_balance FROM user_battery") == [(40,)]
    assert_books_agree()


@pytest.mark.parametrize(("step", "side"), [("_decide_expiries", "after"), ("post", "after"), ("_close", "after")])
def test_a_kill_between_any_steps_of_an_expiry_takes_the_units_once(files: Path, step: str, side: str) -> None:
    apply(decide([wish(100, expires_on="2999-01-01")], by="operator"))
    die(files, EXPIRING, "console.grant_expiry", step, side, "1")
    grant_expiry.expire(LATER)
    assert Grant.objects.get().expired_units == 100
    assert rows("SELECT total_balance FROM user_battery") == [(0,)]
    assert_books_agree()


def test_a_grant_killed_after_its_decision_is_resumed_and_what_waits_is_not(files: Path) -> None:
    alice = User.objects.get(username="alice")
    decide([wish(100), wish(9_000)], by=alice)
    Grant.objects.update(requested_at="2026-01-01T00:00:00Z")
    Grant.objects.filter(state="APPROVED").update(decided_at="2026-01-01T00:00:00Z")
    at_once(*[lambda: grants.resume() and None] * 4)
    assert rows("SELECT total_balance FROM user_battery") == [(100,)]
    assert sorted(Grant.objects.values_list("state", flat=True)) == ["APPLIED", "REQUESTED"]
