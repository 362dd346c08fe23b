"""Edits write what was changed and nothing else, only over what was shown, and leave an entry in the audit log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone

from billing.forms import PlanForm, SubscriptionForm
from billing.models import SubscriptionPlan, UserSubscription
from chat.forms import UserForm
from chat.models import User
from database import audit
from database.edit_form import RELOAD, carry
from database.edits import Conflict, Taken, cell_of, save_changes
from database.models import AuditLog

pytestmark = pytest.mark.django_db
OMNICHAT = "omnichat"
ON_D1 = settings.DATABASES[OMNICHAT]["ENGINE"] == "d1"
FIELDS = ("email", "name", "avatar_url", "stripe_customer_id", "subscription_status", "subscription_id", "tier")


def put(table, **cells):
    columns, marks = ", ".join(cells), ", ".join(["%s"] * len(cells))
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(cells.values()))


def raw(table, column):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} ORDER BY rowid")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def staff():
    return get_user_model().objects.create_user("sam")


@pytest.fixture
def alice():
    put("users", id="user_alice", email="alice@example.com", name="Alice", createdAt="2026-11-22 14:03:09")
    return User.objects.get(pk="user_alice")


def shown(row, *names):
    return {name: cell_of(row, name) for name in names or FIELDS}


def posted(form, **typed):
    """What a browser sends for a form that was shown: its inputs, with what somebody typed over them."""
    data = {}
    for bound in form:
        value = bound.field.prepare_value(bound.initial)
        data[bound.html_name] = "" if value is None else str(value)
    data |= {form.carrier(name): carry(cell) for name, cell in form.shown.items()}
    return {**data, **typed}


def edit(form_class, row, **typed):
    """The form as it comes back, over the row as it is by then."""
    page = form_class(instance=row)
    return form_class(posted(page, **typed), instance=type(row).objects.get(pk=row.pk))


def test_an_edit_writes_its_columns_the_time_and_an_entry(alice, staff):
    save_changes(alice, shown=shown(alice), changed={"name": "Alicia", "tier": "paid"}, by=staff)
    alice.refresh_from_db()
    assert (alice.name, alice.tier, alice.email) == ("Alicia", "paid", "alice@example.com")
    assert timezone.now() - alice.updated_at < timedelta(minutes=1)
    assert raw("users", "createdAt") == ["2026-11-22 14:03:09"]
    entry = AuditLog.objects.get()
    assert (entry.action, entry.user_id, entry.resource_type) == ("users.update", "user_alice", "users")
    assert entry.metadata["before"] == {"name": "Alice", "tier": "free"}
    assert entry.metadata["after"] == {"name": "Alicia", "tier": "paid"}
    assert entry.metadata["by"]["username"] == "sam"


def test_an_edit_takes_two_statements(alice, staff, django_assert_max_num_queries):
    with django_assert_max_num_queries(4, connection=connections[OMNICHAT]):  # two of them mark the savepoint
        save_changes(alice, shown=shown(alice), changed={"name": "Alicia"}, by=staff)


def test_the_second_of_two_editors_is_told_and_nothing_is_overwritten(alice, staff):
    mine, theirs = shown(alice), shown(alice)
    save_changes(alice, shown=theirs, changed={"name": "Alicia", "tier": "paid"}, by=staff)
    with pytest.raises(Conflict) as refused:
        save_changes(alice, shown=mine, changed={"email": "a@example.com"}, by=staff)
    assert [d.field.name for d in refused.value.differences] == ["name", "tier"]
    assert refused.value.errors["name"] == "name is now “Alicia”, you were shown “Alice”."
    alice.refresh_from_db()
    assert (alice.name, alice.email) == ("Alicia", "alice@example.com")
    assert AuditLog.objects.count() == 1


def test_a_change_of_a_column_that_the_form_did_not_show_is_no_conflict(alice, staff):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET updatedAt = '2026-11-22T15:00:00.000Z'")
    save_changes(alice, shown=shown(alice), changed={"name": "Alicia"}, by=staff)
    assert raw("users", "name") == ["Alicia"]


def test_a_row_that_is_gone_is_told(alice, staff):
    User.objects.filter(pk=alice.pk)._raw_delete(OMNICHAT)
    with pytest.raises(Conflict, match="no longer there") as refused:
        save_changes(alice, shown=shown(alice), changed={"name": "Alicia"}, by=staff)
    assert refused.value.differences is None
    assert not AuditLog.objects.exists()


def test_null_and_the_empty_text_are_two_things(alice, staff):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET avatarUrl = ''")
    with pytest.raises(Conflict):
        save_changes(alice, shown=shown(alice), changed={"name": "Alicia"}, by=staff)


def test_an_email_that_somebody_has_taken_in_between_is_told(alice, staff):
    put("users", id="user_bob", email="bob@example.com")
    with pytest.raises(Taken) as refused:
        save_changes(alice, shown=shown(alice), changed={"email": "bob@example.com"}, by=staff)
    assert refused.value.errors == {"email": "Another row already has this email."}
    assert raw("users", "email") == ["alice@example.com", "bob@example.com"]
    assert not AuditLog.objects.exists()


def test_an_edit_without_a_change_writes_nothing(alice, staff):
    form = edit(UserForm, alice)
    assert form.is_valid()
    form.save_changes(by=staff)
    assert not AuditLog.objects.exists()


@pytest.fixture
def unchecked_keys(transactional_db):
    """Rows may point to rows that are not there, as in a database that lived without foreign keys."""
    with connections[OMNICHAT].constraint_checks_disabled():
        yield
        for model in (UserSubscription, AuditLog):
            model.objects.all()._raw_delete(OMNICHAT)


@pytest.mark.sqlite_only("D1 always checks foreign keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unchecked_keys")
def test_odd_values_stay_while_another_field_is_saved(staff):
    put(
        "user_subscriptions",
        id="sub1",
        user_id="user_gone",
        plan_id="gone",
        status="upgraded",
        stripe_customer_id="no id\nat all",
        current_period_start="soon",
        current_period_end="1795356189",
        trial_end="2026-11-22 14:03:09",
    )
    form = edit(SubscriptionForm, UserSubscription.objects.get(), stripe_subscription_id="sub_1A")
    assert form.is_valid(), form.errors
    assert form.changes == {"stripe_subscription_id": "sub_1A"}
    form.save_changes(by=staff)
    row = {column: raw("user_subscriptions", column)[0] for column in ("user_id", "status", "stripe_customer_id")}
    assert row == {"user_id": "user_gone", "status": "upgraded", "stripe_customer_id": "no id\nat all"}
    assert raw("user_subscriptions", "current_period_start") == ["soon"]
    assert raw("user_subscriptions", "current_period_end") == ["1795356189"]
    assert raw("user_subscriptions", "trial_end") == ["2026-11-22 14:03:09"]
    assert AuditLog.objects.get().user_id == "user_gone"


def test_the_page_shows_odd_values_and_carries_the_cells():
    put("user_subscriptions", id="sub1", status="upgraded", current_period_start="soon")
    form = SubscriptionForm(instance=UserSubscription.objects.get())
    page = form.as_p()
    assert '<input type="hidden" name="shown-current_period_start" value="&quot;soon&quot;">' in page
    assert '<option value="upgraded" selected>upgraded (as it was found)</option>' in page
    assert 'name="current_period_start" value="soon"' in page
    assert "<mark" not in page


def test_a_value_is_compared_with_what_was_shown_not_with_what_is_there_by_now(alice, staff):
    page = UserForm(instance=alice)
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'Alicia'")
    form = UserForm(posted(page, email="a@example.com"), instance=User.objects.get())
    assert form.is_valid()
    assert form.changes == {"email": "a@example.com"}
    with pytest.raises(Conflict) as refused:
        form.save_changes(by=staff)
    form.refuse(refused.value)
    assert form.errors["name"] == ["name is now “Alicia”, you were shown “Alice”."]
    assert "Somebody else has changed this row" in form.non_field_errors()[0]


def test_a_form_that_lost_its_cells_is_not_saved(alice):
    data = posted(UserForm(instance=alice), name="Alicia")
    del data["shown-name"]
    form = UserForm(data, instance=alice)
    assert not form.is_valid()
    assert "Reload the page" in form.non_field_errors()[0]


@pytest.mark.sqlite_only("the form is the same")
@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("email", "nobody", "Enter a valid email address."),
        ("email", "", "This field is required."),
        ("email", "bob@example.com", "User with this Email already exists."),
        ("stripe_customer_id", "sub_1A", "is not a Stripe customer id"),
        ("subscription_id", "1A", "is not a Stripe subscription id"),
        ("tier", "gold", "Select a valid choice."),
        ("subscription_status", "unpaid", "Select a valid choice."),
    ],
)
def test_a_user_with_a_wrong_value_is_refused(alice, field, typed, said):
    put("users", id="user_bob", email="bob@example.com")
    form = edit(UserForm, alice, **{field: typed})
    assert not form.is_valid()
    assert said in form.errors[field][0]


@pytest.mark.sqlite_only("the form is the same")
@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("plan", "gold", "Select a valid choice."),
        ("user", "user_nobody", "Select a valid choice."),
        ("stripe_subscription_id", "cus_1", "is not a Stripe subscription id"),
        ("status", "inactive", "Select a valid choice."),
        ("current_period_end", "2026-11-01", "has to end after its start"),
        ("current_period_end", "later", "Enter a date and time like"),
    ],
)
def test_a_subscription_with_a_wrong_value_is_refused(field, typed, said):
    put("user_subscriptions", id="sub1", plan_id="daily", current_period_start="2026-11-22 14:03:09")
    form = edit(SubscriptionForm, UserSubscription.objects.get(), **{field: typed})
    assert not form.is_valid()
    assert said in form.errors[field][0]


def test_a_plan_with_a_wrong_value_is_refused():
    plan = SubscriptionPlan.objects.get(pk="daily")
    form = edit(PlanForm, plan, price_monthly="-1", battery_units="many", features="[", stripe_price_id_annual="p")
    assert not form.is_valid()
    assert set(form.errors) == {"price_monthly", "battery_units", "features", "stripe_price_id_annual"}


@pytest.mark.parametrize("typed", ["-5", "true", '"text"'])
def test_features_of_a_plan_are_an_array_or_an_object(typed):
    form = edit(PlanForm, SubscriptionPlan.objects.get(pk="daily"), features=typed)
    assert not form.is_valid()
    assert "Enter a JSON array" in form.errors["features"][0]


@pytest.mark.parametrize("typed", ["javascript:alert(1)", "<b>", "user_x"])
def test_an_avatar_is_a_web_address(alice, typed):
    form = edit(UserForm, alice, avatar_url=typed)
    assert not form.is_valid()
    assert set(form.errors) == {"avatar_url"}


def test_a_plan_is_edited_and_belongs_to_no_account(staff):
    form = edit(PlanForm, SubscriptionPlan.objects.get(pk="daily"), price_monthly="1399", features='["a",  "b"]')
    assert form.is_valid(), form.errors
    form.save_changes(by=staff)
    plan = SubscriptionPlan.objects.get(pk="daily")
    assert (plan.price_monthly, plan.features) == (1399, ["a", "b"])
    entry = AuditLog.objects.get()
    assert (entry.user_id, entry.resource_type, entry.resource_id) == (None, "subscription_plans", "daily")


def test_a_tier_that_disagrees_with_the_status_is_a_warning_alone(alice):
    form = edit(UserForm, alice, tier="paid")
    assert form.is_valid()
    assert form.warnings == ["The tier is “paid” while the subscription is “inactive”."]


def test_an_emptied_text_becomes_null_and_spaces_that_were_there_stay(alice, staff):
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute("UPDATE users SET name = ' Alice ', avatarUrl = 'https://example.com/a.png'")
    form = edit(UserForm, User.objects.get(), avatar_url="")
    assert form.is_valid(), form.errors
    form.save_changes(by=staff)
    assert raw("users", "avatarUrl") == [None]
    assert raw("users", "name") == [" Alice "]


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
def test_an_edit_on_d1_is_a_read_and_a_batch(alice, staff):
    usage = connections[OMNICHAT].usage
    before = usage.requests
    save_changes(alice, shown=shown(alice), changed={"name": "Alicia"}, by=staff)
    assert usage.requests - before == 2


@pytest.mark.skipif(not ON_D1, reason="of D1 alone")
def test_a_change_between_the_read_and_the_batch_on_d1_is_a_conflict(alice, staff, monkeypatch):
    record = audit.record

    def record_late(*args, **kwargs):
        record(*args, **kwargs)
        other = connections[OMNICHAT].copy(OMNICHAT)
        with other.cursor() as cursor:
            cursor.execute("UPDATE users SET name = 'Else'")
        other.close()

    monkeypatch.setattr(audit, "record", record_late)
    with pytest.raises(Conflict) as refused:
        save_changes(alice, shown=shown(alice), changed={"tier": "paid"}, by=staff)
    assert [d.field.name for d in refused.value.differences] == ["name"]
    assert raw("users", "tier") == ["free"]
    assert raw("audit_logs", "id") == []


@pytest.mark.parametrize(
    "carried",
    ["", "[" * 100_000, "9" * 400, "99999999999999999999", '"\\ud800"', "NaN", "[1]", "true", '{"hex": "zz"}'],
)
def test_a_form_that_carries_what_no_page_gave_it_is_refused(alice, carried):
    form = edit(UserForm, alice, name="Alicia", **{"shown-email": carried})
    assert not form.is_valid()
    assert form.non_field_errors() == [RELOAD]


@pytest.mark.sqlite_only("D1 gives no infinite number")
def test_an_infinite_number_is_typed_over_and_told(staff):
    put("subscription_plans", id="endless", name="Endless", price_monthly=float("inf"))
    plan = SubscriptionPlan.objects.get(pk="endless")
    form = edit(PlanForm, plan, price_monthly="900")
    assert form.is_valid(), form.errors
    form.save_changes(by=staff)
    assert AuditLog.objects.get().metadata["before"] == {"price_monthly": "inf"}
