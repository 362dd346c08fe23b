"""The console's own tables on a real PostgreSQL server, as in production."""

from __future__ import annotations

import getpass
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("missing: postgresql (apt-get install postgresql)")
    return found[-1].parent


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    """A server of its own on a free port of loopback. It refuses to run as root, so root lends it a user."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="omniops-postgresql-"))
    as_user = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    server = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [*as_user, str(programs / program), "-D", str(data), *words], check=True, capture_output=True, cwd=folder
        )

    run("initdb", "-U", "console", "--auth=trust", "-E", "UTF8")
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", server, "start")
    try:
        yield f"postgres://console@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_the_console_is_set_up_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    done = manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_staff_sign_in_and_roles_exist_on_postgresql(manage: Callable, postgresql_url: str) -> None:
    manage("setup_database", "--json", CONSOLE_DATABASE_URL=postgresql_url)
    shown = """
from django.contrib.auth.models import Group, User
from django.test import Client
alice = User.objects.create_user("alice", password="a-long-word-9", is_staff=True)
alice.groups.add(Group.objects.get(name="Support"))
client = Client(SERVER_NAME="localhost")
print(client.login(username="alice", password="a-long-word-9"), client.get("/admin/chat/user/").status_code)
"""
    done = manage("shell", "-v0", "-c", shown, CONSOLE_DATABASE_URL=postgresql_url)
    assert done.stdout.split() == ["True", "200"], done.stderr
