"""A form that a browser sends back leaves every cell that nobody typed over as it was, down to its type."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from django.contrib.admin.utils import quote
from django.db import connections
from django.urls import reverse

from database import columns

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("D1 always checks foreign keys")]
OMNICHAT = "omnichat"
ODD = (
    "' a '",
    "'two' || char(10) || 'lines'",
    "''",
    "x'00ff'",
    "char(13) || 'x'",
    "'<b>&amp;\"'",
    "'soon'",
    "NULL",
)
TABLES = {
    "chat_user": (
        "users",
        ["avatarUrl", "stripeCustomerId", "subscriptionStatus", "createdAt"],
        "name",
    ),
    "chat_conversation": ("conversations", ["title", "modelId", "pinned", "archived", "lastMessageAt"], "title"),
    "billing_subscriptionplan": (
        "subscription_plans",
        ["price_monthly", "battery_units", "features", "stripe_price_id_annual"],
        "name",
    ),
    "billing_usersubscription": (
        "user_subscriptions",
        ["user_id", "plan_id", "status", "stripe_customer_id", "current_period_start", "cancel_at", "trial_end"],
        "stripe_subscription_id",
    ),
}


class Browser(HTMLParser):
    """What a browser would send for the form of a page if nobody typed anything."""

    def __init__(self, page):
        super().__init__()
        self.data, self.inside, self.area, self.select = {}, False, None, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.inside = attrs.get("id", "").endswith("_form")
        if not self.inside:
            return
        if tag == "input" and attrs.get("type") not in ("submit", "checkbox") and attrs.get("name"):
            value = attrs.get("value") or ""
            hidden = attrs.get("type") == "hidden"
            self.data[attrs["name"]] = value if hidden else value.replace("\n", "").replace("\r", "")
        if tag == "textarea":
            self.area, self.data[attrs["name"]] = attrs["name"], ""
        if tag == "select":
            self.select, self.data[attrs["name"]] = attrs["name"], ""
        if tag == "option" and self.select and "selected" in attrs:
            self.data[self.select] = attrs.get("value", "")

    def handle_data(self, data):
        if self.area:
            self.data[self.area] += data

    def handle_endtag(self, tag):
        if tag == "textarea" and self.area:
            text = self.data[self.area].replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")
            self.data[self.area], self.area = text.replace("\n", "\r\n"), None
        if tag == "select":
            self.select = None
        if tag == "form":
            self.inside = False


def execute(sql):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


@pytest.fixture(autouse=True)
def keys_unchecked():
    execute("PRAGMA defer_foreign_keys = ON")
    yield
    for table in ("user_subscriptions", "conversations", "users"):
        execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("name", TABLES)
def test_what_nobody_typed_over_stays_whatever_it_is(admin_client, name):
    table, columns, changed = TABLES[name]
    for number, odd in enumerate(ODD):
        required = {"users": ("email", f"'e{number}'"), "subscription_plans": ("name", "'n'")}.get(table, ("id", "0"))
        extra = f", {required[0]}" if required[0] != "id" else ""
        values = f", {required[1]}" if extra else ""
        execute(
            f"INSERT INTO {table} (id, {', '.join(columns)}{extra}) "
            f"VALUES ('odd_{number}', {', '.join([odd] * len(columns))}{values})"
        )
        kept = [column for column in columns if column != changed]
        cells = ", ".join(f"{column}, typeof({column})" for column in kept)
        before = execute(f"SELECT {cells} FROM {table} WHERE id = 'odd_{number}'")
        address = reverse(f"admin:{name}_change", args=[quote(f"odd_{number}")])
        typed = "sub_1New" if changed.startswith("stripe") else "New"
        data = {**Browser(admin_client.get(address).content.decode()).data, changed: typed, "_save": "Save"}
        response = admin_client.post(address, data)
        assert response.status_code == 302, (odd, response.context["adminform"].form.errors)
        assert execute(f"SELECT {cells} FROM {table} WHERE id = 'odd_{number}'") == before, odd
        assert execute(f"SELECT {changed} FROM {table} WHERE id = 'odd_{number}'") == [(typed,)]


@pytest.fixture
def first_days(db):
    """The tables of a subscription as the app's first days made them: without the moments of making and change."""
    with connections[OMNICHAT].cursor() as cursor:
        for name in "created", "user", "plan", "status":
            cursor.execute(f"DROP INDEX IF EXISTS subscriptions_by_{name}")
        for table in "subscription_plans", "user_subscriptions":
            for column in "created_at", "updated_at":
                cursor.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        cursor.execute("INSERT INTO users (id, email) VALUES ('u1', 'u1@example.com')")
        cursor.execute(
            "INSERT INTO user_subscriptions (id, user_id, plan_id, status) VALUES ('s1', 'u1', 'daily', 'active')"
        )
    columns.forget()
    yield
    columns.forget()


def test_a_form_opens_and_saves_where_the_row_and_what_its_keys_name_lack_columns(first_days, admin_client):
    address = reverse("admin:billing_usersubscription_change", args=["s1"])
    page = admin_client.get(address)
    assert page.status_code == 200
    done = admin_client.post(address, {**Browser(page.content.decode()).data, "status": "canceled"})
    assert done.status_code == 302, done.content.decode()
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("SELECT status FROM user_subscriptions")
        assert cursor.fetchall() == [("canceled",)]
