"""The page of a user: all of an account, in words, in few queries, and what is wrong with it on top."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, TransactionType, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, User
from console.account import account_of, distance, state_in_words
from console.account_problems import problems
from console.models import Finding, ResyncRun, StaffEvent
from console.roles import AUDITOR, BILLING, OPERATOR, ROLES, SUPPORT
from console.timeline import MOST, timeline
from console.views.account import TABS, account_url
from database.audit import record
from database.values import Odd

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ALICE = "user_alice"
SOUND = {
    "id": "s1", "user_id": ALICE, "plan_id": "power", "stripe_subscription_id": "sub_1", "stripe_customer_id": "cus_1",
    "status": "active", "current_period_end": "2099-12-05 10:00:00", "created_at": "2026-11-05 10:00:00",
}  # fmt: skip


@pytest.fixture
def alice() -> User:
    return User.objects.create(
        id=ALICE, email="alice@example.com", name="Alice", tier="paid", subscription_status="active",
        subscription_id="sub_1", stripe_customer_id="cus_1", created_at="2026-01-01T00:00:00.000Z",
    )  # fmt: skip


@pytest.fixture
def sound(alice: User) -> User:
    """An account with which nothing is wrong."""
    UserSubscription.objects.create(**SOUND)
    post([Entry("invoice:in_1", ALICE, TransactionType.SUBSCRIPTION, 45_000)], by="bob")
    post([Entry(f"u{n}", ALICE, TransactionType.USAGE, -n) for n in (1, 2)], by="app")
    Conversation.objects.create(id="c1", user_id=ALICE, title="Sums", last_message_at="2026-11-19 10:00:00")
    ApiUsage.objects.create(id="a1", user_id=ALICE, model="gpt", battery_used=3, created_at=timezone.now())
    return alice


@pytest.fixture
def enter(client: Client, django_user_model: type[Login]) -> Any:
    def as_role(role: str) -> Client:
        login = django_user_model.objects.create_user(role, is_staff=True)
        login.groups.add(Group.objects.get(name=role))
        client.force_login(login)
        return client

    return as_role


def wrong(user_id: str = ALICE) -> set[str]:
    account = account_of(user_id)
    assert account is not None
    return {problem.kind for problem in problems(account, NOW)}


@pytest.mark.django_db
@pytest.mark.parametrize("role", [SUPPORT, BILLING, OPERATOR, AUDITOR])
def test_each_role_sees_each_part_in_at_most_three_queries(enter: Any, sound: User, role: str) -> None:
    client = enter(role)
    for tab in (name for name, (_, permission) in TABS.items() if permission in ROLES[role]):
        with CaptureQueriesContext(connections["omnichat"]) as queries:
            response = client.get(account_url(ALICE, tab))
        assert response.status_code == 200
        assert len(queries) <= 3, [query["sql"] for query in queries]
        assert "alice@example.com" in response.content.decode()


@pytest.mark.django_db
def test_above_the_fold_stands_what_matters(enter: Any, sound: User) -> None:
    page = " ".join(strip_tags(enter(SUPPORT).get(account_url(ALICE)).content.decode()).split())
    for words in ("Alice", "paid", "Power", "Renews on", "44,997 units", "19 Nov 2026", "cus_1"):
        assert words in page


@pytest.mark.django_db
def test_that_somebody_looked_is_kept_and_not_told_as_a_happening(enter: Any, sound: User) -> None:
    enter(SUPPORT).get(account_url(ALICE, "usage"))
    event = StaffEvent.objects.get(action="account.read")
    assert (event.subject, event.detail, event.staff.get_username()) == (ALICE, {"tab": "usage"}, SUPPORT)
    assert not [row for row in timeline(ALICE, []) if "account.read" in str(row.what)]


@pytest.mark.django_db
def test_nobody_is_told_what_is_not_theirs(client: Client, django_user_model: type[Login], sound: User) -> None:
    assert "/login/" in client.get(account_url(ALICE))["Location"]
    client.force_login(django_user_model.objects.create_user("dave", is_staff=True))
    for tab in TABS:
        assert client.get(account_url(ALICE, tab)).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("user_id", ["user_nobody", "a\0b", "'", "%", "a" * 500, "😀"])
def test_an_unknown_user_is_not_found(enter: Any, user_id: str) -> None:
    assert enter(SUPPORT).get(account_url(user_id)).status_code == 404


@pytest.mark.django_db
def test_an_unknown_part_is_not_found(enter: Any, sound: User) -> None:
    assert enter(SUPPORT).get(account_url(ALICE) + "secrets/").status_code == 404


@pytest.mark.django_db
def test_an_empty_account_says_so_and_nothing_is_wrong_with_it(enter: Any) -> None:
    User.objects.create(id="user_new", email="new@example.com", tier="free", subscription_status="inactive")
    client = enter(BILLING)
    for tab in TABS:
        page = client.get(account_url("user_new", tab)).content.decode()
        assert "No subscription" in page
        assert "empty" in page or tab == "usage"
    assert wrong("user_new") == set()


@pytest.mark.django_db
def test_nothing_is_wrong_with_a_sound_account(sound: User) -> None:
    assert wrong() == set()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ("UPDATE users SET tier = 'free'", {"tier"}),
        ("UPDATE users SET subscriptionStatus = 'past_due'", {"status"}),
        ("UPDATE users SET stripeCustomerId = 'cus_other'", {"customer"}),
        ("UPDATE user_subscriptions SET status = 'canceled'", {"tier", "status"}),
        ("UPDATE user_subscriptions SET current_period_end = '2026-11-19 11:00:00'", {"renewal"}),
        ("UPDATE user_subscriptions SET current_period_end = '2026-11-20 11:00:00'", set()),
        ("INSERT INTO user_subscriptions (id, user_id, status) VALUES ('s2', 'user_alice', 'trialing')",
         {"two subscriptions"}),
        ("DELETE FROM user_subscriptions", {"tier", "status"}),
        ("UPDATE user_battery SET total_balance = 5", {"balance"}),
        ("UPDATE user_battery SET total_balance = -5", {"balance", "under zero"}),
        ("UPDATE user_battery SET total_balance = 'lots'", {"balance"}),
        ("DELETE FROM user_battery", {"no battery"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(sound: User, change: str, kinds: set[str]) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(change)
    assert wrong() == kinds


@pytest.mark.django_db
def test_the_problem_stands_on_top_with_its_remedy(enter: Any, sound: User) -> None:
    User.objects.filter(pk=ALICE).update(tier="free")
    page = enter(SUPPORT).get(account_url(ALICE)).content.decode()
    assert page.index("the customer pays for nothing") < page.index("Daily allowance")
    assert "Resync the user" in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"current_period_end": "2026-12-02 12:00:00"}, "Renews on 2 Dec 2026 (in 12 days)"),
        ({"current_period_end": "2026-11-19 12:00:00"}, "Should have renewed on 19 Nov 2026 (1 day ago)"),
        ({"cancel_at": "2026-11-20 23:00:00"}, "Ends on 20 Nov 2026 (today)"),
        ({"status": "trialing", "trial_end": "2026-11-21 12:00:00"}, "Trial until 21 Nov 2026 (in 1 day)"),
        ({"status": "canceled", "canceled_at": "2026-10-01 00:00:00"}, "Canceled on 1 Oct 2026 (50 days ago)"),
        ({"status": "past_due"}, "Payment failed; the period ends on an unknown day"),
        ({"status": "incomplete"}, "The first payment has not come"),
        ({"current_period_end": Odd("whenever")}, "Renews on an unknown day"),
    ],
)
def test_a_subscription_says_what_comes_next(fields: dict[str, Any], words: str) -> None:
    plain = {
        name: timezone.datetime.fromisoformat(f"{cell}+00:00") if cell[:2] == "20" else cell
        for name, cell in fields.items()
    }
    subscription = UserSubscription(**{"status": "active", **plain})
    assert strip_tags(str(state_in_words(subscription, NOW))) == words


def test_no_subscription_says_so() -> None:
    assert state_in_words(None) == "No subscription"
    assert distance(NOW, NOW) == "today"


@pytest.mark.django_db
def test_a_payment_stands_before_any_number_of_messages(enter: Any, alice: User) -> None:
    post([Entry("invoice:in_1", ALICE, TransactionType.SUBSCRIPTION, 45_000)], by="bob")
    post([Entry(f"u{n}", ALICE, TransactionType.USAGE, -1) for n in range(120)], by="app")
    assert "+45,000" in enter(SUPPORT).get(account_url(ALICE, "payments")).content.decode()


@pytest.mark.django_db
def test_the_timeline_shows_app_stripe_and_staff_newest_first(sound: User) -> None:
    record("users.update", by="carol", user_id=ALICE, resource_type="users", resource_id=ALICE)
    StaffEvent.objects.create(action="export.person", subject=ALICE)
    rows = timeline(ALICE, [UserSubscription(**{**SOUND, "created_at": NOW})])
    assert [row.at for row in rows] == sorted((row.at for row in rows), reverse=True)
    told = [(row.source, row.who) for row in rows]
    assert ("staff", "carol") in told
    assert ("staff", "bob") in told
    assert {row.source for row in rows} == {"app", "stripe", "staff"}
    assert [str(row.what) for row in rows if row.kind == "usage"] == ["-3 units: used in 2 messages"]


@pytest.mark.django_db
def test_a_timeline_ends_where_a_source_was_cut(alice: User) -> None:
    BatteryTransaction.objects.create(
        id="old", user_id=ALICE, type="bonus", amount=1, balance_after=1, created_at="2020-01-01 00:00:00"
    )
    for number in range(MOST + 1):
        record("users.update", by="carol", user_id=ALICE, id=f"{number}")
    rows = timeline(ALICE, [])
    assert not [row for row in rows if row.at and row.at.year == 2020]
    assert len(rows) <= MOST


@pytest.mark.django_db
def test_odd_cells_are_shown_and_break_nothing(enter: Any, sound: User) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("UPDATE users SET createdAt = 'long ago', name = x'ff', tier = NULL")
        cursor.execute("UPDATE user_subscriptions SET current_period_end = 'soon', status = 'odd', created_at = 7.5")
        cursor.execute("UPDATE battery_transactions SET created_at = 'once', metadata = '{'")
        cursor.execute("UPDATE conversations SET lastMessageAt = 'once', title = '<script>alert(1)</script>'")
        cursor.execute("UPDATE user_battery SET total_balance = NULL")
    client = enter(BILLING)
    for tab in TABS:
        response = client.get(account_url(ALICE, tab))
        assert response.status_code == 200
        assert "<script>alert" not in response.content.decode()


@pytest.mark.django_db
def test_a_battery_alone_is_shown(enter: Any, alice: User) -> None:
    UserBattery.objects.create(user_id=ALICE, total_balance=10, daily_allowance=5)
    assert "10 " in strip_tags(enter(SUPPORT).get(account_url(ALICE)).content.decode())


@pytest.mark.django_db
def test_differences_are_those_of_this_user_for_who_may_see_findings(enter: Any, sound: User) -> None:
    run = ResyncRun.objects.create(started_by="bob")
    for user_id, kind in ((ALICE, "tier"), ("user_bob", "price")):
        Finding.objects.create(kind=kind, user_id=user_id, subject="s", run=run, last_seen_at=NOW, reason=f"why {kind}")
    page = enter(BILLING).get(account_url(ALICE, "differences")).content.decode()
    assert "why tier" in page
    assert "why price" not in page
    assert enter(SUPPORT).get(account_url(ALICE, "differences")).status_code == 403
