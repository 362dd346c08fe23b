"""sqlalchemy-cloudflare-d1 through SQLAlchemy Core, as its README uses it. Its `base_url` names the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.engine import URL

from bench.d1_rivals.rows import COLUMNS, cells, key

NUMBERS = ("amount", "balance_after")
transactions = Table(
    "battery_transactions",
    MetaData(),
    *(Column(name, Integer if name in NUMBERS else String, primary_key=name == "id") for name in COLUMNS),
)
# 8 columns each: 12 rows have 96 parameters, and D1 takes 100.
ROWS_A_STATEMENT = 12


class Client:
    def __init__(self) -> None:
        account, database = os.environ["OMNICHAT_DATABASE_URL"].removeprefix("d1://").split("/")
        base = f"{os.environ['CLOUDFLARE_API_BASE']}/accounts/{account}/d1/database/{database}"
        token = os.environ["CLOUDFLARE_API_TOKEN"]
        self.engine = create_engine(URL.create("cloudflare_d1", account, token, database, query={"base_url": base}))

    def select(self, name: str) -> float:
        start = perf_counter()
        with self.engine.connect() as connection:
            row = connection.execute(select(transactions).where(transactions.c.id == name)).one()
        assert row.id == name
        return perf_counter() - start

    def insert(self, name: str) -> float:
        return self._write(transactions.insert(), [row(name)])

    def save(self, name: str) -> float:
        return self._write(transactions.update().where(transactions.c.id == name), [row(name, 7)])

    def block(self, prefix: str) -> float:
        """Read 10 rows, then change these and insert 10 more. Its begin() is no transaction: D1 commits each."""
        new = [row(key(prefix, number), number) for number in range(10, 20)]
        start = perf_counter()
        names = [key(prefix, number) for number in range(10)]
        with self.engine.begin() as connection:
            found = connection.execute(select(transactions).where(transactions.c.id.in_(names))).all()
            assert len(found) == 10
            for one in found:
                change = transactions.update().where(transactions.c.id == one.id)
                connection.execute(change.values({**one._asdict(), "amount": one.amount - 1}))
            for one in new:
                connection.execute(transactions.insert().values(one))
        return perf_counter() - start

    def write(self, prefix: str, count: int) -> float:
        """Its executemany(), which is a request a row."""
        rows = [row(key(prefix, number), number) for number in range(count)]
        return self._write(transactions.insert(), rows)

    def write_wide(self, prefix: str, count: int) -> float:
        """The best that its user can do: as many rows of VALUES as 100 parameters allow."""
        rows = [row(key(prefix, number), number) for number in range(count)]
        start = perf_counter()
        with self.engine.begin() as connection:
            for some in batches(rows):
                connection.execute(transactions.insert().values(some))
        return perf_counter() - start

    def change(self, prefix: str, count: int) -> float:
        start = perf_counter()
        with self.engine.begin() as connection:
            for number in range(count):
                change = transactions.update().where(transactions.c.id == key(prefix, number))
                connection.execute(change.values(amount=5, type="bonus"))
        return perf_counter() - start

    def read(self, count: int) -> float:
        start = perf_counter()
        with self.engine.connect() as connection:
            found = connection.execution_options(stream_results=True).execute(select(transactions).limit(count))
            assert sum(len(one.id) > 0 for one in found) == count
        return perf_counter() - start

    def run(self, statements: list[tuple[str, list[Any]]]) -> float:
        """The same statements through its DB-API cursor, a request each."""
        start = perf_counter()
        with self.engine.connect() as connection:
            cursor = connection.connection.cursor()
            for sql, params in statements:
                cursor.execute(sql, params)
                cursor.fetchall()
        return perf_counter() - start

    def _write(self, statement: Any, rows: list[dict[str, Any]]) -> float:
        start = perf_counter()
        with self.engine.begin() as connection:
            connection.execute(statement, rows)
        return perf_counter() - start


def row(name: str, number: int = 0) -> dict[str, Any]:
    return dict(zip(COLUMNS, cells(name, number), strict=True))


def batches(rows: list[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(rows), ROWS_A_STATEMENT):
        yield rows[at : at + ROWS_A_STATEMENT]
