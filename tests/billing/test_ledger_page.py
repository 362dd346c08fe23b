"""The page of a user's ledger: entries with their cause and who made them, the plot, the file, and who may see it."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client, override_settings
from django.urls import reverse

from billing import causes, ledger_page, ledger_rows
from billing.allowance import give_allowances, today
from billing.balance_plot import plot_of
from billing.causes import Cause, causes_of, stripe_url
from billing.ledger import Entry, post
from billing.ledger_audit import audit_ledgers, mend
from billing.ledger_page import ledger_url
from billing.models import BatteryTransaction, UserBattery, UserSubscription
from billing.models import TransactionType as Type
from chat.models import User as Account
from console.models import StaffEvent
from console.roles import AUDITOR, BILLING, OPERATOR, ROLES

pytestmark = pytest.mark.django_db
ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"
ALICE = "user_1"


@pytest.fixture(autouse=True)
def alice(db: Any) -> None:
    Account.objects.create(id=ALICE, email="alice@example.com")


def app_wrote(id: str, amount: int, after: Any, at: Any, **metadata: Any) -> None:
    """An entry as the OmniChat app makes it, without one in the audit log."""
    BatteryTransaction.objects.create(
        id=id, user_id=ALICE, type="usage" if amount < 0 else "refund", amount=amount, balance_after=after,
        metadata=metadata or None, created_at=at,
    )  # fmt: skip


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def shown(client: Client, url: str = "") -> list[str]:
    """The ids of the entries on a page, from the top."""
    return [line["id"] for line in client.get(url or ledger_url(ALICE)).context["lines"]]


def member(*roles: str) -> Client:
    user = User.objects.create_user("carol", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client()
    client.force_login(user)
    return client


def test_an_entry_has_its_type_amount_balance_cause_and_who_made_it(admin_client: Client, admin_user: User) -> None:
    post([Entry("x:1", ALICE, Type.BONUS, 1200, metadata={"reason": "welcome"})], by=admin_user)
    page = admin_client.get(ledger_url(ALICE))
    words = text_of(page)
    for expected in ("alice@example.com", "bonus", "+1,200 units", "welcome", "admin"):
        assert expected in words
    assert page.context["lines"][0]["by"] == "admin"
    assert re.search(r'<time datetime="20[^"]+Z"', page.content.decode())


def test_who_wrote_it_is_the_app_where_the_audit_log_has_nothing(admin_client: Client) -> None:
    app_wrote("t1", -5, 95, "2026-11-22 10:00:00", model="m", message_id="m1")
    page = admin_client.get(ledger_url(ALICE))
    assert "OmniChat app" in text_of(page)
    assert f'href="{reverse("admin:chat_message_change", args=["m1"])}"' in page.content.decode()


def test_entries_of_one_moment_stand_in_the_order_of_their_balances(admin_client: Client) -> None:
    post([Entry(name, ALICE, Type.REFUND, amount) for name, amount in (("b", 5), ("a", 6), ("c", -2))], by="carol")
    assert shown(admin_client) == ["c", "a", "b"]


def test_pages_by_key_show_each_entry_once(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "PAGE", 4)
    for number in range(11):
        app_wrote(f"t{number:02}", 1, number + 1, f"2026-11-22 10:00:{number // 2:02}")
    app_wrote("undated", 1, 12, None)
    seen, url = [], ledger_url(ALICE)
    while url:
        page = admin_client.get(url)
        seen += [line["id"] for line in page.context["lines"]]
        url = page.context["pager"]["next"]
    assert seen == [f"t{number:02}" for number in reversed(range(11))] + ["undated"]
    back = page.context["pager"]["previous"]
    assert shown(admin_client, back) == seen[4:8]
    assert shown(admin_client, ledger_url(ALICE, last=1)) == seen[8:]
    assert shown(admin_client, ledger_url(ALICE, after="nonsense")) == seen[:4]


def test_what_is_unusual_is_marked(admin_client: Client) -> None:
    post([Entry("1", ALICE, Type.BONUS, 10)], by="carol")
    post([Entry("2", ALICE, Type.REFUND, -50)], by="carol")
    post([Entry("3", ALICE, Type.USAGE, -7)], by="carol")
    UserBattery.objects.filter(pk=ALICE).update(total_balance=3)
    mend(audit_ledgers().drift, by="carol")
    lines = admin_client.get(ledger_url(ALICE)).context["lines"]
    assert [[mark[1] for mark in line["marks"]] for line in lines] == [["correction"], ["overdrawn"], ["clipped"], []]
    assert "50 units" in lines[2]["marks"][0][2]


def test_a_balance_that_the_newest_entry_did_not_leave_is_told(admin_client: Client) -> None:
    post([Entry("1", ALICE, Type.BONUS, 10)], by="carol")
    assert "audit_battery" not in text_of(admin_client.get(ledger_url(ALICE)))
    UserBattery.objects.filter(pk=ALICE).update(total_balance=3)
    assert "audit_battery" in text_of(admin_client.get(ledger_url(ALICE)))


def test_without_entries_it_says_what_will_stand_there(admin_client: Client) -> None:
    words = text_of(admin_client.get(ledger_url(ALICE)))
    assert "No entries yet" in words
    assert "<svg viewBox" not in words


def test_entries_of_nobody_are_shown_and_nobody_at_all_is_not_found(admin_client: Client) -> None:
    BatteryTransaction.objects.create(id="t", user_id="gone/away", type="usage", amount=-1, balance_after=9)
    assert "There is no such user" in text_of(admin_client.get(ledger_url("gone/away")))
    assert admin_client.get(ledger_url("user_2")).status_code == 404
    assert admin_client.get(ledger_url("user_2\0")).status_code == 404


def test_odd_values_are_shown_and_stop_nothing(admin_client: Client) -> None:
    execute(
        "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, metadata, created_at) "
        "VALUES ('odd', %s, 'gift', 'many', NULL, '{no json', 'yesterday')", ALICE
    )  # fmt: skip
    execute("INSERT INTO audit_logs (id, resourceType, resourceId, metadata) "
            "VALUES ('a', 'battery_transactions', 'odd', '{no json')")  # fmt: skip
    page = admin_client.get(ledger_url(ALICE))
    assert page.status_code == 200
    assert "many ⚠" in text_of(page)


def execute(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, list(params) or None)
        return list(cursor.fetchall()) if cursor.description else []


# Causes


def entry(id: str = "t", intent: str | None = None, **metadata: Any) -> BatteryTransaction:
    return BatteryTransaction(id=id, user_id=ALICE, stripe_payment_intent_id=intent, metadata=metadata)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(causes, "_SOURCES", dict(causes._SOURCES))
    return


def test_a_room_above_says_what_its_ids_mean(sources: None) -> None:
    causes.register("gift", lambda rest: Cause("Gift", rest, f"/gifts/{rest}/") if rest != "none" else None)
    assert causes_of(entry("gift:7")) == [Cause("Gift", "7", "/gifts/7/")]
    assert causes_of(entry("gift:none")) == []


def test_an_allowance_names_its_day_and_a_correction_itself() -> None:
    UserSubscription.objects.create(id="s", user_id=ALICE, plan_id="power", status="active")
    give_allowances(date(2026, 11, 22), by="test")
    assert [cause.label for cause in causes_of(BatteryTransaction.objects.get())] == ["Daily allowance of 22 Nov 2026"]
    assert [cause.label for cause in causes_of(entry("correction:user_1:9"))] == ["Correction by audit_battery"]
    assert causes_of(entry("allowance:user_1")) == []


def test_objects_of_stripe_lead_to_its_dashboard_in_the_mode_of_the_key() -> None:
    with override_settings(STRIPE_SECRET_KEY="sk_test_x"):
        found = causes_of(entry("invoice:in_1Q6abc", "pi_1Q6abc", invoice="in_1Q6abc"))
        assert [(cause.label, cause.key) for cause in found] == [
            ("Stripe payment", "pi_1Q6abc"), ("Stripe invoice", "in_1Q6abc"),
        ]  # fmt: skip
        assert found[0].url == "https://dashboard.stripe.com/test/payments/pi_1Q6abc"
    with override_settings(STRIPE_SECRET_KEY="rk_live_x"):
        assert stripe_url("in_1Q6abc") == "https://dashboard.stripe.com/invoices/in_1Q6abc"
        assert stripe_url("cs_test_a1b2c3") == "https://dashboard.stripe.com/test/checkout/sessions/cs_test_a1b2c3"
    with override_settings(STRIPE_SECRET_KEY=""):
        assert stripe_url("in_1Q6abc") == ""
        assert stripe_url("javascript:alert(1)") == ""


# The plot


def test_the_plot_has_the_balance_that_each_day_left(admin_client: Client) -> None:
    now = datetime.now(UTC)
    for number, (days, after) in enumerate([(200, 50), (40, 500), (40, 400), (3, -20)]):
        at = f"{now - timedelta(days=days):%Y-%m-%d} 10:00:0{number}"
        app_wrote(f"t{number}", 1, after, at if number % 2 else at.replace(" ", "T") + ".000Z")
    plot = admin_client.get(ledger_url(ALICE)).context["plot"]
    assert len(plot.points) == 90
    assert [balance for _, balance in plot.changes] == [-20, 400, 50]
    assert (plot.first[1], plot.last[1], plot.lowest[1], plot.highest[1]) == (50, -20, -20, 400)
    assert plot.changes[1][0] == today() - timedelta(days=40)
    assert len(admin_client.get(ledger_url(ALICE, days=30)).context["plot"].points) == 30
    assert len(admin_client.get(ledger_url(ALICE, days=365)).context["plot"].points) == 201


def test_the_drawing_stays_within_its_edges() -> None:
    day = date(2026, 11, 22)
    for balances in ([0], [7], [-5], [5, None, -3], [2**60, 1], [123_456, 99, 100_001], [None, 3]):
        days = [(day + timedelta(days=number), balance) for number, balance in enumerate(balances)]
        plot = plot_of(days)
        assert plot
        heights = [float(y) for y in re.findall(r"(?<=V)[\d.-]+|(?<=M0 )[\d.-]+", plot.line)]
        assert all(0 <= y <= plot.height for y in heights), balances
        high, low = (int(units.replace(",", "")) for _, units in (plot.ticks[0], plot.ticks[-1]))
        assert high >= max(b for b in balances if b is not None) >= low
        assert 2 <= len(plot.ticks) <= 7
    assert plot_of([(day, None)]) is None


def test_the_plot_can_be_read_without_seeing_it(admin_client: Client) -> None:
    post([Entry("1", ALICE, Type.BONUS, 1000)], by="carol")
    page = admin_client.get(ledger_url(ALICE)).content.decode()
    assert 'role="img" aria-labelledby="plot-name plot-words"' in page
    assert "From 1,000 units on" in page
    assert "<summary>As a table</summary>" in page
    assert "style=" not in page


# The file


def file_of(client: Client) -> list[dict[str, str]]:
    response = client.post(f"{ledger_url(ALICE)}export/")
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))


def test_the_file_has_all_entries_and_is_recorded(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "PIECE", 3)
    monkeypatch.setattr(ledger_page, "CHUNK", 2)
    post([Entry(f"x:{n}", ALICE, Type.BONUS, n + 1) for n in range(8)], by="carol")
    app_wrote("t", -5, 31, "2020-01-01 00:00:00", reason="=1+1")
    rows = file_of(admin_client)
    assert [row["id"] for row in rows] == [*(f"x:{n}" for n in reversed(range(8))), "t"]
    assert (rows[0]["amount"], rows[0]["balance_after"], rows[0]["by"]) == ("8", "36", "carol")
    assert (rows[-1]["cause"], rows[-1]["created_at"]) == ("'=1+1", "2020-01-01T00:00:00.000Z")
    event = StaffEvent.objects.get()
    assert (event.action, event.subject) == ("export", "billing.batterytransaction")
    assert event.detail["filters"] == f"user={ALICE}"


def test_a_link_alone_takes_nothing_out(admin_client: Client) -> None:
    assert admin_client.get(f"{ledger_url(ALICE)}export/").status_code == 302
    assert not StaffEvent.objects.exists()


@pytest.mark.parametrize("role", ROLES)
def test_every_role_looks_and_who_may_export_exports(role: str) -> None:
    client = member(role)
    app_wrote("t", -5, 31, "2020-01-01 00:00:00")
    page = client.get(ledger_url(ALICE))
    may = role in (BILLING, OPERATOR, AUDITOR)
    assert page.status_code == 200
    assert ("Export CSV" in page.content.decode()) == may
    assert client.post(f"{ledger_url(ALICE)}export/").status_code == (200 if may else 403)
    assert StaffEvent.objects.filter(action="export").exists() == may


def test_without_a_role_there_is_nothing_to_see(client: Client) -> None:
    assert client.get(ledger_url(ALICE)).status_code == 302
    assert member().get(ledger_url(ALICE)).status_code == 403


def test_the_pages_of_a_user_and_a_battery_lead_here(admin_client: Client) -> None:
    UserBattery.objects.create(user_id=ALICE, total_balance=1)
    app_wrote("t", -5, 31, "2020-01-01 00:00:00")
    for name, pk in (("chat_user", ALICE), ("billing_userbattery", ALICE), ("billing_batterytransaction", "t")):
        page = admin_client.get(reverse(f"admin:{name}_change", args=[pk]))
        assert f'href="{ledger_url(ALICE)}"' in page.content.decode(), name


# What it costs


def test_it_takes_three_queries_at_the_most(
    admin_client: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_rows, "PAGE", 4)
    for number in range(9):
        app_wrote(f"t{number}", 1, number, f"2026-11-22 10:00:0{number}" if number else None, message_id="m")
    admin_client.get(ledger_url(ALICE))
    url = ledger_url(ALICE)
    while url:
        with django_assert_max_num_queries(3, using="omnichat"):
            page = admin_client.get(url)
        if ON_D1:
            found = re.search(r'desc="(\d+) requests', page["Server-Timing"])
            assert found
            assert int(found[1]) <= 3
        url = page.context["pager"]["next"]


@pytest.mark.skipif(not ON_D1, reason="of D1 alone, which tells the rows that it read")
def test_a_long_ledger_costs_no_more_than_a_short_one(admin_client: Client) -> None:
    execute(
        "INSERT INTO battery_transactions (id, user_id, type, amount, balance_after, created_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "SELECT 't' || i, %s, 'refund', 1, i, strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now', -i || ' minutes') FROM n",
        ALICE,
    )  # fmt: skip
    usage = connections["omnichat"].usage
    usage.reset()
    assert len(shown(admin_client)) == 50
    assert usage.rows_read < 1500


@pytest.mark.skipif(ON_D1, reason="of SQLite's planner, which both have")
def test_each_day_and_each_page_is_looked_up_in_the_index() -> None:
    plan = execute(f"EXPLAIN QUERY PLAN {ledger_rows._SUMMARY}", "2026-08-25", "2026-11-22", ALICE)
    told = " ".join(row[-1] for row in plan)
    assert "SEARCH t USING INDEX transactions_by_user (user_id=? AND <expr><?)" in told
    rows = ledger_rows.ORDER.applied(ledger_rows._entries().filter(user_id=ALICE), descending=True)[:50]
    told = rows.explain()
    assert "INDEX transactions_by_user (user_id=?)" in told
    assert "INDEX audit_by_resource (resourceId=?)" in told
