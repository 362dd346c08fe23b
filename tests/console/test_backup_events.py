"""Runs of backups in the console's own database, and what the home page says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
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
