"""Lists of the admin: paging, jumping to a day, counting, searching, and whatever an address or a row may hold."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.admin.utils import quote as admin_quote
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from chat.models import Conversation, Message, User
from database import columns
from database.listing import CAP, KeysetChangeList

pytestmark = pytest.mark.django_db

LISTS = (
    "chat_user", "chat_conversation", "chat_message", "chat_apiusage", "chat_dailyusagesummary",
    "billing_subscriptionplan", "billing_usersubscription", "billing_userbattery", "billing_batterytransaction",
    "database_auditlog", "database_schemaversion",
)  # fmt: skip


def address(name: str, **parameters: Any) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(parameters)}"


def execute(sql: str, *params: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, params)


def make_users(count: int, **values: Any) -> None:
    days = [f"2026-{n // 28 % 9 + 1:02}-{n % 28 + 1:02} 10:00:00" for n in range(count)]
    User.objects.bulk_create(
        User(**{"id": f"user_{n:04}", "email": f"u{n:04}@example.com", "created_at": day, **values})
        for n, day in enumerate(days)
    )


def listed(response: Any) -> list[str]:
    return [row.pk for row in response.context["cl"].result_list]


def link(response: Any, name: str) -> str:
    found = re.search(rf'<a class="{name}"[^>]*href="([^"]+)"', response.content.decode())
    assert found, f"no link {name}"
    return response.request["PATH_INFO"] + html.unescape(found[1])


def texts(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_next_and_previous_lead_through_the_whole_list_and_back(admin_client: Client) -> None:
    make_users(120)
    everything = [*User.objects.order_by("-created_at", "-pk").values_list("pk", flat=True)]
    first = admin_client.get(address("chat_user"))
    second = admin_client.get(link(first, "next"))
    third = admin_client.get(link(second, "next"))
    assert listed(first) + listed(second) + listed(third) == everything
    assert 'class="next"' not in third.content.decode()
    assert listed(admin_client.get(link(third, "previous"))) == listed(second)
    assert listed(admin_client.get(link(third, "first"))) == listed(first)
    assert listed(admin_client.get(link(first, "last"))) == everything[-50:]


def test_a_row_made_meanwhile_neither_repeats_nor_hides_another(admin_client: Client) -> None:
    make_users(60)
    first = admin_client.get(address("chat_user"))
    User.objects.create(id="user_new", email="new@example.com", created_at="2027-01-01T00:00:00.000Z")
    second = admin_client.get(link(first, "next"))
    assert len(listed(first) + listed(second)) == 60
    assert len(set(listed(first) + listed(second))) == 60


def test_a_jump_to_a_day_shows_that_day_first(admin_client: Client) -> None:
    for day in ("2026-01-30T23:59:59.999Z", "2026-01-31 00:00:00", "2026-01-31T23:59:59.999Z", "2026-02-01 00:00:00"):
        User.objects.create(id=f"user_{day}", email=day, created_at=day)
    down = admin_client.get(address("chat_user", at="2026-01-31"))
    assert listed(down) == [
        "user_2026-01-31T23:59:59.999Z",
        "user_2026-01-31 00:00:00",
        "user_2026-01-30T23:59:59.999Z",
    ]
    assert listed(admin_client.get(link(down, "previous"))) == ["user_2026-02-01 00:00:00"]
    created = down.context["cl"].list_display.index("created")
    up = admin_client.get(address("chat_user", at="2026-01-31", o=created))
    assert listed(up)[0] == "user_2026-01-31 00:00:00"


def test_counts_stop_at_a_thousand_until_somebody_asks(admin_client: Client) -> None:
    make_users(CAP + 2)
    first = admin_client.get(address("chat_user"))
    assert "1,000+ users" in texts(first)
    assert "1,002 users" in texts(admin_client.get(link(first, "exact-count")))
    User.objects.exclude(pk__lt="user_0100").delete()
    assert "100 users" in texts(admin_client.get(address("chat_user")))


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_says_so(admin_client: Client, name: str) -> None:
    connections["omnichat"].cursor().execute("DELETE FROM subscription_plans")
    response = admin_client.get(address(name))
    assert response.status_code == 200
    assert listed(response) == [] or name == "database_schemaversion"


def test_two_filters_are_looked_up_in_few_rows_at_a_time(admin_client: Client, monkeypatch: Any) -> None:
    """No index serves both, so a rare pair would mean a walk through the whole table."""
    make_users(30, tier="free", subscription_status="inactive")
    User.objects.filter(pk="user_0000").update(subscription_status="active")
    monkeypatch.setattr(KeysetChangeList, "window", 10)
    response = admin_client.get(address("chat_user", tier="free", subscription_status="active"))
    pages = 1
    while not listed(response):
        assert "10 rows were looked through" in texts(response)
        found = re.search(r'go-on">.*?href="([^"]+)"', response.content.decode(), re.DOTALL)
        assert found
        response = admin_client.get(address("chat_user").rstrip("?") + html.unescape(found[1]))
        pages += 1
    assert listed(response) == ["user_0000"]
    assert pages == 3


def test_a_period_holds_in_any_order(admin_client: Client) -> None:
    now = timezone.now()
    for name, age in (("new", timedelta(hours=1)), ("old", timedelta(days=3)), ("ancient", timedelta(days=900))):
        User.objects.create(id=name, email=name, created_at=now - age)
    for order in ("", "0", "-1"):
        assert listed(admin_client.get(address("chat_user", period="day", o=order))) == ["new"]
        assert set(listed(admin_client.get(address("chat_user", period="week", o=order)))) == {"new", "old"}


def test_the_middle_of_an_email_is_found_when_asked_for(admin_client: Client) -> None:
    make_users(3)
    User.objects.create(id="user_x", email="prefix.needle@example.com", name="Ann")
    User.objects.create(id="user_y", email="y@example.com", name="Mrs NEEDLE")
    response = admin_client.get(address("chat_user", q="needle"))
    assert listed(response) == []
    assert set(listed(admin_client.get(link(response, "inside")))) == {"user_x", "user_y"}


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("ALICE@EX", {"user_1"}),
        ("ali", {"user_1", "user_2"}),
        ("user_2", {"user_2"}),
        ("cus_1", {"user_1"}),
        ("sub_1", {"user_1"}),
        ("user_", set()),
        ("user_odd@", {"user_3"}),
        ("%", set()),
        ("_lice", set()),
        ("  ali  ", {"user_1", "user_2"}),
        ("łą", {"user_4"}),
    ],
)
def test_users_are_found(admin_client: Client, term: str, found: set[str]) -> None:
    User.objects.create(id="user_1", email="Alice@Example.com", stripe_customer_id="cus_1", subscription_id="sub_1")
    User.objects.create(id="user_2", email="b@example.com", name="Alicia")
    User.objects.create(id="user_3", email="user_odd@example.com")
    User.objects.create(id="user_4", email="c@example.com", name="łąka")
    assert set(listed(admin_client.get(address("chat_user", q=term)))) == found


HOSTILE = [
    {"tier": "\0"}, {"tier": "nobody"}, {"p": "abc"}, {"p": "9" * 30}, {"o": ""}, {"o": "99"}, {"o": "-99"},
    {"o": "1.2.x"},
    {"o": "9" * 5000},
    {"__proto__": "1"}, {"user__password": "x"}, {"content__contains": "secret"}, {"e": "1"},
    {"after": "x"}, {"before": "x"}, {"after": "", "before": ""}, {"last": ""}, {"at": "yesterday"},
    {"at": "0001-01-01"},
    {"at": "9999-12-31"}, {"at": ""}, {"count": "exact"}, {"count": "x"}, {"all": ""}, {"q": "\0"},
    {"q": "'"}, {"q": '"; --'},
    {"q": "x" * 20_000}, {"q": "@"}, {"q": "user_"}, {"q": "\ud7ff\uffff"}, {"inside": "1"}, {"inside": "1", "q": "%"},
    {"period": "eon"}, {"pinned": "perhaps"}, {"user": "'"}, {"user": ""}, {"_popup": "1"}, {"_facets": ""},
    {"id__in": "a,b"}, {"pk": "x"}, {"last": "1", "after": "x", "at": "2026-01-01"}, {"version": "9" * 40},
]  # fmt: skip


@pytest.mark.sqlite_only("an address is read before the database")
@pytest.mark.parametrize("name", LISTS)
def test_no_address_breaks_a_list(admin_client: Client, name: str) -> None:
    make_users(2)
    for parameters in HOSTILE:
        response = admin_client.get(address(name, **parameters))
        assert response.status_code == 200, parameters
    for raw in ("%00=%00", "q=%FF%FE", "tier=%F0%9F", "&&&==", "after=%00&after[]=1", "_to_field=password"):
        response = admin_client.get(f"{address(name)}{raw}")
        assert response.status_code in (200, 400), raw


IDS = ("a/b", "a b", "a?b#c", "a_5F", "ü", "'\"<script>", "..", "%2e", "a\nb", "x" * 500, ":", "add", "_")


@pytest.mark.parametrize("pk", IDS)
def test_an_id_of_any_letters_has_a_page(admin_client: Client, pk: str) -> None:
    User.objects.create(id=pk, email="a@example.com", created_at="2026-01-01 00:00:00")
    page, form = (reverse(name, args=[admin_quote(pk)]) for name in ("account", "admin:chat_user_change"))
    assert f'href="{escape(page)}"' in admin_client.get(address("chat_user")).content.decode()
    assert {admin_client.get(each).status_code for each in (page, form)} == {200}


@pytest.mark.sqlite_only("an address is read before the database")
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("pk", ["nobody", "0", "9" * 40, "%00", "_", "_00", "-1", "1.5"])
def test_a_page_of_no_row_leads_back(admin_client: Client, name: str, pk: str) -> None:
    response = admin_client.get(f"{reverse(f'admin:{name}_changelist')}{quote(pk)}/change/")
    assert response.status_code in (302, 404)


def test_labels_are_escaped(admin_client: Client) -> None:
    User.objects.create(id="<b>", email="<script>1</script>", name="<i>", subscription_status="<u>")
    response = admin_client.get(address("chat_user")).content.decode()
    assert "<script>1" not in response
    assert "&lt;script&gt;1" in response
    assert "<u>" not in response


@pytest.fixture
def without_created_at(db: Any) -> Iterator[None]:
    """The transactions as an adopted database may have them: with neither the column nor its indexes."""
    for index in ("created", "user", "type"):
        execute(f"DROP INDEX transactions_by_{index}")
    execute("ALTER TABLE battery_transactions DROP COLUMN created_at")
    columns.forget()
    yield
    columns.forget()


def test_a_table_that_lacks_its_date_is_listed_as_it_is_kept(without_created_at: None, admin_client: Client) -> None:
    for number in range(60):
        execute(
            "INSERT INTO battery_transactions (id, user_id, type, amount) VALUES (%s, 'u', 'usage', 1)",
            f"t{59 - number:02}",
        )
    first = admin_client.get(address("billing_batterytransaction"))
    assert "order is not certain" in texts(first)
    assert listed(first) == [f"t{number:02}" for number in range(50)]
    assert listed(admin_client.get(link(first, "next"))) == [f"t{number:02}" for number in range(50, 60)]
    page = admin_client.get(reverse("admin:billing_batterytransaction_change", args=["t00"]))
    assert page.status_code == 200
    columns.forget()
    history = admin_client.get(reverse("admin:billing_batterytransaction_history", args=["t00"]))
    assert history.status_code == 200
    assert listed(admin_client.get(address("billing_batterytransaction", user="u", type="usage"))) == listed(first)


def test_a_missing_table_is_told_with_the_way_out(db: Any, admin_client: Client) -> None:
    execute("DROP TABLE audit_logs")
    response = admin_client.get(address("database_auditlog"))
    assert response.status_code == 503
    assert "no table audit_logs" in texts(response)
    assert "manage.py migrate_database" in texts(response)


def test_nothing_is_ever_added_or_deleted(admin_client: Client) -> None:
    make_users(1)
    for name in LISTS:
        listing = admin_client.get(address(name))
        assert admin_client.get(reverse(f"admin:{name}_add")).status_code == 403
        for pk in listed(listing)[:1]:
            deletion = reverse(f"admin:{name}_delete", args=[admin_quote(pk)])
            assert admin_client.post(deletion, {"post": "yes"}).status_code == 403
        response = admin_client.post(address(name), {"action": "delete_selected", "_selected_action": "user_0000"})
        assert "delete_selected" not in listing.content.decode()
        assert response.status_code in (200, 302)
    assert User.objects.count() == 1


def test_autocompletion_offers_plans_without_counting_them(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    query = {"app_label": "billing", "model_name": "usersubscription", "field_name": "plan"}
    with django_assert_max_num_queries(2, connection=connections["omnichat"]):
        answer = admin_client.get(f"{reverse('admin:autocomplete')}?{urlencode({**query, 'term': ''})}").json()
    assert {result["id"] for result in answer["results"]} == {"starter", "daily", "power", "ultimate"}
    for term in ("pow", "power", "Power"):
        answer = admin_client.get(f"{reverse('admin:autocomplete')}?{urlencode({**query, 'term': term})}").json()
        assert [result["id"] for result in answer["results"]] == ["power"]
    for page in ("0", "x", "99999999999999999999"):
        assert admin_client.get(
            f"{reverse('admin:autocomplete')}?{urlencode({**query, 'page': page})}"
        ).status_code in (200, 404)


def test_messages_of_a_conversation_are_one_filter_away(admin_client: Client) -> None:
    Conversation.objects.create(id="c1", title="Sums")
    Message.objects.create(id="m1", conversation_id="c1", role="user", content="secret words")
    page = admin_client.get(reverse("admin:chat_conversation_change", args=["c1"])).content.decode()
    assert f'href="{address("chat_message", conversation="c1")}"' in page
    assert listed(admin_client.get(address("chat_message", conversation="c1"))) == ["m1"]
