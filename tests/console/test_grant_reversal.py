"""What is left of a grant, and taking it back: by a person once, and when it expires."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, UserBattery
from billing.models import TransactionType as Type
from chat.models import User as Account
from console import grant_expiry, grant_reversal, grants
from console.grant_expiry import expire
from console.grant_remains import Stretch, remains, spend
from console.grant_reversal import reverse
from console.grants import GrantRefused, Wish, apply, decide
from console.models import Grant, StaffEvent
from console.roles import BILLING, SUPPORT
from d1.errors import OutcomeUnknown

pytestmark = pytest.mark.django_db
SOON, LATER = date(2026, 12, 1), date(2026, 12, 31)


@pytest.fixture(autouse=True)
def customer(db: Any) -> None:
    Account.objects.create(id="u1", email="u1@example.com")


@pytest.fixture
def alice(db: Any) -> User:
    user = User.objects.create_user("alice", is_staff=True)
    user.groups.add(Group.objects.get(name=SUPPORT))
    return user


@pytest.fixture
def bob(db: Any) -> User:
    user = User.objects.create_user("bob", is_staff=True)
    user.groups.add(Group.objects.get(name=BILLING))
    return user


def give(units: int, expires_on: date | None = None, by: User | str = "operator") -> Grant:
    (grant,) = decide([Wish("u1", "", units, "goodwill", "x", expires_on=expires_on)], by=by)
    apply([grant])
    grant.refresh_from_db()
    return grant


numbers: Iterator[int] = iter(range(10**9))


def book(amount: int, type: Type = Type.USAGE) -> None:
    post([Entry(f"book:{next(numbers)}", "u1", type, amount)], by="app")


def balance() -> int:
    return UserBattery.objects.get(user_id="u1").total_balance or 0


def left(*grants: Grant) -> list[int]:
    found = remains(grants)
    return [found[grant.pk] for grant in grants]


def test_units_that_expire_are_spent_first_and_the_soonest_before_the_others() -> None:
    book(1_000, Type.PURCHASE)
    forever, later, soon = give(100), give(100, LATER), give(100, SOON)
    book(-150)
    assert left(forever, later, soon) == [100, 50, 0]
    book(-60)
    assert left(forever, later, soon) == [100, 0, 0]


def test_units_that_stay_are_spent_oldest_first() -> None:
    book(100, Type.PURCHASE)
    first = give(50)
    book(70, Type.SUBSCRIPTION)
    second = give(50)
    book(-110)
    assert left(first, second) == [40, 50]
    book(-100)
    assert left(first, second) == [0, 50]
    book(-40)
    assert left(second) == [20]


def test_what_was_spent_before_a_grant_is_not_of_it() -> None:
    first = give(100, SOON)
    book(-100)
    second = give(100, SOON)
    assert left(first, second) == [0, 100]


def test_refunds_and_other_debits_take_nothing_of_a_grant() -> None:
    book(500, Type.PURCHASE)
    grant = give(100, SOON)
    book(-500, Type.REFUND)
    assert left(grant) == [100]


def test_what_is_left_is_what_a_walk_unit_by_unit_leaves() -> None:
    rng = random.Random(4)
    for _ in range(200):
        units: list[tuple[date, int, str]] = [(date.max, -1, "before")] * 3
        stretches, days = [], {}
        for number in range(4):
            name, amount, before = f"grant:{number}", rng.randint(1, 9), len(units)
            day = rng.choice([SOON, LATER, date.max])
            if day != date.max:
                days[name] = day
            credited, spent = rng.randint(0, 5), rng.randint(0, 12)
            units += [(day, 2 * number, name)] * amount + [(date.max, 2 * number + 1, "credit")] * credited
            units = sorted(units)[spent:]
            stretches.append(Stretch(name, amount, before, credited, spent))
        expected = {f"grant:{number}": sum(name == f"grant:{number}" for *_, name in units) for number in range(4)}
        assert dict(spend(stretches, days)) == expected


def test_a_reversal_takes_the_smaller_of_what_is_left_and_the_balance(bob: User) -> None:
    grant = give(1_000)
    book(-300)
    assert reverse(grant, None, by=bob, text="wrong user") == 700
    grant.refresh_from_db()
    assert (grant.state, grant.reversal_units, grant.reversed_units) == (Grant.State.REVERSED, 700, 700)
    assert (grant.reversal_by, grant.reversal_text) == (bob, "wrong user")
    entry = BatteryTransaction.objects.get(pk=f"grant-reversal:{grant.pk}")
    assert (entry.type, entry.amount, entry.balance_after) == ("bonus", -700, 0)
    assert entry.metadata["grant"] == str(grant.pk)
    assert StaffEvent.objects.get(action="grant.reversed").detail["units"] == 700


def test_a_reversal_in_part_takes_that_part_once(bob: User) -> None:
    grant = give(1_000)
    assert reverse(grant, 200, by=bob, text="too much") == 200
    with pytest.raises(GrantRefused, match="already"):
        reverse(grant, 100, by=bob, text="again")
    assert balance() == 800
    assert left(grant) == [800]


@pytest.mark.parametrize("units", [0, -1, 1_001])
def test_a_reversal_never_takes_more_than_was_given(bob: User, units: int) -> None:
    grant = give(1_000)
    book(5_000, Type.PURCHASE)
    with pytest.raises(GrantRefused, match="take back 1 to 1,000"):
        reverse(grant, units, by=bob, text="x")


def test_with_nothing_left_or_an_empty_battery_a_reversal_is_refused(bob: User) -> None:
    spent = give(100, SOON)
    book(-100)
    with pytest.raises(GrantRefused, match="Nothing can be taken back: 0 units are left"):
        reverse(spent, None, by=bob, text="x")


def test_support_takes_back_its_own_grants_alone(alice: User, bob: User) -> None:
    with pytest.raises(GrantRefused, match="may not"):
        reverse(give(10, by=bob), None, by=alice, text="x")
    assert reverse(give(10, by=alice), None, by=alice, text="x") == 10


def test_of_two_reversals_at_once_the_second_is_told(bob: User) -> None:
    grant = give(100)
    there = grant_reversal.returnable(grant)
    reverse(grant, 60, by=bob, text="x")
    with patch.object(grant_reversal, "returnable", return_value=there), pytest.raises(GrantRefused, match="already"):
        reverse(grant, 60, by=bob, text="x")
    assert balance() == 40


def test_a_reversal_whose_answer_is_lost_is_finished_once(bob: User) -> None:
    grant = give(100)
    with patch.object(grant_reversal, "post", side_effect=OutcomeUnknown("lost")), pytest.raises(OutcomeUnknown):
        reverse(grant, 60, by=bob, text="x")
    grant.refresh_from_db()
    assert (grant.state, grant.reversed_units) == (Grant.State.APPLIED, None)
    assert grant_reversal.resume() == 0
    Grant.objects.update(reversal_at=timezone.now() - timedelta(minutes=2))
    assert grant_reversal.resume() == 1
    assert grant_reversal.resume() == 0
    grant.refresh_from_db()
    assert (grant.state, grant.reversed_units, balance()) == (Grant.State.REVERSED, 60, 40)


def test_what_waits_or_was_rejected_cannot_be_taken_back(alice: User, bob: User) -> None:
    waiting = give(9_000, by=alice)
    book(10_000, Type.PURCHASE)
    with pytest.raises(GrantRefused):
        reverse(waiting, None, by=bob, text="x")


def test_after_its_last_day_what_is_left_of_a_grant_is_taken_back_once() -> None:
    spent, whole, forever = give(50, SOON), give(100, SOON), give(30)
    book(-70)
    assert expire(SOON) == grant_expiry.Expired(0, 0)
    assert expire(SOON + timedelta(days=1)) == grant_expiry.Expired(2, 80)
    assert expire(SOON + timedelta(days=1)) == grant_expiry.Expired(0, 0)
    assert balance() == 30
    for grant, units in ((spent, 0), (whole, 80), (forever, None)):
        grant.refresh_from_db()
        assert (grant.expired_units, bool(grant.expired_at)) == (units, units is not None)
    assert left(spent, whole, forever) == [0, 0, 30]


def test_expiry_takes_no_more_than_the_balance() -> None:
    grant = give(100, SOON)
    book(-70, Type.REFUND)
    assert expire(LATER).units == 30
    assert balance() == 0
    assert BatteryTransaction.objects.get(pk=f"grant-expiry:{grant.pk}").metadata["asked"] == -100


def test_of_a_grant_taken_back_in_part_the_rest_expires(bob: User) -> None:
    grant = give(100, SOON)
    reverse(grant, 40, by=bob, text="x")
    assert expire(LATER) == grant_expiry.Expired(1, 60)
    with pytest.raises(GrantRefused):
        reverse(grant, None, by=bob, text="x")


def test_while_a_reversal_is_open_nothing_expires(bob: User) -> None:
    grant = give(100, SOON)
    with patch.object(grant_reversal, "post", side_effect=OutcomeUnknown("lost")), pytest.raises(OutcomeUnknown):
        reverse(grant, 60, by=bob, text="x")
    assert expire(LATER).expired == 0
    Grant.objects.update(reversal_at=timezone.now() - timedelta(minutes=2))
    grant_reversal.resume()
    assert expire(LATER) == grant_expiry.Expired(1, 40)
    assert balance() == 0


def test_a_reversal_that_comes_between_is_not_taken_twice(bob: User) -> None:
    grant = give(100, SOON)
    real = grant_expiry.remains

    def late(due: Any) -> Any:
        found = real(due)
        reverse(grant, 60, by=bob, text="x")
        return found

    with patch.object(grant_expiry, "remains", late):
        assert expire(LATER).expired == 0
    assert expire(LATER) == grant_expiry.Expired(1, 40)
    assert balance() == 0


@pytest.mark.parametrize("step", ["_decide_expiries", "post", "_close"])
def test_a_crash_at_any_step_of_an_expiry_is_finished_by_the_next_run(step: str) -> None:
    give(100, SOON)
    with patch.object(grant_expiry, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        expire(LATER)
    assert expire(LATER) == grant_expiry.Expired(1, 100)
    assert balance() == 0
    assert BatteryTransaction.objects.filter(pk__startswith="grant-expiry:").count() == 1


def test_a_user_who_is_gone_has_nothing_to_take_back(bob: User) -> None:
    grant = give(100, SOON)
    BatteryTransaction.objects.all().delete()
    UserBattery.objects.all().delete()
    Account.objects.all().delete()
    with pytest.raises(GrantRefused, match="no such user"):
        reverse(grant, None, by=bob, text="x")
    assert expire(LATER) == grant_expiry.Expired(1, 0)


def test_many_grants_expire_by_the_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_expiry, "PORTION", 3)
    for _ in range(7):
        give(10, SOON)
    seen: list[int] = []
    assert expire(LATER, advance=lambda sums: seen.append(sums.expired)) == grant_expiry.Expired(7, 70)
    assert seen == [3, 6, 7]
    assert grants.PORTION == 1000


def test_a_day_ends_at_midnight_utc() -> None:
    grant = give(10, SOON)
    assert not grant.is_past(datetime(2026, 12, 1, 23, 59, tzinfo=UTC).date())
    assert grant.is_past(datetime(2026, 12, 2, 0, 0, tzinfo=UTC).date())
