"""Runs of backups in the console's own database, and what the home page says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.backup_events import old_backups
from console.dashboard import waiting
from console.models import StaffEvent
from database.backup import backup_done

RECORD: dict[str, Any] = {
    "backup": "omnichat-20261122T140309Z.tar.zst", "rows": 5, "bytes": 900, "anonymized": False, "partial": False,
}  # fmt: skip


def made(ago: timedelta, **record: Any) -> None:
    backup_done.send_robust(sender=None, action="make", record=RECORD | record)
    StaffEvent.objects.filter(pk=StaffEvent.objects.latest("pk").pk).update(at=timezone.now() - ago)


@pytest.mark.django_db
def test_each_run_is_recorded() -> None:
    for action in ("make", "verify", "remove"):
        backup_done.send_robust(sender=None, action=action, record=RECORD)
    found = StaffEvent.objects.order_by("pk").values_list("action", "subject", "detail__rows")
    assert list(found) == [(f"backup {action}", RECORD["backup"], 5) for action in ("make", "verify", "remove")]


@pytest.mark.django_db
def test_the_home_page_warns_when_the_last_backup_is_old() -> None:
    olga = User.objects.create_superuser("olga")
    assert [each for each in waiting(olga) if "backup" in each.words] == []
    made(timedelta(days=3))
    made(timedelta(hours=1), anonymized=True)
    assert [each.words for each in waiting(olga) if "backup" in each.words] == [
        "No backup was made for more than a day: see manage.py list_backups"
    ]
    made(timedelta(hours=2))
    assert [each for each in waiting(olga) if "backup" in each.words] == []
    assert old_backups(User.objects.create_user("bob")) is None


@pytest.mark.django_db
def test_the_home_page_shows_the_age_of_the_last_whole_backup(client: Client) -> None:
    client.force_login(User.objects.create_superuser("olga"))

    def shown() -> str:
        return " ".join(client.get("/admin/").content.decode().split())

    assert "No backup was made from here yet" in shown()
    now = timezone.now()
    names = {hours: f"omnichat-{now - timedelta(hours=hours):%Y%m%dT%H%M%SZ}.tar.zst" for hours in (50, 3, 2, 1)}
    made(timedelta(hours=50), backup=names[50])
    page = shown()
    assert "2 days ago</time>, not verified yet <span" in page
    assert names[50] in page
    made(timedelta(hours=3), backup=names[3])
    made(timedelta(hours=2), backup=names[2], anonymized=True)
    made(timedelta(hours=1), backup=names[1], partial=True)
    assert "3 hours ago</time>, not verified yet</p>" in shown()
    backup_done.send_robust(sender=None, action="verify", record=RECORD | {"backup": names[50], "verified_at": "x"})
    assert "not verified yet" in shown()
    backup_done.send_robust(sender=None, action="verify", record=RECORD | {"backup": names[3], "verified_at": "x"})
    assert "3 hours ago</time>, verified</p>" in shown()
    backup_done.send_robust(sender=None, action="remove", record=RECORD | {"backup": names[3]})
    assert "No backup was made from here yet" in shown()


@pytest.mark.django_db
def test_who_may_not_see_runs_is_told_nothing_of_backups(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert "backup" not in client.get("/admin/").content.decode()
