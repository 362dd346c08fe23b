"""The d1 backend beside the raw API by hand and sqlalchemy-cloudflare-d1, on the real engine: `make bench-d1`.

Prints one table and exits 1 when a target is missed. `--write` puts the table into docs/performance-d1.md too.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, in which this file would hide the room of the same name.
sys.path[0] = str(ROOT)

from bench.d1_rivals import measures  # noqa: E402
from bench.d1_rivals.clients import Worker, rival_python  # noqa: E402
from bench.d1_rivals.measures import HAND, LOCAL, OURS, RIVAL, Bench, Line, Sizes  # noqa: E402
from standins.d1 import Engine, missing_reason  # noqa: E402

PAGE = ROOT / "docs" / "performance-d1.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
MODULES = {OURS: "backend", LOCAL: "backend", HAND: "by_hand", RIVAL: "sqlalchemy_driver"}
# A tenth of everything, to see that it runs.
SMALL = Sizes(10_000, 1000, 60, 4, 40, 6, 1000)


@contextmanager
def opened(sizes: Sizes) -> Iterator[Bench]:
    """An engine and a process for each client, with tables; all of it goes in the end."""
    with Engine() as engine, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        on_d1 = {**engine.environment(), "CONSOLE_DATABASE_URL": f"sqlite:///{folder}/console.sqlite3"}
        local = {
            "OMNICHAT_DATABASE_URL": f"sqlite:///{folder}/omnichat.sqlite3",
            "CONSOLE_DATABASE_URL": f"sqlite:///{folder}/console_beside.sqlite3",
        }
        rival = rival_python()

        def spawn(client: str) -> Worker:
            python = rival if client == RIVAL else sys.executable
            return Worker(MODULES[client], python, local if client == LOCAL else on_d1)

        workers = {client: stack.enter_context(spawn(client)) for client in MODULES}
        for client in (OURS, LOCAL):
            workers[client]("prepare", sizes.messages)
        yield Bench(engine, workers, spawn, sizes)


def measure(bench: Bench) -> None:
    for ms in (0, 100):
        bench.go(ms)
        bench.empty()
        measures.measure_calls(bench)
        measures.measure_block(bench)
        measures.measure_page(bench)
        measures.measure_bulk(bench)
    bench.go(0)
    bench.empty()
    for client in (HAND, HAND, HAND, HAND, LOCAL):
        bench.workers[client]("write", bench.fresh(), bench.sizes.rows)
    for ms in (0, 100):
        bench.go(ms)
        measures.measure_reads(bench)
    bench.go(0)
    measures.measure_memory(bench)


def table(lines: list[Line]) -> str:
    """In Markdown; the two latencies of one thing stand together."""
    head = ("", "latency", "Django over `d1`", "the raw API by hand", "sqlalchemy-cloudflare-d1", "Django over SQLite")
    order = list(dict.fromkeys(line.what for line in lines))
    rows = sorted(lines, key=lambda line: order.index(line.what))
    cells = [(*head, "target"), ("---",) * 7, *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in cells)


def machine(load: float) -> str:
    """What it was measured on. With a load above the number of cores, times say little."""
    after = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, load {load:.1f} before and {after:.1f} after, Python {platform.python_version()}.\n"
    )


def write(text: str) -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END)[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--small", action="store_true", help="a tenth of everything: to see that it runs")
    options = parser.parse_args()
    if reason := missing_reason():
        print(f"missing: {reason}", file=sys.stderr)
        return 1
    load = os.getloadavg()[0]
    with opened(SMALL if options.small else Sizes()) as bench:
        measure(bench)
    text = f"{table(bench.lines)}\n{machine(load)}"
    print(text)
    if options.write:
        write(text)
    for miss in bench.missed:
        print(f"Missed: {miss}", file=sys.stderr)
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
