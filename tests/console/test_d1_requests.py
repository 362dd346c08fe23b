"""How many requests each page and command sends to D1, and that a command says there what it says on SQLite.

Pages are counted by their own Server-Timing header, commands by the engine.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections, models
from django.test import Client
from django.urls import reverse

from billing import ledger
from billing.models import SubscriptionPlan, UserSubscription
from chat.models import User
from console.demo import seed
from database.models import AuditLog
from standins.d1 import Engine

ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"
OURS = [model for model in admin.site._registry if not model._meta.managed]


def on_d1(test: Any) -> Any:
    return pytest.mark.django_db(pytest.mark.skipif(not ON_D1, reason="of D1 alone")(test))


def address(model: type[models.Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def requests(response: Any) -> int:
    """What the page says that it cost."""
    found = re.search(r'desc="(\d+) requests', response["Server-Timing"])
    assert found
    return int(found[1])


def link(response: Any, name: str) -> str | None:
    found = re.search(rf'<a class="{name}"[^>]*href="([^"]+)"', response.content.decode())
    return html.unescape(found[1]) if found else None


def inputs(response: Any) -> dict[str, str]:
    """What a browser would send of the page's form, untouched."""
    form = response.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    shown = re.findall(r'<input type="hidden" name="(shown-[^"]+)" value="([^"]*)"', response.content.decode())
    values |= {name: html.unescape(value) for name, value in shown}
    return {name: "" if value is None else str(value) for name, value in values.items()}


@on_d1
def test_a_list_is_three_requests_and_a_form_four(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("database.admin.CheapAdmin.list_per_page", 5)
    seed(60, 300, seed=1, day=date(2026, 11, 22), odd=True)
    costs = {}
    for model in OURS:
        listed = address(model, "changelist")
        first = admin_client.get(listed)
        costs[listed] = requests(first), 3
        for name in ("next", "last"):
            if turned := link(first, name):
                costs[listed + turned] = requests(admin_client.get(listed + turned)), 3
        for query in ("?q=a", "?q=user_1", "?at=2026-06-01", "?o=-1"):
            costs[listed + query] = requests(admin_client.get(listed + query)), 3
        form = address(model, "change", quote(model._default_manager.order_by("pk").values_list("pk", flat=True)[0]))
        costs[form] = requests(admin_client.get(form)), 4
    assert {page: cost for page, (cost, most) in costs.items() if not 1 <= cost <= most} == {}


@on_d1
def test_the_index_and_the_login_ask_d1_nothing(client: Client, admin_client: Client) -> None:
    assert requests(admin_client.get(reverse("admin:index"))) == 0
    assert requests(client.get(reverse("admin:login"))) == 0


@on_d1
@pytest.mark.parametrize(
    ("model", "changed"),
    [
        (User, {"name": "Put right", "tier": "paid"}),
        (SubscriptionPlan, {"name": "Put right"}),
        (UserSubscription, {"status": "past_due"}),
    ],
)
def test_a_row_is_saved_with_its_entry_in_four_requests(
    admin_client: Client, model: type[models.Model], changed: dict[str, str]
) -> None:
    seed(30, 100, seed=1, day=date(2026, 11, 22))
    AuditLog.objects.all().delete()
    row = model._default_manager.exclude(**changed).order_by("-pk")[0]
    form = address(model, "change", quote(row.pk))
    response = admin_client.post(form, inputs(admin_client.get(form)) | changed)
    assert response.status_code == 302, response.content.decode()
    assert requests(response) <= 4
    assert AuditLog.objects.get().resource_id == row.pk


@on_d1
def test_two_thousand_rows_are_exported_and_imported_in_few_requests(admin_client: Client) -> None:
    seed(2_000, 2_000, seed=1, day=date(2026, 11, 22))
    exported = admin_client.post(address(User, "export"), {"format": "csv", "columns": ["id", "name"]})
    assert exported.status_code == 200
    rows = list(csv.DictReader(io.StringIO(b"".join(exported.streaming_content).decode("utf-8-sig"))))
    assert len(rows) == 2_000
    text = "id,name\n" + "".join(f"{row['id']},Put right {number}\n" for number, row in enumerate(rows))
    file = SimpleUploadedFile("users.csv", text.encode())
    shown = admin_client.post(address(User, "import"), {"file": file})
    token = re.search('name="token" value="([^"]+)"', shown.content.decode())
    assert token
    done = admin_client.post(address(User, "import"), {"token": token[1]})
    assert User.objects.filter(name__startswith="Put right").count() == 2_000
    # What columns the table has is two; then, for each thousand rows, they are read.
    assert requests(shown) <= 2 + 2
    # They are read once more, five thousand at a time and before the first is written; each thousand is one batch.
    assert requests(done) <= 2 + 1 + 2


@on_d1
@pytest.mark.parametrize("number", [1_000, 5_000])
def test_thousands_of_entries_are_posted_in_one_request(number: int) -> None:
    seed(5_000, 0, seed=1, day=date(2026, 11, 22))
    accounts = list(User.objects.order_by("pk").values_list("pk", flat=True)[:number])
    entries = [ledger.Entry(f"grant:{key}", key, ledger.TransactionType.BONUS, 500) for key in accounts]
    connections["omnichat"].usage.reset()  # type: ignore[attr-defined]
    outcomes = ledger.post(entries, by="test")
    assert connections["omnichat"].usage.requests == 1  # type: ignore[attr-defined]
    assert [outcome.is_posted for outcome in outcomes] == [True] * number


@on_d1
def test_a_thousand_rows_are_imported_by_one_request_that_writes(admin_client: Client) -> None:
    seed(1_000, 0, seed=1, day=date(2026, 11, 22))
    text = "id,name\n" + "".join(f"{key},Put right\n" for key in User.objects.values_list("pk", flat=True))
    shown = admin_client.post(address(User, "import"), {"file": SimpleUploadedFile("users.csv", text.encode())})
    token = re.search('name="token" value="([^"]+)"', shown.content.decode())
    assert token
    done = admin_client.post(address(User, "import"), {"token": token[1]})
    assert User.objects.filter(name="Put right").count() == 1_000
    # Two tell which columns the table has; then the rows are read, and written in one batch.
    assert requests(done) <= 2 + 1 + 1


def without_moments(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in ("bookmark", "seconds")}


#: Words of a command, and the requests that it may take on D1 after the commands before it.
COMMANDS = (
    ("setup_database", 26),
    ("setup_database", 9),
    ("migrate_database", 4),
    ("migrate_database --plan", 3),
    ("migrate_database --to 12 --no-input", 9),
    ("migrate_database", 10),
    ("seed_demo --users 30 --messages 400 --day 2026-11-22", 8),
    ("seed_demo --users 30 --messages 400 --day 2026-11-22", 4),
    ("verify_database", 9),
    ("seed_demo --users 0", 0),
)


def test_every_command_says_on_d1_what_it_says_on_sqlite_and_is_sparing(
    manage: Callable[..., Any], d1_engine: Engine
) -> None:
    d1_engine.reset()
    d1_engine.empty_database()
    for words, most in COMMANDS:
        d1_engine.reset()
        on_d1 = manage(*words.split(), "--json", **d1_engine.environment())
        spent = d1_engine.counts()["requests"]
        on_sqlite = manage(*words.split(), "--json")
        assert on_d1.returncode == on_sqlite.returncode, (words, on_d1.stderr)
        assert without_moments(json.loads(on_d1.stdout)) == without_moments(json.loads(on_sqlite.stdout)), words
        assert spent <= most, words
