"""What a page used of the database is told, where that costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.test import Client

from database import usage

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    counts = SimpleNamespace(requests=2, rows_read=51, rows_written=0, sql_ms=1.25, reset=lambda: None)
    monkeypatch.setattr(usage, "database_usage", lambda: counts)
    return counts


def test_the_footer_tells_superusers_what_the_page_used(counted: SimpleNamespace, admin_client: Client) -> None:
    page = admin_client.get("/admin/")
    assert "D1 requests 2, rows read 51, rows written 0" in page.content.decode()
    assert page["Server-Timing"] == 'omnichat;dur=1.2;desc="2 requests, 51 rows read, 0 rows written"'


def test_the_footer_tells_others_nothing(counted: SimpleNamespace, client: Client) -> None:
    client.force_login(User.objects.create_user("alice", is_staff=True))
    assert "D1 requests" not in client.get("/admin/").content.decode()
