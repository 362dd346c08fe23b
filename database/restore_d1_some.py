"""A restore of some tables on D1: their rows are brought aside, and one batch puts them in the place of the old ones.

There is no moment in which a table is half. Foreign keys are always on there, so a row that others outside
of these tables may refer to is changed and not deleted: an ON DELETE CASCADE would take those along.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from database.restore_build import RestoreError, Watch, columns_of, quoted
from database.restore_delivery import DEFER, Delivery, drop, stage_rows
from database.restore_order import order_of, parents_of
from database.transactions import Step
from database.words import counted


@dataclass(frozen=True)
class _Child:
    """A foreign key of a table outside: its column, and the column of the restored table that it names."""

    table: str
    column: str
    parent: str
    to: str


@dataclass
class SomeTables:
    """Replaces `tables` of a D1 database by those of a build."""

    delivery: Delivery
    build: sqlite3.Connection
    tables: list[str]
    watch: Watch = lambda rows: None

    def run(self) -> None:
        """After `delivery.begin`. Raises RestoreError where rows outside would lose what they refer to."""
        order = order_of(parents_of(self.build, self.tables))
        tables = [*order.straight, *order.tangled]
        there = {table: self._live_columns(table) for table in tables}
        children = self._children()
        staged = {table: stage_rows(self.delivery, self.build, table, n, self.watch) for n, table in enumerate(tables)}
        self._refuse_orphans(children, staged)
        triggers = self._triggers()
        steps: list[Step] = [DEFER, *((f"DROP TRIGGER {quoted(name)}", []) for name, _ in triggers)]
        for table in tables:
            has_children = any(child.parent == table.lower() for child in children)
            steps += self._steps(table, staged[table], is_new=not there[table], keep=has_children)
        steps += [*((sql, []) for _, sql in triggers), *(drop(name) for name in staged.values())]
        self.delivery.end(steps)

    def _read(self, sql: str, params: list[Any] | None = None) -> list[Any]:
        with self.delivery.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def _live_columns(self, table: str) -> list[str]:
        """The live table's columns; none where there is no table. Raises RestoreError where the backup has more."""
        live = [name for (name,) in self._read("SELECT name FROM pragma_table_xinfo(%s)", [table])]
        missing = {name.lower() for name in columns_of(self.build, table)} - {name.lower() for name in live}
        if live and missing:
            raise RestoreError(
                f"{table} lacks the column {', '.join(sorted(missing))} that it has in the backup: restore the whole "
                "backup, or add the column first. Nothing was touched."
            )
        return live

    def _children(self) -> list[_Child]:
        rows = self._read(
            'SELECT m.name, k."from", lower(k."table"), k."to" FROM sqlite_master m '
            "JOIN pragma_foreign_key_list(m.name) k WHERE m.type = 'table' AND m.name NOT GLOB '_cf_*' "
            "AND m.sql NOT LIKE 'create virtual%'"
        )
        inside = {table.lower() for table in self.tables}
        return [
            _Child(name, column, parent, to or self._key(parent)[0])
            for name, column, parent, to in rows
            if parent in inside and name.lower() not in inside
        ]

    def _key(self, table: str) -> list[str]:
        rows = self.build.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk ORDER BY pk", [table])
        return [name for (name,) in rows]

    def _refuse_orphans(self, children: list[_Child], staged: dict[str, str]) -> None:
        places = {table.lower(): (table, name) for table, name in staged.items()}
        for child in children:
            table, name = places[child.parent]
            columns = [each.lower() for each in columns_of(self.build, table)]
            there = f"SELECT c{columns.index(child.to.lower())} FROM {name}"  # noqa: S608
            column = quoted(child.column)
            ((count,),) = self._read(
                f"SELECT count(*) FROM {quoted(child.table)} WHERE {column} IS NOT NULL AND {column} NOT IN ({there})"  # noqa: S608
            )
            if count:
                raise RestoreError(
                    f"{counted(count, 'row')} of {child.table} {'points' if count == 1 else 'point'} to "
                    f"rows of {table} that the backup does not have: restore "
                    f"{child.table} together with it (--tables). Nothing was touched."
                )

    def _triggers(self) -> list[tuple[str, str]]:
        inside = {table.lower() for table in self.tables}
        found = self._read("SELECT name, sql, lower(tbl_name) FROM sqlite_master WHERE type = 'trigger'")
        return [(name, sql) for name, sql, table in found if table in inside]

    def _steps(self, table: str, staged: str, *, is_new: bool, keep: bool) -> list[Step]:
        names = columns_of(self.build, table)
        listed, taken = ", ".join(map(quoted, names)), ", ".join(f"c{place}" for place in range(len(names)))
        insert = f"INSERT INTO {quoted(table)} ({listed}) SELECT {taken} FROM {staged}"  # noqa: S608
        if is_new:
            sql = (
                "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type = 'trigger', rowid"
            )
            made = [text for (text,) in self.build.execute(sql, [table])]
            later: list[Step] = [(text, []) for text in made[1:]]
            return [(made[0], []), (f"{insert} ORDER BY rowid", []), *later]
        if not keep:
            return [(f"DELETE FROM {quoted(table)}", []), (f"{insert} ORDER BY rowid", [])]  # noqa: S608
        key = self._key(table)
        values = ", ".join(f"c{names.index(name)}" for name in key)
        listed_key = ", ".join(map(quoted, key))
        gone = f"DELETE FROM {quoted(table)} WHERE ({listed_key}) NOT IN (SELECT {values} FROM {staged})"  # noqa: S608
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in names if name not in key)
        action = f"UPDATE SET {changes}" if changes else "NOTHING"
        return [(gone, []), (f"{insert} WHERE true ON CONFLICT ({listed_key}) DO {action}", [])]
