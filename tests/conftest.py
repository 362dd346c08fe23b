"""What all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from omniops.variables import NAMES

MISSING = "missing:"
ROOT = Path(__file__).resolve().parent.parent
ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test of the database has both databases; on D1 it commits, for a block there cannot read its own writes."""
    marker = item.get_closest_marker("django_db")
    if marker:
        options = {"databases": ["default", "omnichat"], **marker.kwargs}
        if ON_D1:
            options["transaction"] = True
        item.add_marker(pytest.mark.django_db(**options), append=False)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """OmniChat's tables come from the SQL migrations, in tests as anywhere."""
    with django_db_blocker.unblock():
        apply_sql_migrations()


def apply_sql_migrations() -> None:
    with connections["omnichat"].cursor() as cursor:
        for path in sorted((ROOT / "migrations").glob("*.sql")):
            cursor.connection.executescript(path.read_text())


@pytest.fixture
def manage(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`manage("verify_database", "--json", OMNICHAT_DATABASE_URL=...)` in a process of its own.

    Both databases are files in `tmp_path` unless the call says otherwise, and no other variable of omniops is set.
    """

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
        urls = {
            "CONSOLE_DATABASE_URL": f"sqlite:///{tmp_path / 'console.sqlite3'}",
            "OMNICHAT_DATABASE_URL": f"sqlite:///{tmp_path / 'omnichat.sqlite3'}",
        }
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env={**bare, **urls, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run
