"""Grants: within limits at once, above them by a second person; once each, and never by themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.utils import timezone

from billing.models import BatteryTransaction, UserBattery
from chat.models import User as Account
from console import grants
from console.grant_limits import limits_of
from console.grants import GrantRefused, Wish, apply, approve, decide, reject, resume
from console.models import Grant, StaffEvent
from console.recipients import find, find_one
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from d1.errors import OutcomeUnknown
from database.models import AuditLog

pytestmark = pytest.mark.django_db
State = Grant.State
Member = Callable[..., User]


@pytest.fixture
def member(db: Any) -> Member:
    def make(name: str, *roles: str, **values: Any) -> User:
        user = User.objects.create_user(name, is_staff=True, **values)
        user.groups.set(Group.objects.filter(name__in=roles))
        return user

    return make


@pytest.fixture
def alice(member: Member) -> User:
    return member("alice", SUPPORT)


@pytest.fixture
def bob(member: Member) -> User:
    return member("bob", BILLING)


@pytest.fixture(autouse=True)
def customers(db: Any) -> None:
    for name in ("u1", "u2"):
        Account.objects.create(id=name, email=f"{name}@example.com")


def wish(units: int, user: str = "u1", **values: Any) -> Wish:
    return Wish(user, f"{user}@example.com", units, "goodwill", "sorry", **values)


def give(units: int, by: User | str, user: str = "u1", **values: Any) -> Grant:
    (grant,) = decide([wish(units, user, **values)], by=by)
    apply([grant])
    grant.refresh_from_db()
    return grant


def balance(user: str = "u1") -> int:
    return sum(UserBattery.objects.filter(user_id=user).values_list("total_balance", flat=True))


def entries() -> dict[str, int]:
    return dict(BatteryTransaction.objects.order_by("pk").values_list("pk", "amount"))


def test_a_grant_within_the_limits_is_posted_at_once_and_says_who_and_when(alice: User) -> None:
    grant = give(500, alice)
    assert grant.state == State.APPLIED
    assert (grant.requester, grant.waits_because, grant.decided_by) == ("alice", "", None)
    assert grant.requested_at <= grant.decided_at <= grant.applied_at
    assert entries() == {f"grant:{grant.pk}": 500}
    assert balance() == 500
    audited = AuditLog.objects.get()
    assert audited.resource_id == f"grant:{grant.pk}"
    assert audited.user_id == "u1"
    assert audited.metadata["by"] == {"username": "alice", "id": alice.pk}
    assert (audited.metadata["before"], audited.metadata["after"]) == ({"total_balance": 0}, {"total_balance": 500})
    assert audited.metadata["reason"] == "sorry"


def test_what_is_refunded_in_kind_is_a_refund_in_the_ledger(alice: User) -> None:
    (grant,) = decide([Wish("u1", "", 5, "refund_in_kind", "x")], by=alice)
    apply([grant])
    assert BatteryTransaction.objects.get().type == "refund"


@pytest.mark.parametrize(
    ("given", "asked", "word"),
    [([], 5_001, "one grant"), ([5_000] * 4, 1, "a day"), ([5_000], 4_000, "one recipient")],
)
def test_above_each_limit_a_grant_waits_and_says_why(
    alice: User, settings: Any, given: list[int], asked: int, word: str
) -> None:
    if word == "one recipient":
        settings.GRANT_LIMITS = {SUPPORT: {"grant": 5_000, "day": 20_000, "recipient": 8_000}}
    for units in given:
        assert give(units, alice).state == State.APPLIED
    grant = give(asked, alice)
    assert grant.state == State.REQUESTED
    assert word in grant.waits_because
    assert balance() == sum(given)


def test_the_limits_of_a_recipient_are_those_of_one_person_and_thirty_days(
    alice: User, member: Member, settings: Any
) -> None:
    settings.GRANT_LIMITS = {SUPPORT: {"grant": 100, "day": 1000, "recipient": 100}}
    assert give(100, alice).state == State.APPLIED
    assert give(1, alice).state == State.REQUESTED
    assert give(100, alice, user="u2").state == State.APPLIED
    assert give(100, member("amy", SUPPORT)).state == State.APPLIED
    Grant.objects.update(requested_at=timezone.now() - timedelta(days=31))
    assert give(100, alice).state == State.APPLIED


def test_the_day_of_a_limit_begins_at_midnight_utc(alice: User, settings: Any) -> None:
    settings.GRANT_LIMITS = {SUPPORT: {"grant": 100, "day": 100, "recipient": None}}
    for hour, minute, state in ((23, 58, State.APPLIED), (23, 59, State.REQUESTED), (24, 0, State.APPLIED)):
        moment = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)
        with patch("django.utils.timezone.now", return_value=moment):
            assert give(60, alice).state == state


def test_what_was_rejected_or_seconded_takes_nothing_of_the_day(alice: User, bob: User) -> None:
    seconded, rejected = give(9_000, alice), give(15_000, alice)
    approve([seconded.pk], by=bob)
    reject([rejected.pk], by=bob, text="no")
    assert [give(5_000, alice, user="u2").state for _ in range(5)] == [State.APPLIED] * 4 + [State.REQUESTED]


def test_the_widest_role_counts_and_a_superuser_has_the_widest_of_all(member: Member, settings: Any) -> None:
    assert limits_of(member("carol", SUPPORT, BILLING)).grant == 50_000
    assert limits_of(member("dave", SUPPORT)).day == 20_000
    assert limits_of(member("erin", AUDITOR)).grant == 0
    root = User.objects.create_superuser("root")
    assert limits_of(root).grant == 50_000
    settings.GRANT_LIMITS = {SUPPORT: {"grant": None, "day": 1, "recipient": 1}}
    assert limits_of(root).grant is None


def test_lowered_limits_count_from_then_on(alice: User, settings: Any) -> None:
    give(4_000, alice)
    settings.GRANT_LIMITS = {SUPPORT: {"grant": 5_000, "day": 4_000, "recipient": 5_000}}
    assert give(1, alice).state == State.REQUESTED


@pytest.mark.parametrize("role", [AUDITOR, OPERATOR, None])
def test_who_has_no_right_to_grant_is_refused(member: Member, role: str | None) -> None:
    with pytest.raises(GrantRefused):
        give(5, member("mallory", *([role] if role else [])))
    assert not Grant.objects.exists()


def test_who_was_deactivated_meanwhile_is_refused(alice: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(GrantRefused):
        give(5, alice)


def test_a_second_person_approves_and_it_is_posted_in_both_names(alice: User, bob: User) -> None:
    grant = give(9_000, alice)
    assert [approved.pk for approved in approve([grant.pk], by=bob, text="fine")] == [grant.pk]
    apply([grant])
    grant.refresh_from_db()
    assert (grant.state, grant.decided_by, grant.decision) == (State.APPLIED, bob, "fine")
    assert balance() == 9_000
    assert AuditLog.objects.get().metadata["approved_by"] == "bob"
    event = StaffEvent.objects.get(action="grant.approved")
    assert (event.staff, event.subject, event.detail["units"]) == (bob, str(grant.pk), 9_000)


def test_a_rejected_grant_is_never_posted(alice: User, bob: User) -> None:
    grant = give(9_000, alice)
    reject([grant.pk], by=bob, text="too much")
    apply([grant])
    grant.refresh_from_db()
    assert (grant.state, grant.decision) == (State.REJECTED, "too much")
    assert approve([grant.pk], by=bob) == []
    assert entries() == {}
    assert StaffEvent.objects.filter(action="grant.rejected").count() == 1


def test_nobody_approves_their_own_not_even_a_superuser(bob: User) -> None:
    root = User.objects.create_superuser("root")
    for person in (bob, root):
        grant = give(60_000, person)
        assert grant.state == State.REQUESTED
        assert approve([grant.pk], by=person) == []
    assert entries() == {}


def test_support_decides_on_nothing(alice: User, member: Member) -> None:
    grant = give(9_000, alice)
    with pytest.raises(GrantRefused):
        approve([grant.pk], by=member("amy", SUPPORT))


def test_the_second_of_two_who_decide_changes_nothing(alice: User, bob: User, member: Member) -> None:
    grant = give(9_000, alice)
    assert len(approve([grant.pk], by=bob)) == 1
    assert reject([grant.pk], by=member("carol", BILLING), text="no") == []
    grant.refresh_from_db()
    assert (grant.state, grant.decided_by) == (State.APPROVED, bob)


def test_the_same_key_is_the_same_grant(alice: User) -> None:
    first, again = give(5, alice, key="k"), give(5, alice, key="k")
    assert first.pk == again.pk
    assert balance() == 5
    with pytest.raises(GrantRefused, match="used before"):
        give(6, alice, key="k")


def test_a_key_that_somebody_uses_at_the_same_moment_is_the_same_grant(alice: User) -> None:
    first = give(5, alice, key="k")
    real, calls = grants._decide, []

    def late(wishes: Any, by: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise grants.IntegrityError
        return real(wishes, by)

    with patch.object(grants, "_decide", late):
        assert decide([wish(5, key="k")], by=alice)[0].pk == first.pk


@pytest.mark.parametrize("units", [0, -5, 10**13])
def test_units_that_are_none_are_refused(alice: User, units: int) -> None:
    with pytest.raises(GrantRefused, match="1 to"):
        decide([wish(units)], by=alice)


def test_a_crash_after_the_decision_is_repaired_and_what_waits_is_left(alice: User) -> None:
    (within, above) = decide([wish(100), wish(9_000)], by=alice)
    assert resume() == 0
    Grant.objects.update(requested_at=timezone.now() - timedelta(hours=1))
    Grant.objects.filter(pk=within.pk).update(decided_at=timezone.now() - timedelta(minutes=2))
    assert resume() == 1
    assert resume() == 0
    within.refresh_from_db()
    above.refresh_from_db()
    assert (within.state, above.state) == (State.APPLIED, State.REQUESTED)
    assert entries() == {f"grant:{within.pk}": 100}


def test_a_crash_after_the_post_is_repaired_without_a_second_one(alice: User) -> None:
    grant = give(100, alice)
    Grant.objects.update(state=State.APPROVED, applied_at=None, decided_at=timezone.now() - timedelta(minutes=2))
    assert resume() == 1
    grant.refresh_from_db()
    assert grant.state == State.APPLIED
    assert balance() == 100


def test_a_lost_answer_leaves_the_grant_to_be_resumed(alice: User) -> None:
    with patch.object(grants, "post", side_effect=OutcomeUnknown("lost")), pytest.raises(OutcomeUnknown):
        give(100, alice)
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=2))
    assert resume() == 1
    assert balance() == 100


def test_a_user_deleted_meanwhile_ends_the_grant(alice: User) -> None:
    (grant,) = decide([wish(5)], by=alice)
    Account.objects.filter(pk="u1").delete()
    apply([grant])
    grant.refresh_from_db()
    assert (grant.state, grant.decision) == (State.REJECTED, "There is no such user any more.")


def test_a_balance_that_cannot_be_read_keeps_the_grant_until_it_is_mended(alice: User) -> None:
    (grant,) = decide([wish(5)], by=alice)
    UserBattery.objects.create(user_id="u1")
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("UPDATE user_battery SET total_balance = 'many'")
    apply([grant])
    grant.refresh_from_db()
    assert grant.state == State.APPROVED
    assert "cannot be read" in grant.problem
    UserBattery.objects.update(total_balance=7)
    apply([grant])
    grant.refresh_from_db()
    assert (grant.state, grant.problem) == (State.APPLIED, "")
    assert balance() == 12


def test_many_wishes_count_as_a_whole_and_the_others_wait(alice: User) -> None:
    made = decide([wish(4_000, user) for user in ("u1", "u2") * 3], by=alice)
    assert [grant.state for grant in made] == [State.APPROVED] * 5 + [State.REQUESTED]
    apply(made)
    assert (balance("u1"), balance("u2")) == (12_000, 8_000)


def test_users_are_found_by_id_and_by_email_in_any_case() -> None:
    Account.objects.create(id="u3", email="U1@example.com")
    found = find(["u1", "U2@EXAMPLE.COM", "nobody", "u1@example.com", "U1@EXAMPLE.com"])
    assert [user.id for user in found["u1"]] == ["u1"]
    assert [user.id for user in found["U2@EXAMPLE.COM"]] == ["u2"]
    assert [user.id for user in found["u1@example.com"]] == ["u1"]
    assert sorted(user.id for user in found["U1@EXAMPLE.com"]) == ["u1", "u3"]
    assert find_one("U1@EXAMPLE.com") is None
    assert "nobody" not in found
