"""The resync against the stand-in of Stripe over real HTTP, beside dj-stripe: `make bench-resync`.

Prints one table and exits 1 when a goal is missed. `--write` puts it into docs/performance-resync.md too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import urllib3

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, in which this file would hide the room of the same name.
sys.path[0] = str(ROOT)

from bench import resync_rival  # noqa: E402
from omniops.variables import NAMES  # noqa: E402
from standins.stripe.remote import StripeProcess  # noqa: E402

PAGE = ROOT / "docs" / "performance-resync.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
# The rate is that of a live key: the stand-in has test keys alone, at which Stripe allows a quarter.
CHILD = """
import io, json, resource, sys, time, django
django.setup()
from django.core.management import call_command
from billing import stripe_api
stripe_api._RATES = {True: 80.0, False: 80.0}
out, code = io.StringIO(), 0
began = time.perf_counter()
try:
    call_command("resync_stripe", "--json", "--no-input", *sys.argv[1:], stdout=out, skip_checks=True)
except SystemExit as end:
    code = end.code
seconds = time.perf_counter() - began
found = json.loads(out.getvalue())
found["differences"] = len(found["differences"])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"seconds": seconds, "peak": peak, "code": code, **found}))
"""


class Line(NamedTuple):
    what: str
    who: str
    seconds: str
    calls: str
    more: str
    goal: str
    met: bool | None


class Console:
    """OmniChat's and the console's databases in a folder, which agree with the stand-in once they are filled."""

    def __init__(self, folder: Path, stripe: StripeProcess) -> None:
        self.stripe, self.file = stripe, folder / "omnichat.sqlite3"
        bare = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in NAMES}
        self.environment = {
            **bare,
            "DJANGO_SETTINGS_MODULE": "omniops.settings",
            "OMNICHAT_DATABASE_URL": f"sqlite:///{self.file}",
            "CONSOLE_DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
            "STRIPE_SECRET_KEY": stripe.key,
            "STRIPE_API_BASE": stripe.url,
        }
        self.run([sys.executable, "manage.py", "setup_database", "--json"])

    def run(self, words: list[str]) -> str:
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout

    def resync(self, *words: str) -> tuple[dict[str, Any], int]:
        """What the command told, and the calls as the stand-in counted them."""
        self.stripe.reset_calls()
        told = json.loads(self.run([sys.executable, "-c", CHILD, *words]))
        return told, self.stripe.calls.total()

    def fill(self) -> None:
        plans = {id: plan for (plan, _), id in self.stripe.prices.items()}
        with sqlite3.connect(self.file) as db:
            for (plan, interval), id in self.stripe.prices.items():
                column = f"stripe_price_id_{'monthly' if interval == 'month' else 'annual'}"
                db.execute(f"UPDATE subscription_plans SET {column} = ? WHERE id = ?", [id, plan])
            for page in listed(self.stripe, "customers"):
                users = [(c["metadata"]["userId"], c["email"], c["id"]) for c in page]
                sql = "INSERT INTO users (id, email, stripeCustomerId, subscriptionStatus, tier) VALUES (?, ?, ?, "
                db.executemany(sql + "'inactive', 'free')", users)
            for page in listed(self.stripe, "subscriptions"):
                db.executemany(
                    "INSERT INTO user_subscriptions (id, user_id, plan_id, stripe_customer_id, stripe_subscription_id, "
                    "status, created_at, current_period_start, current_period_end) "
                    "VALUES (?, ?, ?, ?, ?, 'active', ?, ?, ?)",
                    [subscription_row(each, plans) for each in page],
                )
            self.credit(db)
        db.close()

    def credit(self, db: sqlite3.Connection) -> None:
        """Each period of a subscription has its entry, the newest that of its invoice, and the battery their sum."""
        db.executescript(
            """
            UPDATE users SET tier = 'paid', subscriptionStatus = 'active', subscriptionId = s.stripe_subscription_id
            FROM user_subscriptions s WHERE s.user_id = users.id;
            CREATE TEMP TABLE periods AS WITH RECURSIVE back (user_id, number, of, at, units, daily, begun) AS (
              SELECT user_id, substr(stripe_subscription_id, 5), 0, current_period_start, battery_units, daily_battery,
                s.created_at FROM user_subscriptions s JOIN subscription_plans p ON p.id = s.plan_id
              UNION ALL
              SELECT user_id, number, of + 1, strftime('%Y-%m-%dT%H:%M:%S.000Z', at, '-30 days'), units, daily, begun
              FROM back WHERE strftime('%Y-%m-%dT%H:%M:%S.000Z', at, '-30 days') >= begun
            ) SELECT *, count(*) OVER (PARTITION BY user_id ORDER BY at) AS nth FROM back ORDER BY at;
            INSERT INTO battery_transactions
              (id, user_id, type, amount, balance_after, stripe_payment_intent_id, metadata, created_at)
            SELECT 'invoice:in_' || number || iif(of, '_' || of, ''), user_id, 'subscription', units, units * nth,
              'pi_' || number || iif(of, '_' || of, ''), '{"post":"bench"}', at FROM periods;
            INSERT INTO user_battery (user_id, total_balance, daily_allowance)
            SELECT user_id, sum(units), daily FROM periods GROUP BY user_id;
            ANALYZE;
            """
        )

    def damage(self, part: int) -> int:
        """Make one user in `part` differ: a tier, a status, a plan, a credit in turn."""
        with sqlite3.connect(self.file) as db:
            users = [id for (id,) in db.execute("SELECT user_id FROM user_subscriptions ORDER BY user_id")]
            total = db.execute("SELECT count(*) FROM users").fetchone()[0]
            chosen = users[:: max(1, len(users) * part // total)][: total // part]
            for turn, sql in enumerate((
                "UPDATE users SET tier = 'free' WHERE id = ?",
                "UPDATE user_subscriptions SET status = 'canceled' WHERE user_id = ?",
                "UPDATE user_subscriptions SET current_period_end = '2020-01-01T00:00:00.000Z' WHERE user_id = ?",
                "DELETE FROM battery_transactions WHERE id = (SELECT 'invoice:in_' || "
                "substr(stripe_subscription_id, 5) FROM user_subscriptions WHERE user_id = ?)",
                "UPDATE user_battery SET total_balance = (SELECT coalesce(sum(amount), 0) FROM battery_transactions t "
                "WHERE t.user_id = user_battery.user_id) WHERE user_id = ?",
            )):  # fmt: skip
                db.executemany(sql, [(user,) for user in chosen[min(turn, 3) :: 4]])
        db.close()
        return len(chosen)

    def forget_changes(self) -> None:
        with sqlite3.connect(self.file) as db:
            db.execute("UPDATE users SET updatedAt = '2020-01-01T00:00:00.000Z'")
            db.execute("UPDATE user_subscriptions SET updated_at = '2020-01-01T00:00:00.000Z'")
        db.close()


def subscription_row(sub: dict[str, Any], plans: dict[str, str]) -> tuple[Any, ...]:
    item = sub["items"]["data"][0]
    moments = [
        time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
        for at in (sub["created"], item["current_period_start"], item["current_period_end"])
    ]
    plan = plans[item["price"]["id"]]
    return f"s-{sub['id']}", sub["metadata"]["userId"], plan, sub["customer"], sub["id"], *moments


def listed(stripe: StripeProcess, resource: str) -> Iterator[list[dict[str, Any]]]:
    http, after = urllib3.PoolManager(), ""
    headers = {"Authorization": f"Bearer {stripe.key}"}
    while True:
        url = f"{stripe.url}/v1/{resource}?limit=100{after}"
        page = orjson.loads(http.request("GET", url, headers=headers).data)
        yield page["data"]
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


def measure(customers: int, large: int, rival: int) -> Iterator[Line]:
    with planted(customers) as console:
        yield agreeing(console, customers, "half of them subscribed")
        for ms, goal in ((0, 10), (150, 20)):
            yield repairing(console, customers, ms, goal)
        console.forget_changes()
        told, calls = console.resync("--since", "12h")
        yield Line("--since 12h, nothing changed", "resync_stripe", f"{told['seconds']:.1f}", f"{calls:,}", "",
                   "20 calls", calls <= 20 and not told["differences"])  # fmt: skip
        if rival == customers:
            yield from beside(console.stripe, rival)
    if rival not in (0, customers):
        with planted(rival) as console:
            yield from beside(console.stripe, rival)
    with planted(customers, subscribed=1.0, days=730, by_checkout=True) as console:
        yield agreeing(console, customers, "all paying by the month, come by Checkout within two years")
        yield repairing(console, customers, 0, 10)
    with planted(customers, subscribed=1.0, by_checkout=True) as console:
        line = agreeing(console, customers, "the same, all come within 27 days")
        yield line._replace(goal="", met=None)
    with planted(large, with_invoices=False) as console:
        told, calls = console.resync("--dry-run")
        more = f"peak {told['peak']} MiB, {told['differences']} differences"
        what = f"resync of {large:,} customers, half of them subscribed"
        yield Line(what, "resync_stripe", f"{told['seconds']:.1f}", f"{calls:,}", more, "200 MB", told["peak"] < 190)


@contextmanager
def planted(customers: int, *, subscribed: float = 0.5, with_invoices: bool = True, **of: Any) -> Iterator[Console]:
    with tempfile.TemporaryDirectory() as folder, StripeProcess("--latency", "0") as stripe:
        stripe.bulk(count=customers, subscribed=subscribed, with_invoices=with_invoices, **({"days": 27} | of))
        console = Console(Path(folder), stripe)
        console.fill()
        yield console


def beside(stripe: StripeProcess, customers: int) -> Iterator[Line]:
    """dj-stripe's sync of the same; then of what it has for each customer besides, and the resync needs not."""
    for models, of in ((resync_rival.MODELS, "what a resync reads"), (("PaymentMethod",), "cards, besides")):
        told, calls = resync_rival.sync(stripe, *models) or ({}, 0)
        if not told:
            return
        assert not told["errors"], told
        rows = f"{sum(told['rows'].values()):,} rows, {told['cpu']:.0f} s of CPU, peak {told['peak']} MiB"
        what = f"copy of {customers:,} customers: {of}"
        yield Line(what, "dj-stripe 2.11", f"{told['seconds']:.0f}", f"{calls:,}", rows, "", None)


