"""run_demo: from an empty machine to a console that serves, with a login for each role."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password

from console.demo import DemoRefused
from console.demo_logins import PASSWORDS, make_logins, refuse_real_staff
from omniops.variables import NAMES

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def demo(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """(process, what it said before it served, its address)"""
    bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
    urls = {f"{name}_DATABASE_URL": f"sqlite:///{folder / name.lower()}.sqlite3" for name in ("CONSOLE", "OMNICHAT")}
    command = [sys.executable, "manage.py", "run_demo", "--port", "0", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**bare, **urls}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert address, said
        yield process, said, address[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def rows(folder: Path, sql: str) -> list[tuple]:
    connection = sqlite3.connect(folder / "omnichat.sqlite3")
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_prints_the_logins_and_a_second_run_loses_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    with demo(tmp_path) as (process, said, address):
        assert all(re.search(rf"{name}\s+{password}", said) for name, password in PASSWORDS.items())
        with urllib.request.urlopen(address + "admin/login/") as page:
            assert page.status == 200
        process.send_signal(ending)
        assert process.wait(timeout=600) == 0
        assert process.stdout
        assert "Traceback" not in process.stdout.read()
    rows(tmp_path, "UPDATE users SET name = 'Put right by staff' WHERE rowid = 5")
    before = rows(tmp_path, "SELECT * FROM users")
    with demo(tmp_path) as (_, said, _address):
        assert PASSWORDS["support"] in said
    assert rows(tmp_path, "SELECT * FROM users") == before
    assert len(before) == 200


def test_a_taken_port_is_said_with_the_way_to_another(manage) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = manage("run_demo", "--port", str(port))
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert f"make demo PORT={port + 1 if port < 65_535 else 8000}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_database_with_other_people_is_neither_changed_nor_served(manage) -> None:
    assert manage("migrate_database", "--to", "7").returncode == 0
    add = "from chat.models import User; User.objects.create(id='user_2abc', email='somebody@omnichat.test')"
    assert manage("shell", "--command", add).returncode == 0
    ended = manage("run_demo", "--port", "0")
    assert ended.returncode == 1
    assert "user_2abc" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads(manage("migrate_database", "--plan", "--json").stdout)["pending"]


def test_nothing_is_done_to_production(manage) -> None:
    d1 = {
        "OMNICHAT_DATABASE_URL": "d1://account/database",
        "CLOUDFLARE_API_BASE": "https://192.0.2.1/client/v4",
        "CLOUDFLARE_API_TOKEN": "token",
    }
    ended = manage("run_demo", "--port", "0", **d1)
    assert (ended.returncode, "OMNICHAT_DATABASE_URL" in ended.stderr) == (1, True)
    ended = manage("run_demo", "--port", "0", CONSOLE_DATABASE_URL="postgres://nobody@192.0.2.1/console")
    assert (ended.returncode, "CONSOLE_DATABASE_URL" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


@pytest.mark.django_db
def test_a_console_with_staff_of_its_own_gets_no_public_passwords() -> None:
    refuse_real_staff()
    User.objects.create_superuser("admin", "carol@omnichat.test", "of-my-own-choosing")
    with pytest.raises(DemoRefused, match="CONSOLE_DATABASE_URL"):
        refuse_real_staff()


@pytest.mark.django_db
def test_each_login_has_its_role_and_a_password_that_passes() -> None:
    for login in make_logins():
        user = authenticate(username=login.name, password=login.password)
        assert isinstance(user, User)
        validate_password(PASSWORDS[login.name], user)
        assert user.is_staff
        assert user.is_superuser == (login.name == "admin")
        assert list(user.groups.all()) == list(Group.objects.filter(name=login.role))


@pytest.mark.django_db
def test_a_password_that_somebody_changed_stays_changed_and_is_not_printed() -> None:
    make_logins()
    user = User.objects.get(username="support")
    user.set_password("of-my-own-choosing")
    user.save()
    assert next(login for login in make_logins() if login.name == "support").password is None
    assert authenticate(username="support", password="of-my-own-choosing")
