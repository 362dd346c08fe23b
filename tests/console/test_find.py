"""The one box: any id opens its page, and people are found by parts of their email and name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import BatteryTransaction, UserSubscription
from chat.models import Conversation, Message, User
from console.models import Grant
from console.roles import SUPPORT
from console.search import LONGEST, find
from database import columns
from database.models import AuditLog

pytestmark = pytest.mark.django_db

ADDRESS = "/admin/find/"


@pytest.fixture
def support(client: Client, django_user_model: type[Login]) -> Login:
    login = django_user_model.objects.create_user("bob", is_staff=True)
    login.groups.add(Group.objects.get(name=SUPPORT))
    client.force_login(login)
    return login


@pytest.fixture(autouse=True)
def account() -> None:
    User.objects.bulk_create([
        User(id="user_alice", email="Alice.Lind@example.com", name="Alice Lind", stripe_customer_id="cus_alice",
             subscription_id="sub_alice"),
        User(id="user_carol", email="carol@lindgren.example", name="Carol", stripe_customer_id="cus_carol"),
        User(id="user_odd", email="odd@example.com", name=None),
    ])  # fmt: skip
    UserSubscription.objects.create(
        id="us_1", user_id="user_alice", plan_id="power", stripe_subscription_id="sub_alice",
        stripe_customer_id="cus_alice", status="active",
    )  # fmt: skip
    BatteryTransaction.objects.bulk_create([
        BatteryTransaction(id="invoice:in_1", user_id="user_alice", type="subscription", amount=5, balance_after=5),
        BatteryTransaction(id="t_2", user_id="user_alice", type="purchase", amount=5, balance_after=10,
                           stripe_payment_intent_id="pi_1"),
        BatteryTransaction(id="t_3", user_id="user_alice", type="refund", amount=-5, balance_after=5,
                           stripe_payment_intent_id="pi_1"),
    ])  # fmt: skip
    Conversation.objects.create(id="conv-1", user_id="user_alice", title="Sums")
    Message.objects.create(id="msg-1", conversation_id="conv-1", role="user", content="secret")
    AuditLog.objects.create(id="audit-1", user_id="user_alice", action="users.update")


@pytest.mark.parametrize(
    ("term", "page"),
    [
        ("user_alice", "account/user_5Falice"),
        ("  user_alice ", "account/user_5Falice"),
        ("alice.lind@EXAMPLE.com", "account/user_5Falice"),
        ("cus_alice", "account/user_5Falice"),
        ("sub_alice", "billing/usersubscription/us_5F1/change"),
        ("in_1", "billing/batterytransaction/invoice_3Ain_5F1/change"),
        ("t_2", "billing/batterytransaction/t_5F2/change"),
        ("conv-1", "chat/conversation/conv-1/change"),
        ("msg-1", "chat/message/msg-1/change"),
        ("audit-1", "database/auditlog/audit-1/change"),
    ],
)
def test_a_whole_id_opens_its_page(client: Client, support: Login, term: str, page: str) -> None:
    response = client.get(ADDRESS, {"q": term})
    assert (response.status_code, response["Location"]) == (302, f"/admin/{page}/")
    assert client.get(response["Location"]).status_code == 200


def test_a_grant_is_found_by_its_id_and_by_its_ticket(client: Client, support: Login) -> None:
    grant = Grant.objects.create(
        user_id="user_alice",
        units=5,
        category="goodwill",
        ticket="T-77",
        state="REQUESTED",
        requested_at=timezone.now(),
    )  # fmt: skip
    for term in (str(grant.pk), "T-77"):
        assert client.get(ADDRESS, {"q": term})["Location"] == grant.get_absolute_url()


def test_an_id_of_several_rows_shows_them_all(client: Client, support: Login) -> None:
    page = client.get(ADDRESS, {"q": "pi_1"}).content.decode()
    assert "t_2" in page
    assert "t_3" in page


def test_people_are_found_by_the_beginning_of_email_or_name_and_by_what_is_inside(support: Login) -> None:
    (group,) = find("lind", by=support).groups
    assert [hit.label for hit in group.hits] == ["Alice.Lind@example.com", "carol@lindgren.example"]
    (group,) = find("carol", by=support).groups
    assert [hit.detail for hit in group.hits] == ["Carol"]


@pytest.mark.parametrize(("term", "most"), [("user_alice", 1), ("nobody at all", 2), ("ali", 2)])
def test_a_search_takes_at_most_two_queries(support: Login, term: str, most: int) -> None:
    support.has_perm("chat.view_user")
    with CaptureQueriesContext(connections["omnichat"]) as queries:
        find(term, by=support)
    assert len(queries) == most


def test_every_place_is_asked_by_an_index(support: Login) -> None:
    with CaptureQueriesContext(connections["omnichat"]) as queries:
        find("nobody", by=support)
    for query in queries:
        with connections["omnichat"].cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            steps = [str(row[3]) for row in cursor.fetchall()]
        # The window over the newest users is the one walk of a table, in the order of its rows.
        scans = [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step]
        assert len([step for step in scans if step == "SCAN users"]) <= 1
        assert not [
            step for step in scans if step.split()[1] not in {"users", "pk", "(subquery-1)"} and "(" not in step
        ]


def test_who_may_see_nothing_finds_nothing(client: Client, django_user_model: type[Login]) -> None:
    client.force_login(django_user_model.objects.create_user("dave", is_staff=True))
    assert client.get(ADDRESS, {"q": "user_alice"}).status_code == 200
    assert "Alice" not in client.get(ADDRESS, {"q": "alice"}).content.decode()


def test_who_is_not_of_the_staff_is_sent_to_the_login(client: Client) -> None:
    assert "/login/" in client.get(ADDRESS, {"q": "alice"})["Location"]


STRANGE = (
    "",
    " ",
    "\0",
    "%",
    "_",
    "'",
    '"; DROP TABLE users;--',
    "<b>",
    "é",
    "😀",
    "a" * (LONGEST + 1),
    "{{ 7 }}",
    "%s",
)


@pytest.mark.parametrize("term", STRANGE)
def test_a_strange_term_finds_nothing_and_is_shown_as_text(client: Client, support: Login, term: str) -> None:
    response = client.get(ADDRESS, {"q": term})
    assert response.status_code == 200
    assert "<b>" not in response.content.decode()


@pytest.fixture
def forgotten() -> Iterator[None]:
    yield
    columns.forget()


def test_a_table_that_lacks_a_column_is_still_searched_by_the_others(support: Login, forgotten: None) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("DROP INDEX IF EXISTS subscriptions_by_stripe_customer")
        cursor.execute("ALTER TABLE user_subscriptions DROP COLUMN stripe_customer_id")
    assert find("cus_alice", by=support).exact == "/admin/account/user_5Falice/"
