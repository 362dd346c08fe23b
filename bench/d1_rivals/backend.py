"""Django over the d1 backend, with the models, tables and pages of the console; or over SQLite, as a yardstick."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User as Staff  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.test import Client as Browser  # noqa: E402

from bench.d1_rivals.by_hand import NAMES  # noqa: E402
from bench.d1_rivals.rows import COLUMNS, cells, key, values  # noqa: E402
from billing.models import BatteryTransaction  # noqa: E402
from chat.models import Conversation, Message, User  # noqa: E402
from d1.statement import render  # noqa: E402
from database.migrations import read_migrations  # noqa: E402
from database.migrator import Migrator  # noqa: E402

SELECT_ONE = f"SELECT {NAMES} FROM battery_transactions WHERE id = %s"
INSERT_ONE = f"INSERT INTO battery_transactions ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
PAGE = "/admin/chat/message/"


class Client:
    def __init__(self) -> None:
        self.connection = connections["omnichat"]
        self.browser: Browser | None = None

    def prepare(self, messages: int) -> None:
        """OmniChat's tables by the SQL migrations, and messages for the list."""
        outcome = Migrator(self.connection, read_migrations(Path(settings.SQL_MIGRATIONS_DIR))).migrate()
        assert outcome.error is None, outcome.error
        users = [User(id=f"user_{n:024}", email=f"person{n}@example.com") for n in range(100)]
        User.objects.bulk_create(users)
        conversations = [
            Conversation(id=f"conv_{n}", user=users[n % 100], title=f"Conversation {n}", **_dates(n))
            for n in range(1000)
        ]
        Conversation.objects.bulk_create(conversations)
        Message.objects.bulk_create(
            Message(
                id=key("m", n), conversation=conversations[n % 1000], role="user", content="word " * 60, **_dates(n)
            )
            for n in range(messages)
        )

    def empty(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("DELETE FROM battery_transactions")

    def cursor_select(self, name: str) -> float:
        start = perf_counter()
        with self.connection.cursor() as cursor:
            cursor.execute(SELECT_ONE, [name])
            assert cursor.fetchone()[0] == name
        return perf_counter() - start

    def select(self, name: str) -> float:
        start = perf_counter()
        assert BatteryTransaction.objects.get(pk=name).pk == name
        return perf_counter() - start

    def cursor_insert(self, name: str) -> float:
        row = cells(name)
        start = perf_counter()
        with self.connection.cursor() as cursor:
            cursor.execute(INSERT_ONE, row)
        return perf_counter() - start

    def insert(self, name: str) -> float:
        row = values(name)
        start = perf_counter()
        BatteryTransaction.objects.create(**row)
        return perf_counter() - start

    def save(self, name: str) -> float:
        row = BatteryTransaction.from_db("omnichat", list(COLUMNS), list(values(name, 7).values()))
        start = perf_counter()
        row.save()
        return perf_counter() - start

    def block(self, prefix: str) -> float:
        """Read 10 rows, then change these and insert 10 more, in one atomic()."""
        new = [values(key(prefix, number), number) for number in range(10, 20)]
        start = perf_counter()
        with transaction.atomic(using="omnichat"):
            rows = list(BatteryTransaction.objects.filter(pk__in=[key(prefix, number) for number in range(10)]))
            assert len(rows) == 10
            for row in rows:
                row.amount -= 1
                row.save()
            for one in new:
                BatteryTransaction.objects.create(**one)
        return perf_counter() - start

    def write(self, prefix: str, count: int) -> float:
        rows = [BatteryTransaction(**values(key(prefix, number), number)) for number in range(count)]
        start = perf_counter()
        BatteryTransaction.objects.bulk_create(rows)
        return perf_counter() - start

    def change(self, prefix: str, count: int) -> float:
        rows = [BatteryTransaction(pk=key(prefix, number), amount=5, type="bonus") for number in range(count)]
        start = perf_counter()
        assert BatteryTransaction.objects.bulk_update(rows, ["amount", "type"]) == count
        return perf_counter() - start

    def read(self, count: int) -> float:
        start = perf_counter()
        assert sum(len(row.pk) > 0 for row in BatteryTransaction.objects.all()[:count].iterator()) == count
        return perf_counter() - start

    def read_tuples(self, count: int) -> float:
        start = perf_counter()
        rows = BatteryTransaction.objects.values_list(*COLUMNS)[:count].iterator()
        assert sum(len(row[0]) > 0 for row in rows) == count
        return perf_counter() - start

    def page(self) -> float:
        """The list of messages, as a browser gets it."""
        browser = self._browser()
        start = perf_counter()
        response = browser.get(PAGE)
        seconds = perf_counter() - start
        assert response.status_code == 200, response.status_code
        return seconds

    def page_statements(self) -> list[tuple[str, list[Any]]]:
        """What that page sends to D1."""
        browser = self._browser()
        found: list[tuple[str, list[Any]]] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            found.append(tuple(render(sql, params)))
            return execute(sql, params, many, context)

        with self.connection.execute_wrapper(note):
            browser.get(PAGE)
        return found

    def _browser(self) -> Browser:
        if self.browser is None:
            call_command("migrate", database="default", verbosity=0, interactive=False)
            self.browser = Browser(SERVER_NAME="127.0.0.1")
            self.browser.force_login(Staff.objects.create_superuser("alice"))
        return self.browser


def _dates(number: int) -> dict[str, Any]:
    at = values("", number)["created_at"]
    return {"created_at": at, "updated_at": at}
