"""How fast webhooks are answered and worked off. `make bench-webhooks`.

Stripe's stand-in serves in a process of its own; the console serves as the demo does, in another, with SQLite files.
Measured: deliveries at a steady rate, with the time of each answer; then how long the same events take until their
effect is in the database.
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
import threading
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import urllib3

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
import sys, django
django.setup()
from console import demo_server
from console.worker import embed
with demo_server.listening(0) as server:
    print(server.server_port, flush=True)
    if sys.argv[1] == "worker":
        embed()
    demo_server.serve(server)
"""
# The rate at which Stripe may be asked is left out, for its limit is not what is measured.
WORK = """
import django
django.setup()
from django.core.management import call_command
from billing import stripe_api
stripe_api._RATES = {True: 1e9, False: 1e9}
call_command("process_webhooks", "--json")
"""


def environment(folder: Path, stripe: StripeProcess) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if name not in NAMES}
    return {
        **bare,
        "DJANGO_SETTINGS_MODULE": "omniops.settings",
        "CONSOLE_DATABASE_URL": f"sqlite:///{folder}/console.sqlite3",
        "OMNICHAT_DATABASE_URL": f"sqlite:///{folder}/omnichat.sqlite3",
        "STRIPE_SECRET_KEY": stripe.key,
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_WEBHOOK_SECRET": stripe.secret,
    }


@contextmanager
def console(env: dict[str, str], mode: str) -> Iterator[str]:
    command = [sys.executable, "-c", SERVE, mode]
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


def people(stripe: StripeProcess, count: int) -> list[tuple[str, str]]:
    """Each buys a pack and subscribes: some twelve events, of which six hint at something."""
    users = [(f"user_{number:05}", f"user{number}@example.com") for number in range(count)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda user: person(stripe, *user), users))
    return users


def person(stripe: StripeProcess, user: str, email: str) -> None:
    customer = stripe.customer(email=email, name=user, user_id=user)
    stripe.subscribe(customer=customer["id"], price="starter")
    stripe.buy_pack(customer=customer["id"], cents=999, units=5000)


def deliver(url: str, deliveries: list[tuple[bytes, dict[str, str]]], rate: float) -> list[float]:
    """Milliseconds of each answer, at `rate` a second."""
    pool = urllib3.PoolManager(maxsize=32, block=False)
    began, times, lock = time.perf_counter(), [], threading.Lock()

    def one(number: int) -> None:
        body, headers = deliveries[number]
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        asked = time.perf_counter()
        answer = pool.request("POST", f"{url}/webhooks/stripe/", body=body, headers=headers)
        with lock:
            times.append((time.perf_counter() - asked) * 1000)
        assert answer.status == 200, answer.data

    with ThreadPoolExecutor(24) as threads:
        list(threads.map(one, range(len(deliveries))))
    return times


def effects(folder: Path) -> int:
    connection = sqlite3.connect(folder / "omnichat.sqlite3")
    try:
        return int(connection.execute("SELECT count(*) FROM battery_transactions").fetchone()[0])
    finally:
        connection.close()


def waiting(folder: Path) -> int:
    connection = sqlite3.connect(folder / "console.sqlite3", timeout=30)
    try:
        sql = "SELECT count(*) FROM console_inboxevent WHERE state = 'received'"
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


def measure(people_count: int, rate: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name, StripeProcess() as stripe:
        folder = Path(name)
        env = environment(folder, stripe)
        users = people(stripe, people_count)
        prices = [(plan, stripe.prices[plan, "month"], stripe.prices[plan, "year"]) for plan in ("starter", "power")]
        subprocess.run(
            [sys.executable, "-c", PREPARE], cwd=ROOT, env=env, input=json.dumps([prices, users]), text=True,
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        events = stripe.events
        with console(env, "alone") as url:
            signed = [stripe.signed(event) for event in events]
            deliver(url, signed[:1], rate)  # The first one imports what verifies.
            sent = time.perf_counter()
            answered = sorted(deliver(url, signed[1:], rate))
            delivering = time.perf_counter() - sent
        hinting = waiting(folder)
        began = time.perf_counter()
        calls = sum(stripe.calls.values())
        told = subprocess.run(
            [sys.executable, "-c", WORK], cwd=ROOT, env=env, text=True, check=True,
            capture_output=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        assert effects(folder) == 2 * people_count, told.stdout
        return {
            "events": len(events),
            "answers_ms": {
                "median": round(statistics.median(answered), 1),
                "p99": round(answered[int(len(answered) * 0.99)], 1),
                "worst": round(answered[-1], 1),
            },
            "hinting": hinting,
            "worked_off_a_second": round(hinting / seconds, 1),
            "all_events_a_second": round(len(events) / seconds, 1),
            "delivered_and_worked_off_a_second": round(len(events) / (seconds + delivering), 1),
            "stripe_calls_an_event": round((sum(stripe.calls.values()) - calls) / hinting, 2),
        }


def rival(people_count: int) -> dict[str, object] | None:
    """dj-stripe, in its own process and without a server, over the same events; None where it cannot be installed."""
    python = rival_python()
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder, StripeProcess() as stripe:
        people(stripe, people_count)
        env = {
            **os.environ, "PYTHONPATH": str(RIVAL_CODE), "DJANGO_SETTINGS_MODULE": "webhooks_rival_settings",
            "RIVAL_DATABASE": f"{folder}/rival.sqlite3", "STRIPE_API_BASE": stripe.url, "RIVAL_KEY": stripe.key,
        }  # fmt: skip
        signed = [stripe.signed(event) for event in stripe.events]
        given = {
            "key": stripe.key, "secret": stripe.secret, "version": LATEST,
            "deliveries": [[body.decode(), headers] for body, headers in signed],
        }  # fmt: skip
        stripe.reset_calls()
        told = subprocess.run(
            [python, str(RIVAL_CODE / "deliver.py")], env=env, input=json.dumps(given), text=True, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        found = json.loads(told.stdout)
        return {
            "events": len(signed), **found, "events_a_second": round(found["events"] / found["seconds"], 1),
            "stripe_calls": stripe.calls.total(),
        }  # fmt: skip


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
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="deliveries a second")
    options = parser.parse_args()
    print(json.dumps({
        "load before": os.getloadavg()[0],
        "console": measure(options.people, options.rate),
        "dj-stripe 2.11": rival(options.people),
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
