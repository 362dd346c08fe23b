"""What stands around each page: the environment by its colour, and the ways to the lists."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from console.context import GROUPS, environment, navigation
from omniops.environment import REFUSING, d1, sqlite


def served_by(api_base: str) -> dict[str, Any]:
    database = d1("account", "database")
    return {**database, "OPTIONS": {**database["OPTIONS"], "api_base": api_base}}


@pytest.mark.parametrize(
    ("api_base", "slug"),
    [
        ("https://api.cloudflare.com/client/v4", "production"),
        ("https://127.0.0.1.example.com/client/v4", "production"),
        ("http://127.0.0.1:8787/client/v4", "standin"),
        ("http://localhost:8787/client/v4", "standin"),
        ("http://[::1]:8787/client/v4", "standin"),
    ],
)
def test_d1_is_production_unless_it_is_served_on_this_machine(api_base: str, slug: str) -> None:
    assert environment(served_by(api_base)).slug == slug


def test_a_sqlite_file_is_local_and_named(tmp_path: Any) -> None:
    found = environment(sqlite(tmp_path / "omnichat.sqlite3"))
    assert found.slug == "local"
    assert "omnichat.sqlite3" in found.detail


def test_a_database_that_refuses_everything_is_called_none() -> None:
    assert environment(REFUSING).slug == "none"


@pytest.mark.django_db
def test_production_is_said_in_words_on_each_page(
    client: Client, django_user_model: type[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(django_user_model.objects.create_superuser("admin"))
    words = "what you change here reaches customers"
    assert words not in client.get("/admin/").content.decode()
    production = served_by("https://api.cloudflare.com/client/v4")
    monkeypatch.setitem(settings.DATABASES, "omnichat", {**settings.DATABASES["omnichat"], **production})
    page = client.get("/admin/").content.decode()
    assert words in page
    assert "in-production" in page
    assert "icon-production.svg" in page


@pytest.mark.django_db
def test_each_model_of_the_admin_stands_in_the_sidebar_once(rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = User(is_staff=True, is_active=True, is_superuser=True)
    addresses = [link.url for group in navigation(request) for link in group.links]
    assert len(addresses) == len(set(addresses)) == len(admin.site._registry)
    known = {label for _, labels in GROUPS for label in labels}
    assert known <= {model._meta.label_lower for model in admin.site._registry}


@pytest.mark.django_db
def test_the_sidebar_asks_omnichat_nothing(
    client: Client, django_user_model: type[User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(django_user_model.objects.create_superuser("admin"))
    with django_assert_num_queries(0, using="omnichat"):
        assert client.get("/admin/").status_code == 200


def test_the_page_of_a_broken_server_needs_no_database_and_no_request() -> None:
    assert "Something broke on our side" in render_to_string("500.html")


def test_no_template_has_a_script_or_a_style_in_it() -> None:
    """The Content-Security-Policy forbids both, so each would be a complaint in the browser's console."""
    inline = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
    root = settings.BASE_DIR / "templates"
    found = {str(path.relative_to(root)) for path in root.rglob("*.html") if inline.search(path.read_text())}
    assert found == set()
