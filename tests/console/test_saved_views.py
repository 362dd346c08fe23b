"""Saved views of lists, and the columns that a list shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User as Login
from django.db import connections
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from chat.models import User
from console.models import Job, SavedView
from console.roles import BILLING, OPERATOR, SUPPORT
from console.saved_views import query_of, with_columns

pytestmark = pytest.mark.django_db
USERS = "/admin/chat/user/"
SAVE, COLUMNS = "/admin/views/", "/admin/views/columns/"


@pytest.fixture(autouse=True)
def users() -> None:
    for n, tier in enumerate(("free", "paid")):
        User.objects.create(id=f"user_{n}", email=f"{tier}@example.com", name=f"Name {n}", tier=tier)


def heads(client: Client, address: str) -> list[str]:
    page = client.get(address)
    assert page.status_code == 200, address
    return re.findall(r'data-name="([^"]+)"', page.content.decode())


def save(client: Client, **fields: Any) -> Any:
    return client.post(SAVE, {"list": "chat.user", "name": "Paid", "query": "tier=paid&after=abc&e=1", **fields})


def test_a_view_keeps_filters_search_and_columns_and_no_place_in_the_list(enter: Any) -> None:
    client = enter(SUPPORT)
    answer = save(client, query="tier=paid&q=paid%40example&columns=email&after=abc&count=exact&_popup=1")
    view = SavedView.objects.get()
    assert view.query == "columns=email&q=paid%40example&tier=paid"
    assert answer["Location"] == f"{USERS}?{view.query}"
    page = client.get(f"{USERS}?{view.query}").content.decode()
    assert re.search(r'<a href="\?columns=email&amp;q=paid%40example&amp;tier=paid" aria-current="true">Paid</a>', page)
    assert "paid@example.com" in page
    assert "free@example.com" not in page


def test_each_list_offers_its_own_views_and_a_form_to_save_one(enter: Any, admin_client: Client) -> None:
    operator = Login.objects.get(username="admin")
    Job.objects.create(kind="x", title="X", actor=operator)
    SavedView.objects.create(owner=operator, model="console.job", name="Broken", query="state__exact=failed")
    for model in admin.site._registry:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        page = admin_client.get(address).content.decode()
        assert f'name="list" value="{model._meta.label_lower}"' in page, address
        assert (">Broken</a>" in page) is (model is Job), address


def test_views_cost_one_query_to_the_console_and_none_to_omnichat(enter: Any) -> None:
    client = enter(SUPPORT)
    for n in range(5):
        save(client, name=f"View {n}", query=f"q={n}")
    with CaptureQueriesContext(connections["default"]) as own, CaptureQueriesContext(connections["omnichat"]) as theirs:
        client.get(USERS)
    assert sum("console_savedview" in query["sql"] for query in own) == 1
    assert not [query for query in theirs if "savedview" in query["sql"]]


def test_a_shared_view_is_seen_by_all_who_see_the_list_and_a_private_one_by_its_owner(enter: Any) -> None:
    owner, other = enter(SUPPORT), enter(BILLING)
    save(owner, name="Mine")
    save(owner, name="Ours", shared="on")
    assert all(name in owner.get(USERS).content.decode() for name in (">Mine</a>", ">Ours</a>"))
    page = other.get(USERS).content.decode()
    assert ">Mine</a>" not in page
    assert f'title="Shared by {SUPPORT}">Ours</a>' in page


def test_the_owner_alone_removes_a_view(enter: Any) -> None:
    owner, other = enter(SUPPORT), enter(OPERATOR)
    save(owner, shared="on")
    address = reverse("remove_view", args=(SavedView.objects.get().pk,))
    assert other.post(address).status_code == 403
    assert owner.get(address).status_code == 405
    assert address in owner.get(f"{USERS}?tier=paid").content.decode()
    assert owner.post(address).status_code == 302
    assert not SavedView.objects.exists()


def test_the_same_name_again_replaces_ones_own_view(enter: Any) -> None:
    client = enter(SUPPORT)
    save(client)
    save(client, query="tier=free")
    save(enter(BILLING))
    assert sorted(view.query for view in SavedView.objects.all()) == ["tier=free", "tier=paid"]


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": " \0"}, {"name": "x" * 61}, {"query": "q=" + "x" * 2001}])
def test_what_cannot_be_kept_is_refused_in_words(enter: Any, fields: dict[str, str]) -> None:
    client = enter(SUPPORT)
    assert save(client, **fields).status_code == 302
    assert not SavedView.objects.exists()
    assert 'class="error"' in client.get(USERS).content.decode()


@pytest.mark.parametrize(
    ("label", "status"),
    [("auth.user", 403), ("chat.nothing", 404), ("", 404), ("a.b.c", 404), ("sessions.session", 404)],
)
def test_nobody_saves_a_view_of_a_list_that_is_not_theirs(enter: Any, label: str, status: int) -> None:
    client = enter(SUPPORT)
    assert save(client, list=label).status_code == status
    assert client.get(COLUMNS, {"list": label}).status_code == status


def test_an_address_leads_nowhere_but_to_the_list(enter: Any) -> None:
    answer = save(enter(SUPPORT), query="//evil.example/?x=1")
    assert answer["Location"].startswith(f"{USERS}?")


# Columns


def test_the_columns_that_are_marked_are_shown_and_the_first_always(enter: Any) -> None:
    client = enter(SUPPORT)
    every = heads(client, USERS)
    answer = client.get(COLUMNS, {"list": "chat.user", "query": "tier=paid&o=-1", "column": ["tier_label", "customer"]})
    shown = heads(client, answer["Location"])
    assert "tier=paid" in answer["Location"]
    assert "o=" not in answer["Location"].replace("columns", ""), "it is told by the number of a column"
    assert shown[0] == every[0]
    assert 1 < len(shown) < len(every)


@pytest.mark.parametrize("asked", ["nothing", "", "password,__class__", "email,email", ",,,", "x" * 5000])
def test_columns_that_the_list_does_not_offer_are_passed_over(enter: Any, asked: str) -> None:
    client = enter(SUPPORT)
    assert set(heads(client, f"{USERS}?columns={asked}")) <= set(heads(client, USERS))


def test_lists_of_staff_show_chosen_columns_too(admin_client: Client) -> None:
    Job.objects.create(kind="x", title="X")
    assert heads(admin_client, "/admin/console/job/?columns=who") == ["Title", "Who"]
    page = admin_client.get("/admin/console/job/?columns=who").content.decode()
    assert "state__exact" in page
    assert "columns=who" in page, "a filter that is clicked keeps the columns"


def test_all_columns_marked_is_no_choice(rf: RequestFactory) -> None:
    assert with_columns("tier=paid&columns=a", ["b", "c"], ["a", "b", "c"]) == "tier=paid"
    assert with_columns("tier=paid", ["c"], ["a", "b", "c"]) == "tier=paid&columns=c"
    assert with_columns("tier=paid&columns=c", [], ["a", "b"]) == "tier=paid"
    assert query_of("b=2&a=1&a=0") == "a=1&a=0&b=2"


def test_a_popup_has_no_views(enter: Any) -> None:
    assert "Save this view" in strip_tags(enter(SUPPORT).get(USERS).content.decode())
    assert "Save this view" not in strip_tags(enter(BILLING).get(f"{USERS}?_popup=1").content.decode())
