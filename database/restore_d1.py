"""A restore to D1, which has no swap: table by table, behind a sign, and counted at the end."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from database.restore_build import RestoreError, Watch, columns_of, is_internal, quoted, stored_columns, tables_of
from database.restore_delivery import DEFER, Delivery, drop, requests, stage
from database.restore_marker import MARKER
from database.restore_order import order_of, parents_of
from database.transactions import Step
from database.words import counted

#: wrangler's record of migrations: a backup that lacks it leaves it.
WRANGLERS = "d1_migrations"


@dataclass
class D1Restore:
    """Brings a whole D1 database to what a build holds."""

    delivery: Delivery
    build: sqlite3.Connection
    watch: Watch = lambda rows: None

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return self.delivery.connection

    def run(self) -> dict[str, int]:
        """Empty the database, fill it, count; gives the rows of each table. Raises RestoreError where they differ.

        `delivery.begin` comes before. What is stopped midway stays marked, and is done again from the beginning.
        """
        self._drop_all()
        tables = tables_of(self.build)
        shadows = _shadows(self.build)
        plain = [table for table in tables if table not in shadows]
        self.delivery.send([(sql, []) for table in plain for sql in self._sql("table", table)])
        order = order_of(parents_of(self.build, plain))
        for table in order.straight:
            self._load(table)
        self._load_tangled(order.tangled)
        self._finish_schema()
        counts = self._compare(plain)
        self.delivery.end()
        return counts

    def _drop_all(self) -> None:
        """Views and triggers first, then children before their parents, so that no DROP deletes by a key."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'view', 'trigger')")
            found = [(kind, name) for kind, name, _ in cursor.fetchall() if not is_internal(name) and name != MARKER]
            cursor.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'create virtual%'")
            virtual = {name for (name,) in cursor.fetchall()}
        steps: list[Step] = [
            (f"DROP {kind.upper()} IF EXISTS {quoted(name)}", []) for kind, name in found if kind != "table"
        ]
        steps += [(f"DROP TABLE IF EXISTS {quoted(name)}", []) for name in virtual]
        shadows = {name for _, name in found if any(name.startswith(f"{each}_") for each in virtual)}
        tables = [name for kind, name in found if kind == "table" and name not in virtual | shadows]
        if WRANGLERS not in tables_of(self.build):
            tables = [name for name in tables if name != WRANGLERS]
        self.delivery.send(steps)
        order = order_of(self._live_parents(tables))
        if order.tangled:
            emptied: list[Step] = [(f"DELETE FROM {quoted(name)}", []) for name in order.tangled]  # noqa: S608
            self.delivery.send([DEFER, *emptied, *(drop(name) for name in order.tangled)])
        for name in reversed(order.straight):
            self.delivery.send([drop(name)])

    def _live_parents(self, tables: list[str]) -> dict[str, set[str]]:
        names = {name.lower(): name for name in tables}
        found: dict[str, set[str]] = {name: set() for name in tables}
        with self.connection.cursor() as cursor:
            cursor.execute(
                'SELECT m.name, k."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k '
                "WHERE m.type = 'table' AND m.name NOT GLOB '_cf_*' AND m.sql NOT LIKE 'create virtual%'"
            )
            for child, parent in cursor.fetchall():
                if child in found and parent.lower() in names:
                    found[child].add(names[parent.lower()])
        return found

    def _sql(self, kind: str, table: str | None = None) -> list[str]:
        sql = "SELECT sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL"
        rows = self.build.execute(f"{sql} AND (?2 IS NULL OR name = ?2) ORDER BY rowid", [kind, table])
        return [sql for (sql,) in rows]

    def _load(self, table: str) -> None:
        for steps, count in requests(self.build, table, table, stored_columns(self.build, table)):
            self.delivery.send(steps)
            self.watch(count)

    def _load_tangled(self, tables: list[str]) -> None:
        """By way of tables without keys, and then all in one transaction with its keys deferred."""
        steps = stage(self.delivery, self.build, tables, self.watch)
        if tables:
            self.delivery.send([DEFER, *steps])

    def _finish_schema(self) -> None:
        if self.build.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            rows = self.build.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
            insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)"
            self.delivery.send([("DELETE FROM sqlite_sequence", []), *((insert, [name, seq]) for name, seq in rows)])
        for sql in self._sql("index"):
            self.delivery.send([(sql, [])])
        self.delivery.send([(sql, []) for kind in ("view", "trigger") for sql in self._sql(kind)])

    def _compare(self, tables: list[str]) -> dict[str, int]:
        counts = {}
        for table in tables:
            count = f"SELECT count(*) FROM {quoted(table)}"  # noqa: S608
            (expected,) = self.build.execute(count).fetchone()
            with self.connection.cursor() as cursor:
                cursor.execute(count)
                (counts[table],) = cursor.fetchone()
            if counts[table] != expected:
                raise RestoreError(
                    f"{table} has {counted(counts[table], 'row')} and the backup has {expected:,}: somebody "
                    "else wrote to the database during the restore. Stop the app, then restore again."
                )
        return counts


def _shadows(build: sqlite3.Connection) -> set[str]:
    """Tables that belong to a virtual one, which keeps them itself."""
    return {name for (name,) in build.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")}


def refuse_what_d1_cannot_hold(build: sqlite3.Connection, violated: list[str]) -> None:
    """Raise RestoreError for what D1 would refuse midway, before anything is touched. https://developers.cloudflare.com/d1/platform/limits/"""
    if violated:
        raise RestoreError(
            f"D1 takes no row whose foreign key points nowhere, and the backup has such: {'; '.join(violated)}. "
            "Restore to a copy by --into sqlite:///FILE, correct them there, and back that up. Nothing was touched."
        )
    for table in tables_of(build):
        columns = columns_of(build, table)
        if len(columns) > 100:
            raise RestoreError(f"{table} has {len(columns)} columns, and D1 takes 100. Nothing was touched.")
        size = " + ".join(f"coalesce(length(CAST({quoted(column)} AS BLOB)), 0)" for column in columns)
        (count,) = build.execute(f"SELECT count(*) FROM {quoted(table)} WHERE {size} > 2000000").fetchone()  # noqa: S608
        if count:
            raise RestoreError(
                f"{counted(count, 'row')} of {table} {'is' if count == 1 else 'are'} larger than the 2 "
                "MB that D1 takes. Nothing was touched."
            )
