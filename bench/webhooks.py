"""How fast webhooks are answered and worked off, beside dj-stripe. `make bench-webhooks`.

Stripe's stand-in serves in a process of its own. The console and dj-stripe each serve by the server of the demo in
another, and get the same events over HTTP from the same client. The clock runs until each effect is in the database.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from bench.webhooks_client import Delivered, deliver
from omniops.variables import NAMES
from standins.stripe import LATEST
from standins.stripe.remote import StripeProcess

ROOT = Path(__file__).resolve().parent.parent
RIVAL = ROOT / "var" / "bench-webhooks" / "venv"
RIVAL_CODE = ROOT / "bench" / "webhooks_rival"
# The plans' prices are put into the database beside the users, as Billing would enter them.
PREPARE = """
import json, sys, django
django.setup()
from django.core.management import call_command
from django.db import connections
call_command("setup_database", "--json")
prices, users = json.load(sys.stdin)
with connections["omnichat"].cursor() as cursor:
    for plan, monthly, annual in prices:
        cursor.execute(
            "UPDATE subscription_plans SET stripe_price_id_monthly=%s, stripe_price_id_annual=%s WHERE id=%s",
            [monthly, annual, plan],
        )
    cursor.executemany("INSERT INTO users (id, email, tier) VALUES (%s, %s, 'free')", users)
"""
SERVE = """
import django
django.setup()
from console import demo_server
with demo_server.listening(0) as server:
    print(f"http://127.0.0.1:{server.server_port}/webhooks/stripe/", flush=True)
    demo_server.serve(server)
"""
# The rate at which Stripe may be asked is left out, for its limit is not what is measured.
WORK = """
import django
django.setup()
from django.core.management import call_command
from billing import stripe_api
stripe_api._RATES = {True: 1e9, False: 1e9}
print("ready", flush=True)
call_command("run_worker", "--json")
"""


def environment(folder: Path, stripe: StripeProcess, database: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if name not in NAMES}
    return {
        **bare,
        "DJANGO_SETTINGS_MODULE": "omniops.settings",
        "CONSOLE_DATABASE_URL": database,
        "OMNICHAT_DATABASE_URL": f"sqlite:///{folder}/omnichat.sqlite3",
        "STRIPE_SECRET_KEY": stripe.key,
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_WEBHOOK_SECRET": stripe.secret,
    }


@contextmanager
def database(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The URL of an empty database: a SQLite file, or one made on the server of PostgreSQL that was named."""
    if not options.postgresql:
        yield f"sqlite:///{folder}/database.sqlite3"
        return
    name = f"bench_{uuid4().hex}"
    with psycopg.connect(options.postgresql, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        try:
            yield urlsplit(options.postgresql)._replace(path=f"/{name}").geturl()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@contextmanager
def process(command: list[str], env: dict[str, str], name: str) -> Iterator[tuple[str, int]]:
    """What it prints first, which tells that it is ready, and its id."""
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        try:
            told = started.stdout.readline().strip()
            assert told, f"{name} did not start"
            yield told, started.pid
        finally:
            started.terminate()


def people(stripe: StripeProcess, count: int) -> list[tuple[str, str]]:
    """Each subscribes and buys a pack: some 19 events, of which 10 hint at something."""
    users = [(f"user_{number:05}", f"user{number}@example.com") for number in range(count)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda user: person(stripe, *user), users))
    return users


def person(stripe: StripeProcess, user: str, email: str) -> None:
    customer = stripe.customer(email=email, name=user, user_id=user)
    stripe.subscribe(customer=customer["id"], price="starter")
    stripe.buy_pack(customer=customer["id"], cents=999, units=5000)


def processor(pid: int) -> float:
    """Seconds of a processor that a process has had."""
    cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_effects(url: str, folder: Path, expected: int) -> None:
    """Until nothing waits in the inbox and each effect is in OmniChat's database."""
    waits = "SELECT count(*) FROM console_inboxevent WHERE state IN ('received', 'failed')"
    effects = "SELECT count(*) FROM battery_transactions"
    until = time.monotonic() + 600
    file = url.removeprefix("sqlite:///")
    connection: Any = psycopg.connect(url, autocommit=True) if file == url else sqlite3.connect(file, timeout=30)
    with closing(connection) as inbox, closing(sqlite3.connect(folder / "omnichat.sqlite3", timeout=30)) as omnichat:
        while inbox.execute(waits).fetchone() != (0,) or omnichat.execute(effects).fetchone() != (expected,):
            assert time.monotonic() < until, "Events were not worked off."
            time.sleep(0.02)


