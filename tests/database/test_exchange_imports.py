"""An import says what it would change before it does; then it changes all of that or nothing, with audit entries."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections

from billing.models import SubscriptionPlan
from billing.resources import PlanResource
from chat.models import User
from chat.resources import UserResource
from database import import_writes, imports
from database.exchange import columns_of, rows_of
from database.export_files import FORMATS
from database.import_files import BadFile, Given, Table, read_file
from database.import_writes import ImportStopped, write_import
from database.imports import Preview, preview
from database.models import AuditLog

pytestmark = pytest.mark.django_db
OMNICHAT = "omnichat"
ON_D1 = settings.DATABASES[OMNICHAT]["ENGINE"] == "d1"


def put(table, **cells):
    columns, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(cells.values()))


def raw(sql):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def look(resource, *rows, may_add=True):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    given = [Given(number, row) for number, row in enumerate(rows, start=2)]
    return preview(resource, Table(columns, given), "file.csv", may_add=may_add)


def said(found):
    return [(problem.row, problem.column, problem.sentence) for problem in found.problems]


@pytest.fixture
def staff():
    return get_user_model().objects.create_user("sam")


@pytest.fixture
def people():
    put("users", id="user_alice", email="alice@example.com", name="Alice", createdAt="2026-11-22 14:03:09")
    put("users", id="user_bob", email="bob@example.com", name="Bob", subscriptionStatus="upgraded")


@pytest.mark.parametrize("extension", ["csv", "xlsx", "json"])
def test_a_file_that_was_exported_and_not_edited_changes_nothing(extension, people):
    put("users", id="user_=", email="=1", name=b"\xff", avatarUrl="", stripeCustomerId="no id", createdAt="soon")
    put("subscription_plans", id="odd", name=" +1\t", price_monthly="many", battery_units=2**63 - 1, features="{broken")
    put("subscription_plans", id="json", name="x", features='[ "a",  {"b": 1.50} ]')
    for resource, model in ((UserResource, User), (PlanResource, SubscriptionPlan)):
        columns = columns_of(resource)
        content = b"".join(FORMATS[extension].write(columns, rows_of(model.objects.all(), columns)))
        found = preview(resource, read_file(f"a.{extension}", content), "a", may_add=True)
        assert (found.changes, found.problems) == ([], [])
        assert found.unchanged == found.rows == model.objects.count()


def test_a_preview_tells_each_change_and_writes_nothing(people):
    found = look(
        UserResource,
        {"ID": "user_alice", "name": "Alicia", "tier": "paid", "createdAt": "2027"},
        {"ID": "user_bob", "name": "Bob", "tier": "free"},
        {"ID": "user_carol", "name": "Carol", "tier": "", "email": "carol@example.com"},
    )
    one, new = found.changes
    assert (one.row, one.key, one.before, one.after) == (
        2,
        "user_alice",
        {"name": "Alice", "tier": "free"},
        {"name": "Alicia", "tier": "paid"},
    )
    assert (new.row, new.new, new.before) == (4, True, {})
    assert new.after["tier"] == "free"
    assert (found.unchanged, found.new, found.ignored, found.problems) == (1, 1, ["createdAt"], [])
    assert raw("SELECT name FROM users ORDER BY id") == [("Alice",), ("Bob",)]


def test_what_was_previewed_is_written_with_an_entry_for_each_row(people, staff):
    found = look(
        UserResource,
        {"id": "user_alice", "name": "Alicia"},
        {"id": "user_bob", "tier": "paid"},
        {"id": "user_carol", "email": "carol@example.com"},
    )
    assert write_import(UserResource, Preview.of(found.as_dict()), by=staff) == 3
    assert raw("SELECT name, tier, subscriptionStatus FROM users ORDER BY id") == [
        ("Alicia", "free", "inactive"),
        ("Bob", "paid", "upgraded"),
        (None, "free", "inactive"),
    ]
    assert raw("SELECT createdAt FROM users WHERE id = 'user_alice'") == [("2026-11-22 14:03:09",)]
    assert all(at.endswith("Z") for (at,) in raw("SELECT updatedAt FROM users"))
    entries = {entry.resource_id: entry for entry in AuditLog.objects.all()}
    assert set(entries) == {"user_alice", "user_bob", "user_carol"}
    alice = entries["user_alice"]
    assert (alice.action, alice.user_id, alice.metadata["file"]) == ("users.import", "user_alice", "file.csv")
    assert (alice.metadata["before"], alice.metadata["after"]) == ({"name": "Alice"}, {"name": "Alicia"})
    assert entries["user_carol"].metadata["before"] == {}


@pytest.mark.sqlite_only("the comparison is the same")
@pytest.mark.parametrize(
    ("row", "column", "sentence"),
    [
        ({"id": "user_alice", "email": "nobody"}, "email", "Enter a valid email address."),
        ({"id": "user_alice", "email": ""}, "email", "A value is needed here."),
        ({"id": "user_alice", "email": "bob@example.com"}, "email", "Another row has this email: “bob@example.com”."),
        ({"id": "user_alice", "tier": "gold"}, "tier", "Value 'gold' is not a valid choice."),
        ({"id": "user_alice", "stripeCustomerId": "sub_1"}, "stripeCustomerId", "is not a Stripe customer id"),
        ({"id": "user_alice", "name": "a\0b"}, "name", "NUL"),
        ({"id": "carol", "email": "carol@example.com"}, "id", "is not a Clerk user id"),
        ({"id": "user_carol", "name": "Carol"}, "id", "There is no such row; a new one needs email."),
        ({"id": " ", "email": "carol@example.com"}, "id", "The key is missing."),
    ],
)
def test_a_wrong_value_is_told_with_its_row_and_column(people, row, column, sentence):
    found = look(UserResource, row)
    ((number, told, words),) = said(found)
    assert (number, told, found.unchanged) == (2, column, 0)
    assert sentence in words


@pytest.mark.sqlite_only("the comparison is the same")
@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("price_monthly", "-1", "greater than or equal to 0"),
        ("price_monthly", "4.99", "Enter a whole number."),
        ("battery_units", str(2**63), "less than or equal to"),
        ("features", "[", "Enter valid JSON."),
        ("features", "-5", "Enter a JSON array"),
        ("stripe_price_id_annual", "cus_1", "is not a Stripe price id"),
    ],
)
def test_a_wrong_value_of_a_plan_is_told(column, value, sentence):
    ((_, told, words),) = said(look(PlanResource, {"id": "daily", column: value}))
    assert told == column
    assert sentence in words


def test_an_odd_value_may_stay_and_may_not_come_in(people):
    assert not look(UserResource, {"id": "user_bob", "subscriptionStatus": "upgraded", "name": "B"}).problems
    assert look(UserResource, {"id": "user_alice", "subscriptionStatus": "upgraded"}).problems


def test_a_key_or_an_email_that_comes_twice_is_told(people):
    found = look(
        UserResource,
        {"id": "user_alice", "email": "same@example.com"},
        {"id": "user_bob", "email": "same@example.com"},
        {"id": "user_bob", "email": "b@example.com"},
    )
    assert {(row, column) for row, column, _ in said(found)} == {(2, "email"), (3, "email"), (3, "id"), (4, "id")}


def test_who_may_not_add_rows_is_told(people):
    found = look(UserResource, {"id": "user_carol", "email": "carol@example.com"}, may_add=False)
    assert said(found) == [(2, "id", "There is no such row, and you may not add one.")]


def test_a_row_with_more_or_fewer_values_than_columns_is_told(people):
    table = read_file("a.csv", b"id,name\nuser_alice,A,5\nuser_bob\n")
    found = preview(UserResource, table, "a.csv", may_add=True)
    assert [(row, "more" in words) for row, _, words in said(found)] == [(2, True), (3, False)]


def test_a_file_without_the_key_is_told():
    with pytest.raises(BadFile, match="no column “id”, but name, tier"):
        look(UserResource, {"name": "a", "tier": "free"})


def test_a_plan_gets_json_numbers_and_nothing(staff):
    found = look(PlanResource, {"id": "daily", "price_monthly": 1399.0, "features": ["a"], "price_annual": ""})
    write_import(PlanResource, found, by=staff)
    plan = SubscriptionPlan.objects.get(pk="daily")
    assert (plan.price_monthly, plan.features, plan.price_annual) == (1399, ["a"], None)
    assert AuditLog.objects.get().user_id is None


def test_a_row_that_was_changed_after_the_preview_stops_the_import(people, staff):
    found = look(UserResource, {"id": "user_alice", "name": "Alicia"}, {"id": "user_bob", "name": "Robert"})
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'Bobby' WHERE id = 'user_bob'")
    with pytest.raises(ImportStopped, match=r"Row 3: name of user_bob has been changed.*Nothing was written"):
        write_import(UserResource, found, by=staff)
    assert raw("SELECT name FROM users ORDER BY id") == [("Alice",), ("Bobby",)]
    assert not AuditLog.objects.exists()


def test_rows_that_came_or_went_after_the_preview_stop_the_import(people, staff):
    found = look(UserResource, {"id": "user_carol", "email": "carol@example.com"})
    put("users", id="user_carol", email="c@example.com")
    with pytest.raises(ImportStopped, match="has been added"):
        write_import(UserResource, found, by=staff)
    found = look(UserResource, {"id": "user_alice", "name": "Alicia"})
    User.objects.filter(pk="user_alice")._raw_delete(OMNICHAT)
    with pytest.raises(ImportStopped, match="no longer there"):
        write_import(UserResource, found, by=staff)


def test_an_email_that_was_taken_after_the_preview_stops_the_import(people, staff):
    found = look(UserResource, {"id": "user_alice", "email": "new@example.com"}, {"id": "user_bob", "name": "B"})
    put("users", id="user_carol", email="new@example.com")
    with pytest.raises(ImportStopped, match="Another row has taken a value of email"):
        write_import(UserResource, found, by=staff)
    assert raw("SELECT name FROM users WHERE id = 'user_bob'") == [("Bob",)]


def many(count):
    rows = [(f"user_{number:05}", f"{number}@example.com") for number in range(count)]
    with connections[OMNICHAT].cursor() as cursor:
        cursor.executemany("INSERT INTO users (id, email) VALUES (%s, %s)", rows)
    return look(UserResource, *({"id": key, "name": f"={key}"} for key, _ in rows))


def test_a_large_import_is_looked_at_whole_before_the_first_write(staff, monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 10)
    monkeypatch.setattr(import_writes, "BATCH", 10)
    found = many(25)
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'else' WHERE id = 'user_00024'")
    with pytest.raises(ImportStopped) as stopped:
        write_import(UserResource, found, by=staff)
    assert stopped.value.done == 0


def test_a_large_import_that_is_stopped_goes_on_when_the_file_is_given_again(staff, monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 10)
    monkeypatch.setattr(import_writes, "BATCH", 10)
    found, record, calls = many(25), import_writes.audit.record_all, []

    def stop_at_the_third(entries):
        calls.append(entries)
        if len(calls) == 3:
            raise import_writes._InTheWay("Row 23: it is in the way.")
        record(entries)

    monkeypatch.setattr(import_writes.audit, "record_all", stop_at_the_third)
    with pytest.raises(ImportStopped, match="20 rows are written; give the same file again"):
        write_import(UserResource, found, by=staff)
    assert AuditLog.objects.count() == User.objects.exclude(name=None).count() == 20
    again = look(UserResource, *({"id": f"user_{n:05}", "name": f"=user_{n:05}"} for n in range(25)))
    assert (again.unchanged, len(again.changes)) == (20, 5)
    assert write_import(UserResource, again, by=staff) == 5


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
def test_a_thousand_rows_on_d1_are_a_read_and_a_batch(staff):
    found, usage = many(1000), connections[OMNICHAT].usage
    before = usage.requests
    assert write_import(UserResource, found, by=staff) == 1000
    assert usage.requests - before == 2


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
def test_a_change_between_the_read_and_the_batch_on_d1_stops_the_import(people, staff, monkeypatch):
    record = import_writes.audit.record_all

    def record_late(entries):
        record(entries)
        other = connections[OMNICHAT].copy(OMNICHAT)
        with other.cursor() as cursor:
            cursor.execute("UPDATE users SET name = 'Else' WHERE id = 'user_bob'")
        other.close()

    found = look(UserResource, {"id": "user_alice", "name": "A"}, {"id": "user_bob", "name": "B"})
    monkeypatch.setattr(import_writes.audit, "record_all", record_late)
    with pytest.raises(ImportStopped, match="Somebody has changed one of these rows"):
        write_import(UserResource, found, by=staff)
    assert raw("SELECT name FROM users ORDER BY id") == [("Alice",), ("Else",)]


def test_a_thousand_rows_take_a_handful_of_queries(staff, django_assert_max_num_queries):
    with django_assert_max_num_queries(12, connection=connections[OMNICHAT]):
        found = many(1000)
    with django_assert_max_num_queries(14, connection=connections[OMNICHAT]):
        write_import(UserResource, found, by=staff)
