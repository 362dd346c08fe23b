"""What tests of the SQL migrations share: files made up on the spot, and an empty database of either engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from database.migrations import read_migrations
from database.migrator import Migrator, Outcome
from database.router import OMNICHAT
from omniops.environment import sqlite
from standins.d1 import Engine

SCRATCH = "scratch"
Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """`write({"0001_make_a.sql": "CREATE ..."})` gives the folder, with these files over what was there."""

    def make(files: dict[str, str]) -> Path:
        folder = tmp_path / "sql"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return folder

    return make


@pytest.fixture(params=["sqlite", "d1"])
def scratch(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[Any]:
    """A connection to an empty database: a SQLite file, and again the real D1."""
    settings = sqlite(tmp_path / "scratch.sqlite3") if request.param == "sqlite" else _on_d1(request)
    connections.settings[SCRATCH] = connections.configure_settings({"default": {}, SCRATCH: settings})[SCRATCH]
    with django_db_blocker.unblock():
        yield connections[SCRATCH]
        connections[SCRATCH].close()
    del connections[SCRATCH], connections.settings[SCRATCH]


def _on_d1(request: pytest.FixtureRequest) -> dict[str, Any]:
    engine: Engine = request.getfixturevalue("d1_engine")
    engine.reset()
    engine.empty_database()
    return {
        "ENGINE": "d1",
        "NAME": engine.database,
        "USER": engine.account,
        "PASSWORD": engine.token,
        "OPTIONS": {"api_base": engine.base},
    }


@pytest.fixture
def command(tmp_path: Path, django_db_blocker: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`command("migrate_database", "--to", "1")` gives the exit code and the JSON of a command, run in this process.

    The alias `omnichat` is the file omnichat.sqlite3 in `tmp_path`, or the `file` that is named.
    """
    usual = connections[OMNICHAT], connections.settings[OMNICHAT]

    def run(*words: str, file: Any = tmp_path / "omnichat.sqlite3", wait: float = 20) -> tuple[int, dict[str, Any]]:
        settings = sqlite(file)
        settings["OPTIONS"]["timeout"] = wait
        connections.settings[OMNICHAT] = connections.configure_settings({"default": {}, OMNICHAT: settings})[OMNICHAT]
        connections[OMNICHAT] = connections.create_connection(OMNICHAT)
        code = 0
        capsys.readouterr()
        try:
            call_command(*words, "--json", skip_checks=True)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            connections[OMNICHAT].close()
        return code, json.loads(capsys.readouterr().out)

    with django_db_blocker.unblock():
        yield run
    connections[OMNICHAT], connections.settings[OMNICHAT] = usual


@pytest.fixture
def migrate(scratch: Any) -> Callable[..., Outcome]:
    """`migrate(folder)` or `migrate(folder, to=1)` on the empty database."""

    def run(folder: Path, to: int | None = None, **options: Any) -> Outcome:
        return Migrator(scratch, read_migrations(folder), **options).migrate(to)

    return run


@pytest.fixture
def rows(scratch: Any) -> Callable[..., list[tuple[Any, ...]]]:
    """`rows("SELECT ...")` of the scratch database."""

    def select(sql: str) -> list[tuple[Any, ...]]:
        with scratch.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    return select
