"""The four roles: what each sees and changes, and that nobody gives rights to themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from billing.models import BatteryTransaction, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message
from chat.models import User as Account
from console.models import StaffEvent
from console.roles import AUDITOR, BILLING, OPERATOR, ROLES, SUPPORT, make_roles
from database.models import AuditLog, SchemaVersion

pytestmark = pytest.mark.django_db

ROWS = {
    "chat_user": "u1", "chat_conversation": "c1", "chat_message": "m1", "chat_apiusage": "a1",
    "chat_dailyusagesummary": "d1", "billing_subscriptionplan": "power", "billing_usersubscription": "s1",
    "billing_userbattery": "u1", "billing_batterytransaction": "t1", "database_auditlog": "l1",
    "database_schemaversion": "901",
}  # fmt: skip
CHANGES = {
    SUPPORT: {"chat_user", "chat_conversation"},
    BILLING: {"billing_subscriptionplan", "billing_usersubscription"},
    OPERATOR: set(),
    AUDITOR: set(),
}
Visitor = Callable[..., Client]


@pytest.fixture
def rows(db: Any) -> Iterator[None]:
    Account.objects.create(id="u1", email="alice@example.com")
    Conversation.objects.create(id="c1", user_id="u1", title="Sums")
    Message.objects.create(id="m1", conversation_id="c1", role="user", content="?")
    ApiUsage.objects.create(id="a1", user_id="u1")
    DailyUsageSummary.objects.create(id="d1", user_id="u1", date="2026-11-22")
    UserSubscription.objects.create(id="s1", user_id="u1", plan_id="power", status="active")
    UserBattery.objects.create(user_id="u1", total_balance=7)
    BatteryTransaction.objects.create(id="t1", user_id="u1", type="usage", amount=-1)
    AuditLog.objects.create(id="l1", action="x.y")
    version = SchemaVersion.objects.create(version=901, name="x")
    yield
    version.delete()


@pytest.fixture
def member() -> Visitor:
    """`member("Support")` is a browser in which somebody of that role is logged in."""

    def log_in(*roles: str, name: str = "carol", **values: Any) -> Client:
        user = User.objects.create_user(name, is_staff=True, **values)
        user.groups.set(Group.objects.filter(name__in=roles))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def page(name: str, pk: Any) -> str:
    return reverse(f"admin:{name}_change", args=[pk])


@pytest.mark.parametrize("role", ROLES)
def test_every_role_looks_at_every_table_and_changes_its_own(rows: None, member: Visitor, role: str) -> None:
    client = member(role)
    assert client.get(reverse("admin:index")).status_code == 200
    for name, pk in ROWS.items():
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200, name
        shown = client.get(page(name, pk))
        assert shown.status_code == 200, name
        may_change = name in CHANGES[role]
        assert bool(shown.context["has_change_permission"]) == may_change, name
        assert ("_save" in shown.content.decode()) == may_change, name
        assert client.post(page(name, pk), {}).status_code == (200 if may_change else 403), name
        assert client.get(reverse(f"admin:{name}_add")).status_code == 403, name
        assert client.post(reverse(f"admin:{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403, name


@pytest.mark.parametrize("role", [SUPPORT, BILLING])
def test_staff_stay_out_of_the_logins_of_others(member: Visitor, role: str) -> None:
    client = member(role)
    for name in ("auth_user", "auth_group", "console_staffevent"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403


def test_without_a_role_nothing_is_seen(rows: None, member: Visitor) -> None:
    client = member()
    for name, pk in ROWS.items():
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403
        assert client.get(page(name, pk)).status_code == 403


def test_an_auditor_reads_staff_and_changes_nothing(member: Visitor) -> None:
    client = member(AUDITOR)
    other = User.objects.create_user("dave")
    event = StaffEvent.objects.create(action="x", detail={"a": 1})
    support = Group.objects.get(name=SUPPORT)
    for name, pk in (("auth_user", other.pk), ("auth_group", support.pk), ("console_staffevent", event.pk)):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
        assert client.get(page(name, pk)).status_code == 200
        assert client.post(page(name, pk), {}).status_code == 403
        assert client.get(reverse(f"admin:{name}_add")).status_code == 403
        assert client.post(reverse(f"admin:{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403


def details(user: User, **changes: Any) -> dict[str, Any]:
    kept = {
        "username": user.username,
        "email": user.email,
        "first_name": "",
        "last_name": "",
        "is_active": "on",
        "is_staff": "on",
    }
    return {**kept, "groups": [group.pk for group in user.groups.all()], **changes}


def test_an_operator_gives_roles_and_it_is_recorded(member: Visitor) -> None:
    client = member(OPERATOR)
    dave = User.objects.create_user("dave", is_staff=True)
    support = Group.objects.get(name=SUPPORT)
    response = client.post(page("auth_user", dave.pk), details(dave, groups=[support.pk]))
    assert response.status_code == 302
    assert [*dave.groups.all()] == [support]
    event = StaffEvent.objects.get()
    assert (event.action, event.subject, event.staff.username) == ("staff.rights", "dave", "carol")
    assert event.detail["before"]["groups"] == []
    assert event.detail["after"]["groups"] == [SUPPORT]


def test_switching_a_login_off_is_recorded(member: Visitor) -> None:
    client = member(OPERATOR)
    dave = User.objects.create_user("dave", is_staff=True)
    values = details(dave)
    del values["is_active"]
    assert client.post(page("auth_user", dave.pk), values).status_code == 302
    dave.refresh_from_db()
    assert not dave.is_active
    event = StaffEvent.objects.get()
    assert (event.detail["before"]["is_active"], event.detail["after"]["is_active"]) == (True, False)


@pytest.mark.parametrize("values", [{}, {"is_superuser": True}])
def test_nobody_changes_their_own_rights(member: Visitor, values: dict[str, Any]) -> None:
    client = member(OPERATOR, **values)
    carol = User.objects.get(username="carol")
    everything = [group.pk for group in Group.objects.all()]
    response = client.post(
        page("auth_user", carol.pk), details(carol, groups=everything, is_superuser="on", is_active="")
    )
    assert response.status_code == 302
    carol.refresh_from_db()
    assert [group.name for group in carol.groups.all()] == [OPERATOR]
    assert (carol.is_superuser, carol.is_active) == (bool(values), True)
    assert not StaffEvent.objects.exists()


def test_an_operator_makes_no_superuser_and_takes_over_none(member: Visitor) -> None:
    client = member(OPERATOR)
    dave = User.objects.create_user("dave", is_staff=True)
    root = User.objects.create_superuser("root")
    client.post(page("auth_user", dave.pk), details(dave, is_superuser="on"))
    dave.refresh_from_db()
    assert not dave.is_superuser
    assert client.post(page("auth_user", root.pk), details(root, email="mine@example.com")).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[root.pk])
    assert client.post(password, {"password1": "Zebra-7-lamp", "password2": "Zebra-7-lamp"}).status_code == 403


def test_an_operator_adds_a_login_without_rights(member: Visitor) -> None:
    client = member(OPERATOR)
    response = client.post(
        reverse("admin:auth_user_add"),
        {"username": "erin", "usable_password": "true", "password1": "Zebra-7-lamp", "password2": "Zebra-7-lamp"},
    )
    assert response.status_code == 302
    erin = User.objects.get(username="erin")
    assert (erin.is_staff, erin.is_superuser, erin.groups.count()) == (False, False, 0)
    assert StaffEvent.objects.get().action == "staff.added"


def test_not_even_a_superuser_changes_what_a_role_may(member: Visitor) -> None:
    client = member(is_superuser=True)
    support = Group.objects.get(name=SUPPORT)
    assert client.get(page("auth_group", support.pk)).status_code == 200
    assert client.post(page("auth_group", support.pk), {"name": "Gods"}).status_code == 403
    assert client.get(reverse("admin:auth_group_add")).status_code == 403
    assert client.post(reverse("admin:auth_group_delete", args=[support.pk]), {"post": "yes"}).status_code == 403


def test_migrating_again_takes_back_what_somebody_added_to_a_role() -> None:
    auditor = Group.objects.get(name=AUDITOR)
    auditor.permissions.add(Permission.objects.get(codename="change_user", content_type__app_label="chat"))
    make_roles()
    names = {f"{p.content_type.app_label}.{p.codename}" for p in auditor.permissions.select_related("content_type")}
    assert names == ROLES[AUDITOR]
    assert not [name for name in names if ".change_" in name or ".add_" in name or ".delete_" in name]


def test_no_role_may_delete_or_add_anything_of_omnichat() -> None:
    for names in ROLES.values():
        # A person is deleted by a job of its own, which is no right to any table.
        assert [name for name in names if ".delete_" in name and name != "console.delete_person"] == []
        added = ("auth.add_user", "console.add_grant", "console.add_note", "console.add_resyncrun")
        assert not [name for name in names if ".add_" in name and name not in added]


@pytest.mark.parametrize("page", ["auth_user", "auth_group", "console_staffevent"])
@pytest.mark.parametrize(
    "query",
    [
        "id__in=99999999999999999999", "user=99999999999999999999", "at__year=-1", "detail__contains=x",
        "groups__id__in=99999999999999999999", "password__startswith=argon2", "staff__password__startswith=argon2",
    ],
)  # fmt: skip
def test_a_list_of_staff_passes_over_what_is_no_filter_of_its_own(member: Visitor, page: str, query: str) -> None:
    StaffEvent.objects.create(action="export", subject="chat.user")
    shown = member(AUDITOR).get(f"{reverse(f'admin:{page}_changelist')}?{query}")
    assert shown.status_code == 200
    assert shown.context["cl"].result_count == shown.context["cl"].queryset.model._default_manager.count()


def test_the_filters_of_staffs_lists_still_filter(member: Visitor) -> None:
    StaffEvent.objects.bulk_create([StaffEvent(action="export"), StaffEvent(action="import")])
    client = member(OPERATOR)
    User.objects.create_user("dave", is_active=False)
    events = client.get(reverse("admin:console_staffevent_changelist") + "?action=import")
    assert [event.action for event in events.context["cl"].queryset] == ["import"]
    role = Group.objects.get(name=OPERATOR)
    for query, name in ((f"groups__id__exact={role.pk}", "carol"), ("is_active__exact=0", "dave")):
        logins = client.get(f"{reverse('admin:auth_user_changelist')}?{query}")
        assert list(logins.context["cl"].queryset.values_list("username", flat=True)) == [name]


def test_nobody_is_offered_to_set_a_password_that_they_may_not(member: Visitor) -> None:
    boss = User.objects.create_superuser("boss", password="plain-walnut-boat")
    dave = User.objects.create_user("dave", password="plain-walnut-boat")
    operator, auditor = member(OPERATOR), member(AUDITOR, name="erin")
    for client, login, offered in ((operator, dave, True), (operator, boss, False), (auditor, dave, False)):
        shown = client.get(page("auth_user", login.pk)).content.decode()
        assert ("../password/" in shown) == offered, login.username


def test_a_password_set_for_another_is_an_event(member: Visitor) -> None:
    dave = User.objects.create_user("dave", password="plain-walnut-boat")
    client = member(OPERATOR)
    address = reverse("admin:auth_user_password_change", args=[dave.pk])
    for password in ("short", "quiet-heron-lamp"):
        client.post(address, {"usable_password": "true", "password1": password, "password2": password})
    assert list(StaffEvent.objects.values_list("action", "subject")) == [("staff.password", "dave")]
    assert "heron" not in str(StaffEvent.objects.get().detail)
    dave.refresh_from_db()
    assert dave.check_password("quiet-heron-lamp")
