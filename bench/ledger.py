"""The ledger at its full size, on a SQLite file and on the real D1 engine: credits for all, one entry, the audit.

Prints one table and exits 1 when a goal is missed. `--write` puts the table into docs/performance-ledger.md too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, in which this file would hide the room of the same name.
sys.path[0] = str(ROOT)

from standins.d1 import Engine, missing_reason  # noqa: E402

PAGE = ROOT / "docs" / "performance-ledger.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
DAY = date(2026, 11, 22)


class Line(NamedTuple):
    what: str
    where: str
    seconds: float
    cpu: float
    more: str
    goal: str
    met: bool | None


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, seconds of the processor in this process, and what the work gave."""
    began, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - began, time.process_time() - cpu, result


def prepare(users: int) -> None:
    """Tables, and users who all have a subscription in force."""
    from django.core.management import call_command

    call_command("migrate_database", "--json", skip_checks=True, stdout=io.StringIO(), stderr=io.StringIO())
    numbers = "WITH RECURSIVE n(i) AS (SELECT %s UNION ALL SELECT i + 1 FROM n WHERE i < %s) "
    for start in range(1, users + 1, 10_000):
        bounds = [start, min(start + 9_999, users)]
        name = "printf('user_%%07d', i)"
        execute(f"INSERT INTO users (id, email) {numbers} SELECT {name}, {name} FROM n", bounds)
        execute(
            f"INSERT INTO user_subscriptions (id, user_id, plan_id, status) {numbers} "
            f"SELECT {name}, {name}, 'daily', 'active' FROM n",
            bounds,
        )


def execute(sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    from django.db import connections

    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def fill(users: int, rows: int) -> None:
    """Ledgers that are right, `rows` entries in all."""
    each = rows // users
    execute("DELETE FROM battery_transactions")
    execute("DELETE FROM user_battery")
    execute(
        "INSERT INTO battery_transactions "
        "(id, user_id, type, amount, balance_after, stripe_payment_intent_id, metadata, created_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) "
        "SELECT u.id || '-' || i, u.id, 'refund', 10, 10 * i, "
        "CASE WHEN i %% 10 = 0 THEN 'pi_' || u.id || i END, "
        '\'{"model":"m","message_id":"x"}\', '
        "strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 1790000000 + i * 5000, 'unixepoch') FROM users u CROSS JOIN n",
        [each],
    )
    execute("INSERT INTO user_battery (user_id, total_balance) SELECT id, %s FROM users", [10 * each])
    execute("ANALYZE")


def measure(where: str, users: int, entries: int, requests: Callable[[], int]) -> list[Line]:
    prepare(users)
    # On D1 a tenth: the goal is of SQLite, and of D1 the requests count.
    audited = entries // 10 if where == "D1" else entries
    credited = measure_credits(where, users, requests)
    return [credited, measure_one(where, requests), measure_audit(where, users, audited, requests)]


def measure_credits(where: str, users: int, requests: Callable[[], int]) -> Line:
    from billing.allowance import give_allowances

    before = requests()
    seconds, cpu, given = timed(lambda: give_allowances(DAY, by="bench"))
    assert given.credited == users, given
    sent, rate = requests() - before, f"{users / seconds:,.0f} users/s"
    what = f"allowance of {users:,} users"
    if where == "D1":
        return Line(what, where, seconds, cpu, f"{rate}, {sent} requests", "100 requests", sent <= 100)
    return Line(what, where, seconds, cpu, rate, "10 s", seconds < 10)


def measure_one(where: str, requests: Callable[[], int]) -> Line:
    from billing.ledger import Entry, post
    from billing.models import TransactionType

    before, times = requests(), 50
    user, bonus = "user_0000001", TransactionType.BONUS
    seconds, cpu, _ = timed(lambda: [post([Entry(f"b:{n}", user, bonus, 1)], by="bench") for n in range(times)])
    sent = (requests() - before) / times
    if where == "D1":
        return Line("one entry", where, seconds / times, cpu / times, f"{sent:g} request", "1 request", sent == 1)
    return Line("one entry", where, seconds / times, cpu / times, "", "", None)


def measure_audit(where: str, users: int, entries: int, requests: Callable[[], int]) -> Line:
    from billing.ledger_audit import audit_ledgers

    users = min(users, entries)
    fill(users, entries)
    before = requests()
    seconds, cpu, audit = timed(audit_ledgers)
    assert (audit.rows, audit.drift) == (entries // users * users, []), audit.drift[:3]
    what = f"audit of {audit.rows:,} entries"
    if where == "D1":
        return Line(what, where, seconds, cpu, f"{requests() - before} requests", "", None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Line(what, where, seconds, cpu, f"peak {peak} MiB", "15 s", seconds < 15)


def on_sqlite(users: int, audited: int) -> list[Line]:
    return measure("SQLite", users, audited, lambda: 0)


def on_d1(users: int, audited: int) -> list[Line]:
    from django.db import connections

    return measure("D1", users, audited, lambda: connections["omnichat"].usage.requests)


def in_process(which: str, environment: dict[str, str], users: int, audited: int) -> list[Line]:
    """Measure in a process of its own, for settings are read once."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.environ.update(environment, DJANGO_SETTINGS_MODULE="omniops.settings")
        import django

        django.setup()
        lines = (on_d1 if which == "D1" else on_sqlite)(users, audited)
        with os.fdopen(writer, "w") as pipe:
            json.dump(lines, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        raise SystemExit(f"The measurement on {which} failed; what it said stands above.")
    return [Line(*line) for line in json.loads(text)]


def table(lines: list[Line]) -> str:
    rows = ["| | on | s | CPU s | | goal |", "| --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        goal = f"{line.goal}: {'met' if line.met else 'missed'}" if line.goal else ""
        rows.append(f"| {line.what} | {line.where} | {line.seconds:.3g} | {line.cpu:.3g} | {line.more} | {goal} |")
    return "\n".join(rows) + "\n"


def write(text: str) -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END)[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=1_000_000, help="how many the audit walks")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        console = {"CONSOLE_DATABASE_URL": f"sqlite:///{folder}/console.sqlite3"}
        file = {**console, "OMNICHAT_DATABASE_URL": f"sqlite:///{folder}/omnichat.sqlite3"}
        lines = in_process("SQLite", file, options.users, options.entries)
        if reason := missing_reason():
            print(f"missing: {reason}", file=sys.stderr)
        else:
            with Engine() as engine:
                lines += in_process("D1", {**console, **engine.environment()}, options.users, options.entries)
    after = os.getloadavg()[0]
    machine = (
        f"{os.cpu_count()} cores, load {load:.1f} before and {after:.1f} after, Python {platform.python_version()}."
    )
    text = f"{table(lines)}\n{machine}\n"
    print(text)
    if options.write:
        write(text)
    missed = [line for line in lines if line.met is False]
    for line in missed:
        print(f"Missed: {line.what} on {line.where}: {line.goal}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
