"""Setting up, from nothing and over what is there."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from django.conf import settings

from standins.d1 import Engine

Manage = Callable[..., "subprocess.CompletedProcess[str]"]
LAST = len(list(settings.SQL_MIGRATIONS_DIR.glob("*.sql")))


def test_from_nothing_and_again(manage: Manage, tmp_path: Path) -> None:
    first = manage("setup_database", "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert (found["ok"], found["schema_version"], len(found["applied"])) == (True, LAST, LAST)
    assert len(found["tables"]) == 11
    assert (found["tables"]["users"], found["tables"]["subscription_plans"]) == (0, 4)
    with closing(sqlite3.connect(tmp_path / "console.sqlite3")) as console:
        assert console.execute("SELECT count(*) FROM auth_user").fetchone() == (0,)
    again = manage("setup_database")
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"0 applied; version {LAST}, 11 tables, no drift.\n"


def test_a_table_that_was_lost_is_told_by_name(manage: Manage, tmp_path: Path) -> None:
    manage("setup_database", "--json")
    with closing(sqlite3.connect(tmp_path / "omnichat.sqlite3")) as database:
        database.execute("DROP TABLE audit_logs")
    done = manage("setup_database", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert "audit_logs: missing: table" in found["error"]
    assert {"audit_logs"} == {each["table"] for each in found["drift"]}


def test_a_console_database_that_cannot_be_opened_is_named(manage: Manage, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/console.sqlite3"
    done = manage("setup_database", "--json", CONSOLE_DATABASE_URL=url)
    assert done.returncode == 1
    assert "nowhere/console.sqlite3 cannot be opened: its folder is missing" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


def test_it_sets_up_the_real_d1(manage: Manage, d1_engine: Engine) -> None:
    d1_engine.reset()
    d1_engine.empty_database()
    done = manage("setup_database", "--json", **d1_engine.environment())
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["schema_version"]) == (0, True, LAST), done.stderr
    assert found["tables"]["subscription_plans"] == 4
