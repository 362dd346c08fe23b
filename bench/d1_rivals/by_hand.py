"""The raw API by hand, as little as will do: urllib3 with connections kept alive, and json. No check of anything."""

from __future__ import annotations

import json
import os
from time import perf_counter
from typing import Any

import urllib3

from bench.d1_rivals.rows import COLUMNS, cells, key

NAMES = ", ".join(COLUMNS)
SELECT_ONE = f"SELECT {NAMES} FROM battery_transactions WHERE id = ?"
INSERT_ONE = f"INSERT INTO battery_transactions ({NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"
UPDATE_ONE = f"UPDATE battery_transactions SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])} WHERE id = ?"
INSERT_MANY = (
    f"INSERT INTO battery_transactions ({NAMES}) "
    f"SELECT {', '.join(f'value ->> {place}' for place in range(len(COLUMNS)))} FROM json_each(?)"
)
UPDATE_MANY = (
    "UPDATE battery_transactions SET amount = new.value ->> 1, type = new.value ->> 2 "
    "FROM json_each(?) AS new WHERE battery_transactions.id = new.value ->> 0"
)
ROWS_A_PARAMETER = 4000


class Client:
    def __init__(self) -> None:
        account, database = os.environ["OMNICHAT_DATABASE_URL"].removeprefix("d1://").split("/")
        self.url = f"{os.environ['CLOUDFLARE_API_BASE']}/accounts/{account}/d1/database/{database}/raw"
        self.headers = {
            "authorization": f"Bearer {os.environ['CLOUDFLARE_API_TOKEN']}",
            "content-type": "application/json",
        }
        self.pool = urllib3.PoolManager()

    def call(self, body: Any) -> list[Any]:
        response = self.pool.request("POST", self.url, body=json.dumps(body), headers=self.headers)
        answer = json.loads(response.data)
        if not answer["success"]:
            raise RuntimeError(answer["errors"])
        return answer["result"]

    def select(self, name: str) -> float:
        start = perf_counter()
        result = self.call({"sql": SELECT_ONE, "params": [name]})
        assert result[0]["results"]["rows"][0][0] == name
        return perf_counter() - start

    def insert(self, name: str) -> float:
        row = cells(name)
        start = perf_counter()
        self.call({"sql": INSERT_ONE, "params": row})
        return perf_counter() - start

    def save(self, name: str) -> float:
        row = cells(name, 7)
        start = perf_counter()
        self.call({"sql": UPDATE_ONE, "params": row[1:] + row[:1]})
        return perf_counter() - start

    def block(self, prefix: str) -> float:
        """Read 10 rows, then change these and insert 10 more, in one batch."""
        new = [cells(key(prefix, number), number) for number in range(10, 20)]
        start = perf_counter()
        marks = ", ".join("?" * 10)
        names = [key(prefix, number) for number in range(10)]
        sql = f"SELECT {NAMES} FROM battery_transactions WHERE id IN ({marks})"
        rows = self.call({"sql": sql, "params": names})[0]["results"]["rows"]
        assert len(rows) == 10
        batch = [{"sql": UPDATE_ONE, "params": [*row[1:3], row[3] - 1, *row[4:], row[0]]} for row in rows]
        self.call({"batch": batch + [{"sql": INSERT_ONE, "params": row} for row in new]})
        return perf_counter() - start

    def write(self, prefix: str, count: int) -> float:
        rows = [cells(key(prefix, number), number) for number in range(count)]
        start = perf_counter()
        self.call({"batch": [{"sql": INSERT_MANY, "params": [text]} for text in packed(rows)]})
        return perf_counter() - start

    def change(self, prefix: str, count: int) -> float:
        rows = [[key(prefix, number), 5, "bonus"] for number in range(count)]
        start = perf_counter()
        self.call({"batch": [{"sql": UPDATE_MANY, "params": [text]} for text in packed(rows)]})
        return perf_counter() - start

    def read(self, count: int) -> float:
        start = perf_counter()
        result = self.call({"sql": f"SELECT {NAMES} FROM battery_transactions LIMIT {count}"})
        assert sum(len(row[0]) > 0 for row in result[0]["results"]["rows"]) == count
        return perf_counter() - start

    def run(self, statements: list[tuple[str, list[Any]]]) -> float:
        """The same statements, a request each."""
        start = perf_counter()
        for sql, params in statements:
            self.call({"sql": sql, "params": params})
        return perf_counter() - start


def packed(rows: list[Any]) -> list[str]:
    return [json.dumps(rows[at : at + ROWS_A_PARAMETER]) for at in range(0, len(rows), ROWS_A_PARAMETER)]
