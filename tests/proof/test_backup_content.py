"""Any content, backed up and restored, is the same: each value with its kind, each object, on both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.db import connections
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from database.backup import Wish, make_backup
from database.backup_files import backups_at
from database.restore import Restore
from database.restore_sources import open_source
from omniops.environment import sqlite
from standins.d1 import Engine
from tests.database.packing import querying, quoted, snapshot

QUIET = Wish(console=False)

integers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 2**53, 2**53 + 1, -(2**63), 2**63 - 1]))
reals = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.1, 1e308, 5e-324, float("inf"), -float("inf"), 1e22]))
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.sampled_from(["", "5", "5.0", "\0", "'\""])
)
cells = st.one_of(st.none(), integers, reals, texts, st.binary(max_size=40))
names = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True), st.text("aé☃ \"'%;-.[]`", min_size=1, max_size=6)
).filter(lambda name: not name.lower().startswith(("sqlite_", "_cf_", "_restore")) and name.strip())
KINDS = ["", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "BOOLEAN"]
KEYS = ["", "INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT PRIMARY KEY"]


@st.composite
def tables(draw: Any) -> tuple[str, list[str], str, list[tuple[Any, ...]]]:
    """A name, the kinds of its columns, its key and its rows."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*[cells] * len(kinds)), max_size=8))
    return draw(names), kinds, draw(st.sampled_from(KEYS)), rows


databases = st.lists(tables(), min_size=1, max_size=3, unique_by=lambda table: table[0].lower())


def fill(path: Path, made: list[Any], *, numbers: list[int]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for place, (name, kinds, key, rows) in enumerate(made):
            columns = [f"c{number} {kind}" for number, kind in enumerate(kinds)]
            columns = [f"id {key}", *columns] if key else columns
            parent = made[place - 1][0] if place else None
            refers = [f"up INTEGER REFERENCES {quoted(parent)}"] if parent and "INTEGER" in made[place - 1][2] else []
            database.execute(f"CREATE TABLE {quoted(name)} ({', '.join([*columns, *refers])})")
            for row in rows:
                cols = ", ".join(f"c{number}" for number in range(len(kinds)))
                database.execute(f"INSERT INTO {quoted(name)} ({cols}) VALUES ({', '.join('?' * len(kinds))})", row)
            if key and "TEXT" in key:
                database.execute(f"UPDATE {quoted(name)} SET id = 'k' || rowid")
            for number in numbers[: len(rows)]:
                # Gaps in the numbers of the rows.
                database.execute(f"DELETE FROM {quoted(name)} WHERE rowid = ?", [number])
            database.execute(f"CREATE INDEX {quoted(name + ' x')} ON {quoted(name)} (c0)")


@pytest.fixture
def alias(django_db_blocker: Any) -> Iterator[Any]:
    """`alias(name, settings)` is a connection."""
    there: list[str] = []

    def connect(name: str, config: dict[str, Any]) -> Any:
        connections.settings[name] = connections.configure_settings({"default": {}, name: config})[name]
        connections[name] = connections.create_connection(name)
        there.append(name)
        return connections[name]

    with django_db_blocker.unblock():
        yield connect
    for name in set(there):
        connections[name].close()
        del connections[name], connections.settings[name]


@given(made=databases, numbers=st.lists(st.integers(1, 8), max_size=3))
def test_what_is_backed_up_comes_back(alias: Any, made: list[Any], numbers: list[int]) -> None:
    with TemporaryDirectory() as folder:
        live, copy = Path(folder) / "live.sqlite3", Path(folder) / "copy.sqlite3"
        fill(live, made, numbers=numbers)
        record = make_backup(alias("live", sqlite(live)), backups_at(folder), QUIET)
        Restore(open_source(f"{folder}/{record['backup']}"), alias("copy", sqlite(copy))).run()
        assert snapshot(querying(copy)) == snapshot(querying(live))
        connections["live"].close()
        connections["copy"].close()


# Without shrinking, for each example is some thirty requests.
@settings(max_examples=settings.default.max_examples // 5, phases=(Phase.reuse, Phase.generate))  # type: ignore[union-attr]
@given(made=databases, numbers=st.lists(st.integers(1, 8), max_size=3))
def test_what_goes_to_d1_comes_back(alias: Any, d1_engine: Engine, made: list[Any], numbers: list[int]) -> None:
    d1 = {
        "ENGINE": "d1",
        "NAME": d1_engine.database,
        "USER": d1_engine.account,
        "PASSWORD": d1_engine.token,
        "OPTIONS": {"api_base": d1_engine.base},
    }
    d1_engine.empty_database()
    with TemporaryDirectory() as folder:
        live, copy = Path(folder) / "live.sqlite3", Path(folder) / "copy.sqlite3"
        fill(live, made, numbers=numbers)
        kept = backups_at(folder)
        record = make_backup(alias("live", sqlite(live)), kept, QUIET)
        there = alias("there", d1)
        Restore(open_source(f"{folder}/{record['backup']}"), there).run()
        found, expected = snapshot(lambda sql: d1_engine.execute(sql)[0]), snapshot(querying(live))
        # One that was there stays, empty, in a D1 database that was emptied.
        assert {"sqlite_sequence": [], **found["rows"]} == {"sqlite_sequence": [], **expected["rows"]}
        record = make_backup(there, kept, Wish(console=False, method="pages"))
        Restore(open_source(f"{folder}/{record['backup']}"), alias("copy", sqlite(copy))).run()
        again = snapshot(querying(copy))
        assert again["objects"] == expected["objects"]
        assert {"sqlite_sequence": [], **again["rows"]} == {"sqlite_sequence": [], **expected["rows"]}
        connections["live"].close()
        connections["copy"].close()
