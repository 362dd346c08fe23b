"""What is measured, and what it is to be. Each function adds lines to the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import NamedTuple

from bench.d1_rivals.clients import Worker
from standins.d1 import Engine

EMPTY = "DELETE FROM battery_transactions"
#: Django over d1; Django over a file of SQLite; the raw API; the driver.
OURS, LOCAL, HAND, RIVAL = "d1", "sqlite", "by hand", "driver"


class Line(NamedTuple):
    """A row of the table. `local` is Django over SQLite: what of `ours` is Django's own."""

    what: str
    latency: str
    ours: str
    hand: str
    rival: str
    local: str
    target: str


@dataclass(frozen=True)
class Sizes:
    rows: int = 100_000
    changed: int = 10_000
    # A request a row: enough for a rate.
    single: int = 600
    single_far: int = 20
    calls: int = 400
    calls_far: int = 100
    messages: int = 10_000


@dataclass
class Bench:
    """Where things are, and what was found. `ms` is the latency added to each request."""

    engine: Engine
    workers: dict[str, Worker]
    spawn: Callable[[str], Worker]
    sizes: Sizes
    ms: int = 0
    lines: list[Line] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    count: int = 0

    def fresh(self) -> str:
        """A prefix of keys that was not used before."""
        self.count += 1
        return f"{self.count:06}"

    def line(self, what: str, told: dict[str, str], target: str = "", met: bool = True) -> None:
        """Add a row to the table; `told` has a text for each client that was measured."""
        if not met:
            self.missed.append(f"{what}, {self.ms} ms: {told[OURS]}; the target is {target}")
        if target:
            target += ": met" if met else ": **missed**"
        texts = [told.get(client, "") for client in (OURS, HAND, RIVAL, LOCAL)]
        self.lines.append(Line(what, f"{self.ms} ms", *texts, target))
        print(" | ".join(self.lines[-1]), file=sys.stderr)

    def go(self, ms: int) -> None:
        """From now on add so much latency."""
        self.ms = ms
        self.engine.clear_faults()
        if ms:
            self.engine.fault("latency", ms=ms)

    @contextmanager
    def near(self) -> Iterator[None]:
        """Without the added latency, for what prepares a measurement."""
        self.engine.clear_faults()
        yield
        self.go(self.ms)

    def empty(self) -> None:
        with self.near():
            self.engine.execute(EMPTY)
            self.workers[LOCAL]("empty")

    def clients(self, *names: str) -> list[str]:
        """Those to measure: no latency is added to SQLite."""
        return [name for name in names if name != LOCAL or not self.ms]

    def counted(self, client: str, method: str, *arguments: object) -> tuple[float, int]:
        """Seconds, and requests."""
        before = self.engine.counts()["requests"]
        seconds = self.workers[client](method, *arguments)
        return seconds, self.engine.counts()["requests"] - before


class Call(NamedTuple):
    """The median of a call in seconds, and of the CPU time that the client itself took."""

    seconds: float
    cpu: float

    def __str__(self) -> str:
        return f"{milliseconds(self.seconds)}, CPU {self.cpu * 1000:.2f}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds * 1000:,.1f} ms"


# One call.


def measure_calls(bench: Bench) -> None:
    """What one call costs more than by hand."""
    with bench.near():
        keys = [f"{bench.fresh()}_one" for _ in range(bench.sizes.calls_far if bench.ms else bench.sizes.calls)]
        for key in keys:
            bench.workers[HAND]("insert", key)
            bench.workers[LOCAL]("insert", key)
    for what, method in (("one row read", "select"), ("one row inserted", "insert")):
        calls = [(HAND, method), (OURS, f"cursor_{method}"), (OURS, method), (RIVAL, method)]
        local = bench.clients(LOCAL)
        hand, cursor, orm, rival, *rest = _turns(bench, calls + [(LOCAL, method) for _ in local], keys)
        told = {HAND: str(hand), RIVAL: str(rival)}
        _line_of_call(bench, f"{what}, cursor", cursor, hand, told)
        _line_of_call(bench, f"{what}, ORM", orm, hand, told | dict(zip(local, map(str, rest), strict=True)))
    clients = bench.clients(OURS, HAND, RIVAL, LOCAL)
    saves = _turns(bench, [(client, "save") for client in clients], keys)
    bench.line("`save()` of one row", dict(zip(clients, map(str, saves), strict=True)))


def _line_of_call(bench: Bench, what: str, ours: Call, hand: Call, told: dict[str, str]) -> None:
    """Less than 1 ms and 15% over the same call by hand.

    Building the query is Django's own work, the same over any backend, and by itself more than 15% of a request
    that travels nowhere: without latency 15% is asked of the cursor alone.
    """
    more = ours.seconds - hand.seconds
    of_backend = "ORM" not in what or bench.ms > 0
    met = more < 0.001 and (more < 0.15 * hand.seconds or not of_backend)
    text = f"{ours} ({more * 1000:+.2f} ms, {more / hand.seconds:+.0%})"
    bench.line(what, told | {OURS: text}, "+1 ms, +15%" if of_backend else "+1 ms", met)


