"""In which order tables are filled and emptied where foreign keys cannot be put off."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class Order(NamedTuple):
    """`straight` stand after all their parents. `tangled` refer to themselves or in a circle: only one transaction
    with deferred keys can fill them, each before those that refer to it."""

    straight: list[str]
    tangled: list[str]

    @property
    def tables(self) -> list[str]:
        return [*self.straight, *self.tangled]


def parents_of(database: sqlite3.Connection, tables: list[str]) -> dict[str, set[str]]:
    """For each table those that it refers to, itself too, as far as they are among `tables`."""
    names = {table.lower(): table for table in tables}
    found: dict[str, set[str]] = {table: set() for table in tables}
    for table in tables:
        for (parent,) in database.execute('SELECT "table" FROM pragma_foreign_key_list(?)', [table]):
            if parent.lower() in names:
                found[table].add(names[parent.lower()])
    return found


def order_of(parents: dict[str, set[str]]) -> Order:
    """Parents before children. What refers to a tangled table is tangled with it."""
    straight: list[str] = []
    waiting = list(parents)
    while ready := [table for table in waiting if parents[table] <= set(straight)]:
        straight += ready
        waiting = [table for table in waiting if table not in ready]
    return Order(straight, waiting)
