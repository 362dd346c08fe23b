"""Measures each page of the console beside a stock Django admin over the same tables, in the same run.

python bench/admin.py --users 100000 --messages 1000000 --write
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "bench"
DOCUMENT = ROOT / "docs" / "performance.md"
# Seconds for all visits to one page. One that takes so long is not visited again: a single visit says enough of it.
PATIENCE = 12.0


@dataclass
class Measured:
    queries: int
    kilobytes: float
    milliseconds: float
    visits: int


def prepare(users: int, messages: int) -> None:
    """From here on both databases are files of this size, made if they are not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    sql = b"".join(path.read_bytes() for path in sorted((ROOT / "migrations").glob("*.sql")))
    # A database of migrations that have changed since would be refused.
    file = FOLDER / f"omnichat-{users}-{messages}-{hashlib.sha256(sql).hexdigest()[:8]}.sqlite3"
    for outdated in FOLDER.glob(f"omnichat-{users}-{messages}-*"):
        if not outdated.name.startswith(file.name):
            outdated.unlink()
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
    os.environ["OMNICHAT_DATABASE_URL"] = f"sqlite:///{file}"
    os.environ["CONSOLE_DATABASE_URL"] = f"sqlite:///{FOLDER / 'console.sqlite3'}"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate_database")
    call_command("seed_demo", users=users, messages=messages)
    from bench.stock import views

    views.create()


def client() -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    admin, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    browser = Client()
    browser.force_login(admin)
    return browser


def visit(browser: Any, address: str) -> float:
    """Seconds of the processor: the database runs in this process, and what else the machine does is left out."""
    start = time.process_time()
    response = browser.get(address)
    passed = time.process_time() - start
    if response.status_code != 200:
        sys.exit(f"{address} answered {response.status_code}")
    return passed


def first(browser: Any, address: str) -> tuple[int, float, float]:
    """Queries to OmniChat's database, kilobytes and seconds of a visit that warms the caches."""
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    start = time.process_time()
    with CaptureQueriesContext(connections["omnichat"]) as captured:
        response = browser.get(address)
    if response.status_code != 200:
        sys.exit(f"{address} answered {response.status_code}")
    return len(captured), len(response.content) / 1000, time.process_time() - start


def side_by_side(browser: Any, addresses: list[str], repeat: int) -> list[Measured]:
    """Visits the addresses in turn, again and again, so that a busy moment falls on all of them."""
    warm = [first(browser, address) for address in addresses]
    times: list[list[float]] = [[seconds] if seconds > PATIENCE else [] for *_, seconds in warm]
    for _ in range(repeat):
        for address, taken in zip(addresses, times, strict=True):
            if sum(taken) < PATIENCE:
                taken.append(visit(browser, address))
    return [
        Measured(queries, size, median(taken) * 1000, len(taken))
        for (queries, size, _), taken in zip(warm, times, strict=True)
    ]


def comparison(repeat: int, only: str) -> Iterator[str]:
    """Lines of a table: each page of the console beside its counterpart."""
    from bench.pages import pages

    browser = client()
    yield "| table | page | queries | ms | kB | stock: queries | ms | kB | times faster |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for page in pages():
        if not re.search(only, f"{page.table} {page.name}"):
            continue
        addresses = [f"/admin/{page.console}"] + ([f"/stock/{page.stock}"] if page.stock else [])
        ours, *stock = side_by_side(browser, addresses, repeat)
        line = f"| {page.table} | {page.name} | {ours.queries} | {ours.milliseconds:.0f} | {ours.kilobytes:.0f} "
        for other in stock:
            ratio = other.milliseconds / ours.milliseconds
            line += f"| {other.queries} | {other.milliseconds:,.0f} | {other.kilobytes:.0f} | {ratio:,.1f} |"
        yield line if stock else line + "| | | | |"
    yield f"\n{machine()}"


def growth(sizes: list[tuple[int, int]], repeat: int) -> Iterator[str]:
    """Lines of a table: each page of the console at several sizes. Each size is a process of its own."""
    columns: dict[str, list[float]] = {}
    for users, messages in sizes:
        words = ["--users", str(users), "--messages", str(messages), "--repeat", str(repeat), "--json"]
        done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
        for name, milliseconds in json.loads(done.stdout.splitlines()[-1]).items():
            columns.setdefault(name, []).append(milliseconds)
    yield "| page | " + " | ".join(f"{messages:,} messages, ms" for _, messages in sizes) + " |"
    yield "|---|" + "---:|" * len(sizes)
    for name, taken in columns.items():
        yield f"| {name} | " + " | ".join(f"{milliseconds:.0f}" for milliseconds in taken) + " |"


def ours_alone(repeat: int) -> dict[str, float]:
    from bench.pages import pages

    browser = client()
    taken = {}
    for page in pages():
        # How far inside a page lies depends on the size of the table, so it goes by another name here.
        name = re.sub(r"page \d+", "a page inside", f"{page.table}: {page.name}")
        if "without" not in name:
            taken[name] = side_by_side(browser, [f"/admin/{page.console}"], repeat)[0].milliseconds
    return taken


def written(lines: Iterator[str], mark: str, write: bool) -> None:
    """Prints lines as they come; with `write` they take their place in the document, between its marks."""
    table = []
    for line in lines:
        print(line, flush=True)
        table.append(line)
    if write:
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        text = DOCUMENT.read_text()
        head, rest = text.split(begin)
        tail = rest.split(end)[1]
        DOCUMENT.write_text(f"{head}{begin}\n{chr(10).join(table)}\n{end}{tail}")


def machine() -> str:
    import sqlite3

    import django

    return (
        f"Python {platform.python_version()}, Django {django.__version__}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} shared cores, {time.strftime('%Y-%m-%d')}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7, help="visits to each page, of which the median counts (7)")
    parser.add_argument("--only", default="", help="pages whose name this pattern finds")
    parser.add_argument("--growth", action="store_true", help="measure the console at three sizes instead")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth:
        sizes = [(options.users // part, options.messages // part) for part in (100, 10, 1)]
        written(growth(sizes, options.repeat), "growth", options.write)
        return
    with redirect_stdout(sys.stderr):
        prepare(options.users, options.messages)
    if options.json:
        print(json.dumps(ours_alone(options.repeat)))
        return
    written(comparison(options.repeat, options.only), "comparison", options.write)


if __name__ == "__main__":
    main()