def console(options: argparse.Namespace) -> dict[str, object]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stripe = stack.enter_context(StripeProcess("--latency", str(options.latency)))
        inbox = stack.enter_context(database(options, folder))
        env = environment(folder, stripe, inbox)
        users = people(stripe, options.people)
        prices = [(plan, stripe.prices[plan, "month"], stripe.prices[plan, "year"]) for plan in ("starter", "power")]
        subprocess.run(
            [sys.executable, "-c", PREPARE], cwd=ROOT, env=env, input=json.dumps([prices, users]), text=True,
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        url, server = stack.enter_context(process([sys.executable, "-c", SERVE], env, "The console"))
        _, worker = stack.enter_context(process([sys.executable, "-c", WORK], env, "The worker"))
        return measured(
            stripe, [url], {"server": server, "worker": worker}, options.connections, options.rate,
            lambda: wait_for_effects(inbox, folder, 2 * options.people),
        )  # fmt: skip


def measured(
    stripe: StripeProcess, urls: list[str], pids: dict[str, int], connections: int, rate: float | None,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, object]:  # fmt: skip
    """Deliver all events of the stand-in, and wait for their effects."""
    deliveries = [stripe.signed(event) for event in stripe.events]
    first, rest = deliveries[: len(urls)], deliveries[len(urls) :]
    deliver(urls, first, len(urls))  # The first to each imports what verifies.
    pids = {**pids, "stand-in of Stripe": stripe.pid, "client": os.getpid()}
    stripe.reset_calls()
    before = {name: processor(pid) for name, pid in pids.items()}
    began = time.perf_counter()
    done = deliver(urls, rest, connections, rate)
    delivered = time.perf_counter() - began
    wait()
    seconds = time.perf_counter() - began
    used = {name: round((processor(pid) - before[name]) / len(rest) * 1000, 2) for name, pid in pids.items()}
    return {
        "events": len(rest),
        "connections": connections,
        "delivered_a_second": round(len(rest) / delivered, 1),
        "in_effect_a_second": round(len(rest) / seconds, 1),
        "answers_ms": answers(done),
        "refused_and_repeated": done.refused,
        "stripe_calls": stripe.calls.total(),
        "processor_ms_an_event": used,
    }


def answers(done: Delivered) -> dict[str, float]:
    times = sorted(done.times)
    return {
        "median": round(statistics.median(times), 1),
        "p99": round(times[int(len(times) * 0.99)], 1),
        "worst": round(times[-1], 1),
    }


def rival(options: argparse.Namespace) -> dict[str, object] | None:
    """dj-stripe over the same events; None where it cannot be installed."""
    python = rival_python()
    if python is None:
        return None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stripe = stack.enter_context(StripeProcess("--latency", str(options.latency)))
        people(stripe, options.people)
        env = {
            **os.environ, "PYTHONPATH": f"{RIVAL_CODE}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": "webhooks_rival_settings",
            "RIVAL_DATABASE": stack.enter_context(database(options, folder)), "STRIPE_API_BASE": stripe.url,
            "RIVAL_KEY": stripe.key, "RIVAL_SECRET": stripe.secret, "RIVAL_VERSION": LATEST,
        }  # fmt: skip
        servers = {}
        for number in range(options.rival_servers):
            url, pid = stack.enter_context(process([python, str(RIVAL_CODE / "serve.py")], env, "dj-stripe"))
            servers[f"server {number + 1}"] = url, pid
        pids = {name: pid for name, (_, pid) in servers.items()}
        return measured(stripe, [url for url, _ in servers.values()], pids, options.rival_connections, options.rate)


def rival_python() -> str | None:
    """The interpreter that has dj-stripe, installed on first use; None where it cannot be had."""
    python = RIVAL / "bin" / "python"
    if not python.exists():
        venv.create(RIVAL, with_pip=True)
        lock = RIVAL_CODE / "requirements.txt"
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]).returncode:
            shutil.rmtree(RIVAL)
            return None
    return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--rate", type=float, help="deliveries a second; left out, as fast as they are answered")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each call of Stripe takes longer")
    parser.add_argument("--connections", type=int, default=24, help="of the client to the console")
    # With SQLite more are slower: each of its transactions locks the file, and asks Stripe meanwhile.
    parser.add_argument("--rival-connections", type=int, default=1, help="of the client to dj-stripe")
    parser.add_argument("--rival-servers", type=int, default=1, help="processes of dj-stripe")
    parser.add_argument("--postgresql", metavar="URL", help="a server to make databases on, in the place of SQLite")
    parser.add_argument("--only", choices=("console", "dj-stripe"))
    options = parser.parse_args()
    found: dict[str, object] = {"load before": os.getloadavg()[0]}
    if options.only != "dj-stripe":
        found["console"] = console(options)
    if options.only != "console":
        found["dj-stripe 2.11"] = rival(options)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
