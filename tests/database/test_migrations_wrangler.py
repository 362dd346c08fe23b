"""wrangler applies our files as they are."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from database.migrations import read_migrations
from database.schema import read_schema
from database.sql import statements
from standins.d1 import missing_reason, wrangler
from standins.d1.node import node_environment

OURS = settings.SQL_MIGRATIONS_DIR


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of wrangler's local D1 after `wrangler d1 migrations apply`."""
    if reason := missing_reason():
        pytest.skip(f"missing: {reason}")
    folder = tmp_path_factory.mktemp("wrangler")
    shutil.copytree(OURS, folder / "migrations")
    database = {"binding": "DB", "database_name": "omnichat", "database_id": "omnichat"}
    (folder / "wrangler.json").write_text(json.dumps({"name": "app", "d1_databases": [database]}))
    command = wrangler("d1", "migrations", "apply", "omnichat", "--local")
    done = subprocess.run(command, cwd=folder, env=node_environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (p for p in folder.glob(".wrangler/state/v3/d1/*/*.sqlite") if p.name != "metadata.sqlite")
    return found


def test_what_wrangler_made_is_adopted_in_place_and_needs_nothing_more(
    state_file: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    copy = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(state_file)) as there, closing(sqlite3.connect(copy)) as here:
        there.backup(here)
    code, found = command("migrate_database", "--plan", file=copy)
    assert (code, found["warnings"]) == (0, [])
    code, found = command("migrate_database", "--adopt", file=copy)
    assert (code, found["version"]) == (0, len(read_migrations(OURS)))
    code, found = command("migrate_database", file=copy)
    assert (code, found["applied"]) == (0, [])


def test_wrangler_makes_the_schema_that_we_make(state_file: Path) -> None:
    ours, theirs = sqlite3.connect(":memory:"), sqlite3.connect(state_file)
    for migration in read_migrations(OURS):
        for statement in statements(migration.sql):
            ours.execute(statement)
    assert read_schema(theirs.cursor()) == read_schema(ours.cursor())
    assert theirs.execute("SELECT count(*) FROM subscription_plans").fetchone() == (4,)
    ours.close()
    theirs.close()
