"""What grants ask of D1: one request for each besides what the page reads, and one for a thousand rows of a bulk."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from chat.models import User as Account
from console import grant_bulk, grant_expiry, grants
from console.grants import Wish
from console.models import Grant, GrantBulk

ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"
pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not ON_D1, reason="of D1 alone")]


@pytest.fixture(autouse=True)
def customers(db: Any) -> None:
    Account.objects.bulk_create(Account(id=f"u{n}", email=f"u{n}@example.com") for n in range(2_500))


def spent(response: Any) -> int:
    found = re.search(r'desc="(\d+) requests', response["Server-Timing"])
    return int(found[1]) if found else 0


def counted(work: Any) -> int:
    usage = connections["omnichat"].usage
    usage.reset()
    work()
    return int(usage.requests)


def test_a_grant_is_one_request_besides_the_one_that_reads_the_user(admin_client: Client) -> None:
    form = {"user": "u1", "units": 5, "category": "goodwill", "text": "x", "key": str(uuid4())}
    assert spent(admin_client.get("/admin/console/grant/add/?user=u1")) == 0
    assert spent(admin_client.post("/admin/console/grant/add/", form)) == 1
    given = admin_client.post("/admin/console/grant/add/", {**form, "step": "give"})
    assert Grant.objects.get().state == "APPLIED"
    assert spent(given) == 2
    assert spent(admin_client.get(given["Location"])) == 0
    assert spent(admin_client.get("/admin/console/grant/")) == 0


def test_a_bulk_is_one_request_for_a_thousand_rows(admin_client: Client) -> None:
    text = "user,units,reason\n" + "".join(f"u{n},1,x\n" for n in range(2_500))
    values = {"file": SimpleUploadedFile("a.csv", text.encode()), "category": "outage"}
    shown = admin_client.post("/admin/console/grant/bulk/", values)
    assert spent(shown) == 3
    bulk = GrantBulk.objects.get()
    assert counted(lambda: grant_bulk.work_off(bulk, 0, lambda done: None)) == 3
    assert Grant.objects.filter(state="APPLIED").count() == 2_500


def test_a_thousand_expired_grants_are_two_requests() -> None:
    wishes = [Wish(f"u{n}", "", 5, "promotion", "x", expires_on=date(2026, 1, 1)) for n in range(900)]
    grants.apply(grants.decide(wishes, by="operator"))
    assert counted(grant_expiry.expire) == 2
    assert Grant.objects.filter(expired_units=5).count() == 900
