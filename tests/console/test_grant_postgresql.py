"""Grants with the console's tables on PostgreSQL, where two transactions run at once, not one after the other."""

from __future__ import annotations

from collections.abc import Callable

# Threads that begin together, each with connections of its own.
AT_ONCE = """
import json, threading
from datetime import date
from django.contrib.auth.models import Group, User
from django.db import connections
from console import grant_bulk, grant_expiry, grant_reversal, grants, jobs
from console.grants import GrantRefused, Wish
from console.models import Grant, GrantBulk
from chat.models import User as Account
from billing.models import BatteryTransaction, UserBattery
from django.conf import settings

assert connections["default"].vendor == "postgresql"
settings.GRANT_LIMITS = dict.fromkeys(("Support", "Billing"), {"grant": 5000, "day": 20000, "recipient": None})
for name, role in (("alice", "Support"), ("bob", "Billing"), ("carol", "Billing")):
    User.objects.create_user(name, is_staff=True).groups.add(Group.objects.get(name=role))
Account.objects.bulk_create([Account(id=f"u{n}", email=f"u{n}@example.com") for n in range(8)])
alice = User.objects.get(username="alice")

def at_once(*works):
    start, found, failures = threading.Barrier(len(works)), [None] * len(works), []
    def run(n):
        try:
            start.wait(60)
            found[n] = works[n]()
        except GrantRefused as refused:
            found[n] = refused
        except BaseException as failure:
            failures.append(repr(failure))
        finally:
            connections.close_all()
    threads = [threading.Thread(target=run, args=[n]) for n in range(len(works))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures, failures
    return found

def books():
    total = sum(BatteryTransaction.objects.values_list("amount", flat=True))
    assert total == sum(UserBattery.objects.values_list("total_balance", flat=True)), total
    return total
"""
LIMITS = (
    AT_ONCE
    + """
def give(n):
    return lambda: grants.apply(grants.decide([Wish(f"u{n}", "", 4000, "test", "x")], by=alice))
at_once(*(give(n) for n in range(8)))
print(Grant.objects.filter(state="APPLIED").count(), Grant.objects.filter(state="REQUESTED").count(), books())
"""
)
KEYS = (
    AT_ONCE
    + """
def give():
    return grants.apply(grants.decide([Wish("u1", "", 100, "test", "x", key="form:1")], by=alice))
at_once(*[give] * 8)
print(Grant.objects.count(), books())
"""
)
DECISIONS = (
    AT_ONCE
    + """
made = grants.decide([Wish(f"u{n}", "", 9000, "test", "x") for n in range(8)], by=alice)
ids = [grant.pk for grant in made]
bob, carol = (User.objects.get(username=name) for name in ("bob", "carol"))
def approve(by):
    def run():
        found = grants.approve(ids, by=by)
        grants.apply(found)
        return [grant.pk for grant in found]
    return run
def reject(by):
    return lambda: [grant.pk for grant in grants.reject(ids, by=by, text="no")]
found = at_once(approve(bob), approve(carol), reject(bob), reject(carol))
assert sorted(sum(found, [])) == sorted(ids), found
applied = Grant.objects.filter(state="APPLIED").count()
assert books() == 9000 * applied
print(applied + Grant.objects.filter(state="REJECTED").count())
"""
)
ENDINGS = (
    AT_ONCE
    + """
bob = User.objects.get(username="bob")
made = grants.decide([Wish(f"u{n}", "", 100, "test", "x", expires_on=date(2999, 1, 1)) for n in range(8)], by="op")
grants.apply(made)
def reverse(n):
    return lambda: grant_reversal.reverse(Grant.objects.get(pk=made[n].pk), 60, by=bob, text="x")
def expire():
    return grant_expiry.expire(date(2999, 1, 2)).units
at_once(*(reverse(n) for n in range(8)), expire, expire)
expire()
for grant in Grant.objects.all():
    taken = [row.amount for row in BatteryTransaction.objects.filter(user_id=grant.user_id, amount__lt=0)]
    assert sum(taken) == -100, taken
    assert (grant.reversed_units or 0) + (grant.expired_units or 0) == 100, vars(grant)
print(books())
"""
)
BULKS = (
    AT_ONCE
    + """
content = ("user,units,reason\\n" + "".join(f"u{n},5,x\\n" for n in range(8))).encode()
words = {"category": "test", "text": "", "ticket": "", "expires_on": None}
people = [alice, User.objects.get(username="bob")]
bulks = [grant_bulk.preview_file("a.csv", content, by=by, **words)[0] for by in people]
at_once(*(lambda b=b, by=by: grant_bulk.confirm(b, by=by) for b, by in zip(bulks, people) for _ in range(2)))
at_once(*[jobs.work_off] * 4)
print(*sorted(jobs.Job.objects.values_list("state", flat=True)), Grant.objects.count(), books())
"""
)


def told(manage: Callable, url: str, script: str) -> list[str]:
    done = manage("setup_database", "--json", CONSOLE_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    done = manage("shell", "-v0", "-c", script, CONSOLE_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).split()


def test_grants_at_once_do_not_slip_under_the_limit_of_a_day_together(
    manage: Callable, postgresql_database: Callable[..., str]
) -> None:
    assert told(manage, postgresql_database(), LIMITS) == ["5", "3", "20000"]


def test_one_form_sent_by_several_at_once_is_one_grant(
    manage: Callable, postgresql_database: Callable[..., str]
) -> None:
    assert told(manage, postgresql_database(), KEYS) == ["1", "100"]


def test_of_several_who_approve_and_reject_at_once_one_wins(
    manage: Callable, postgresql_database: Callable[..., str]
) -> None:
    assert told(manage, postgresql_database(), DECISIONS) == ["8"]


def test_of_reversals_and_expiries_at_once_the_units_are_taken_once(
    manage: Callable, postgresql_database: Callable[..., str]
) -> None:
    assert told(manage, postgresql_database(), ENDINGS) == ["0"]


def test_a_file_that_two_confirm_at_once_grants_once(manage: Callable, postgresql_database: Callable[..., str]) -> None:
    assert told(manage, postgresql_database(), BULKS) == ["done", "done", "8", "40"]