def agreeing(console: Console, customers: int, base: str) -> Line:
    told, calls = console.resync("--dry-run")
    assert told["differences"] == 0, told
    what = f"resync of {customers:,} customers, {base}, nothing differs"
    most = most_calls(customers)
    return Line(what, "resync_stripe", f"{told['seconds']:.1f}", f"{calls:,}", "", f"{most:,} calls", calls <= most)


def most_calls(customers: int) -> int:
    return max(250, customers // 40)


def repairing(console: Console, customers: int, ms: int, goal: int) -> Line:
    damaged = console.damage(100)
    console.stripe.settings(latency=ms / 1000)
    told, calls = console.resync()
    console.stripe.settings(latency=0)
    assert not told["left"], told
    assert told["applied"] >= damaged, told
    what = f"the same, 1% differs, {ms} ms a call" if ms else "the same, 1% differs"
    more = f"{told['applied']} mended, peak {told['peak']} MiB"
    most = most_calls(customers)
    return Line(
        what, "resync_stripe", f"{told['seconds']:.1f}", f"{calls:,}", more, f"{goal} s, {most:,} calls",
        told["seconds"] < goal and calls <= most,
    )  # fmt: skip


def table(lines: list[Line]) -> str:
    rows = [("", "", "s", "calls", "", "goal"), ("---",) * 6]
    for line in lines:
        verdict = "" if line.met is None else ": met" if line.met else ": MISSED"
        rows.append((line.what, line.who, line.seconds, line.calls, line.more, f"{line.goal}{verdict}"))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--rival", type=int, default=10_000, metavar="N", help="customers of dj-stripe's; 0: none")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    lines = []
    for line in measure(options.customers, options.large, options.rival):
        print(*line[:5], sep=", ", file=sys.stderr, flush=True)
        lines.append(line)
    text = table(lines) + (
        f"\n{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.\n"
    )
    print(text)
    if options.write:
        page = PAGE.read_text()
        PAGE.write_text(page[: page.index(BEGIN) + len(BEGIN)] + text + page[page.index(END) :])
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