def _turns(bench: Bench, calls: list[tuple[str, str]], keys: list[str]) -> list[Call]:
    """The median of each. They take turns, so that all meet the same machine.

    Each turn has another order: who comes after SQLite meets an engine that was idle, and is slower for it.
    """
    times: list[list[Call]] = [[] for _ in calls]
    order = Random(0)
    for key in keys:
        for place in order.sample(range(len(calls)), len(calls)):
            client, method = calls[place]
            name = f"{bench.fresh()}_new" if "insert" in method else key
            worker = bench.workers[client]
            times[place].append(Call(worker(method, name), worker.cpu))
    # The first calls open connections and fill caches.
    kept = [some[len(some) // 10 :] for some in times]
    return [Call(median(call.seconds for call in some), median(call.cpu for call in some)) for some in kept]


# Many rows.


def measure_bulk(bench: Bench) -> None:
    sizes = bench.sizes
    few = sizes.single_far if bench.ms else sizes.single
    rates = {}
    plan = [(client, "write", sizes.rows) for client in bench.clients(OURS, HAND, LOCAL)]
    for client, method, count in [*plan, (RIVAL, "write", few), (RIVAL, "write_wide", few * 12)]:
        bench.empty()
        rates[client, method] = Rate(count, *bench.counted(client, method, bench.fresh(), count))
    told = {client: str(rate) for (client, method), rate in rates.items() if method == "write"}
    told[RIVAL] += f"; with 12 rows of VALUES {rates[RIVAL, 'write_wide']}"
    ours = rates[OURS, "write"]
    met = ours.rows_a_second >= 15_000 and ours.rows_a_request >= 100
    bench.line(f"`bulk_create()` of {sizes.rows:,} rows", told, "15,000 rows/s, 100 rows a request", met)
    _measure_bulk_update(bench, few)


def _measure_bulk_update(bench: Bench, few: int) -> None:
    count, prefix = bench.sizes.changed, bench.fresh()
    bench.empty()
    with bench.near():
        for client in (HAND, LOCAL):
            bench.workers[client]("write", prefix, count)
    rates = {}
    for client in bench.clients(OURS, HAND, LOCAL, RIVAL):
        many = few if client == RIVAL else count
        rates[client] = Rate(many, *bench.counted(client, "change", prefix, many))
    told = {client: str(rate) for client, rate in rates.items()}
    met = rates[OURS].rows_a_request >= 100
    bench.line(f"`bulk_update()` of {count:,} rows, 2 columns", told, "100 rows a request", met)


@dataclass(frozen=True)
class Rate:
    rows: int
    seconds: float
    requests: int

    @property
    def rows_a_second(self) -> float:
        return self.rows / self.seconds

    @property
    def rows_a_request(self) -> float:
        return self.rows / max(self.requests, 1)

    def __str__(self) -> str:
        requests = f", requests: {self.requests:,}" if self.requests else ""
        return f"{self.rows_a_second:,.0f} rows/s{requests}"


def measure_reads(bench: Bench) -> None:
    count = bench.sizes.rows
    for method, name in (("read", ".iterator()"), ("read_tuples", ".values_list().iterator()")):
        rates = {}
        for client in bench.clients(OURS, HAND, RIVAL, LOCAL):
            of_client = method if client in (OURS, LOCAL) else "read"
            rates[client] = Rate(count, *bench.counted(client, of_client, count))
        told = {client: str(rate) for client, rate in rates.items()}
        met = rates[OURS].rows_a_second >= 35_000
        bench.line(f"`{name}` over {count:,} rows", told, "35,000 rows/s", met)


def measure_memory(bench: Bench) -> None:
    """The peak of a new process that reads the rows. Four times as many may cost a tenth more, and 8 MiB."""
    rows = bench.sizes.rows
    peaks: dict[str, list[int]] = {}
    for client in (OURS, HAND, RIVAL):
        for count in (0, rows, 4 * rows):
            with bench.spawn(client) as worker:
                worker("read", count)
                peaks.setdefault(client, []).append(worker("peak_bytes") >> 20)
    told = {client: ", ".join(f"{peak:,}" for peak in some) + " MiB" for client, some in peaks.items()}
    _, some, many = peaks[OURS]
    bench.line(f"peak memory, reading 0, {rows:,} and {4 * rows:,} rows", told, "bounded", many <= 1.1 * some + 8)


# What staff do.


def measure_page(bench: Bench) -> None:
    """The list of messages; by hand and by the driver only the statements that it sends."""
    bench.workers[OURS]("page")
    statements = bench.workers[OURS]("page_statements")
    clients = bench.clients(OURS, HAND, RIVAL, LOCAL)
    times: dict[str, list[float]] = {client: [] for client in clients}
    requests = 0
    for _ in range(5 if bench.ms else 20):
        for client in clients:
            method = ["page"] if client in (OURS, LOCAL) else ["run", statements]
            seconds, sent = bench.counted(client, *method)
            times[client].append(seconds)
            requests = max(requests, sent if client == OURS else 0)
    told = {client: milliseconds(median(some)) for client, some in times.items()}
    told[OURS] += f", requests: {requests}"
    for client in (HAND, RIVAL):
        told[client] += f" for its {len(statements)} statements alone"
    bench.line(f"the admin's list of {bench.sizes.messages:,} messages", told, "3 requests", requests <= 3)


def measure_block(bench: Bench) -> None:
    told = {}
    for client in bench.clients(OURS, HAND, RIVAL, LOCAL):
        times = []
        for _ in range(3 if bench.ms else 15):
            prefix = bench.fresh()
            with bench.near():
                bench.workers[LOCAL if client == LOCAL else HAND]("write", prefix, 10)
            seconds, requests = bench.counted(client, "block", prefix)
            times.append(seconds)
        told[client] = milliseconds(median(times)) + (f", requests: {requests}" if requests else "")
    told[RIVAL] += ", no transaction"
    bench.line("`atomic()`: 1 read, 20 writes", told)
