"""The Stripe of the demo: the stand-in as a process of its own, with the demo's customers and a few differences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from django.conf import settings
from django.db import connections
from django.utils.translation import gettext, gettext_lazy

from chat.demo import ID_PREFIX
from database.router import OMNICHAT
from database.values import read_instant

MONTH = 30 * 86_400
# What the first of those who pay have at Stripe that differs from OmniChat's rows, so that there is something to find.
DIFFERENCES = ("canceled", "past_due", "other plan", "other email", "trialing")


class StandInFailed(Exception):
    """The stand-in did not start, or refused. The text is a sentence."""


@dataclass(frozen=True)
class DemoStripe:
    """A stand-in that runs. `act` has it do what a person would do at Stripe, and gives the object."""

    url: str
    key: str
    secret: str

    def act(self, name: str, **given: Any) -> Any:
        return act(self.url, name, **given)


def act(url: str, name: str, **given: Any) -> Any:
    """One deed of the stand-in at `url`, over HTTP. Raises StandInFailed."""
    try:
        answer = urllib3.request("POST", f"{url}/_control/{name}", json=given, timeout=20, retries=False)
        found = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError):
        raise StandInFailed("The Stripe stand-in does not answer: start the demo again.") from None
    if answer.status != 200:
        raise StandInFailed(str(found["error"]["message"]))
    return found


@contextmanager
def running() -> Iterator[DemoStripe | None]:
    """The stand-in, and the settings of this process for it, until the block ends; None where a key is set already.

    Raises StandInFailed.
    """
    if settings.STRIPE_SECRET_KEY:
        yield None
        return
    # By its name alone: no room imports a stand-in.
    command = [sys.executable, "-m", "standins.stripe", "serve", "--with-parent"]
    folder = Path(__file__).resolve().parent.parent
    with subprocess.Popen(  # noqa: S603 -- words of ours
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            stripe = _started(process)
            _use(stripe)
            yield stripe
        finally:
            settings.STRIPE_STANDIN = ""
            process.terminate()


def _started(process: subprocess.Popen[str]) -> DemoStripe:
    said: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.removeprefix("export ").strip().partition("=")
        said[name] = value
        if len(said) == 3:
            return DemoStripe(said["STRIPE_API_BASE"], said["STRIPE_SECRET_KEY"], said["STRIPE_WEBHOOK_SECRET"])
    raise StandInFailed("The Stripe stand-in does not start: python -m standins.stripe serve says why.")


def _use(stripe: DemoStripe) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = stripe.key, stripe.url
    settings.STRIPE_WEBHOOK_SECRETS, settings.STRIPE_STANDIN = [stripe.secret], stripe.url


def fill(stripe: DemoStripe, console: str) -> None:
    """Place the plans' prices and the demo's customers, and have events delivered to the console at this address."""
    stripe.act("place", prices=_prices(), customers=list(_customers()))
    stripe.act("settings", deliver_to=f"{console}webhooks/stripe/")


def _prices() -> list[dict[str, Any]]:
    return [
        {"id": id, "plan": plan, "interval": interval, "cents": cents}
        for plan, *prices in _select(
            "SELECT id, stripe_price_id_monthly, price_monthly, stripe_price_id_annual, price_annual "
            "FROM subscription_plans WHERE stripe_price_id_monthly IS NOT NULL AND stripe_price_id_annual IS NOT NULL"
        )
        for interval, id, cents in (("month", *prices[:2]), ("year", *prices[2:]))
    ]


def _customers() -> Iterator[dict[str, Any]]:
    sql = (
        "SELECT u.stripeCustomerId, u.email, u.name, u.id, u.createdAt, s.stripe_subscription_id, "
        "p.stripe_price_id_monthly, p.stripe_price_id_annual, s.status, s.created_at, s.current_period_start, "
        "s.current_period_end, s.cancel_at, s.canceled_at, s.trial_end FROM users u "
        "LEFT JOIN user_subscriptions s ON s.stripe_subscription_id = u.subscriptionId "
        "LEFT JOIN subscription_plans p ON p.id = s.plan_id "
        "WHERE u.stripeCustomerId IS NOT NULL AND u.id >= %s AND u.id < %s ORDER BY u.id"
    )
    differing = list(DIFFERENCES)
    for row in _select(sql, [ID_PREFIX, ID_PREFIX[:-1] + chr(ord(ID_PREFIX[-1]) + 1)]):
        customer = dict(zip(("id", "email", "name", "user_id", "created"), row[:5], strict=True))
        customer["created"] = _seconds(customer["created"])
        customer["subscription"] = _subscription(row[5:]) if row[5] and row[6] else None
        if differing and customer["subscription"] and customer["subscription"]["status"] == "active":
            _differ(customer, differing.pop(0))
        yield customer


def _subscription(row: tuple[Any, ...]) -> dict[str, Any]:
    id, monthly, annual, status, created, start, end, cancel_at, canceled_at, trial_end = row
    begun, ends = _seconds(start) or 0, _seconds(end) or 0
    return {
        "id": id,
        "price": annual if ends - begun > 2 * MONTH else monthly,
        "status": status,
        "created": _seconds(created) or begun,
        "start": begun,
        "end": ends,
        "cancel_at": _seconds(cancel_at),
        "canceled_at": _seconds(canceled_at),
        "trial_end": _seconds(trial_end),
        "ended_at": _seconds(canceled_at) if status == "canceled" else None,
    }


def _differ(customer: dict[str, Any], kind: str) -> None:
    subscription, now = customer["subscription"], int(datetime.now(UTC).timestamp())
    if kind == "other email":
        customer["email"] = f"moved.{customer['email']}"
    elif kind == "other plan":
        subscription["price"] = next(each["id"] for each in _prices() if each["id"] != subscription["price"])
    else:
        subscription["status"] = kind
        if kind == "canceled":
            subscription |= {"canceled_at": now, "ended_at": now}
        if kind == "trialing":
            subscription["trial_end"] = subscription["end"]


def _seconds(stored: Any) -> int | None:
    found = read_instant(stored)
    return int(found.timestamp()) if isinstance(found, datetime) else None


def _select(sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[OMNICHAT].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


#: What the page of the stand-in offers: its name, and in words.
DEEDS = {
    "pack": gettext_lazy("Buy a pack of 5,000 units for $9.99"),
    "subscribe": gettext_lazy("Subscribe to Power for a month"),
    "upgrade": gettext_lazy("Upgrade the subscription to Ultimate"),
    "cancel": gettext_lazy("End the subscription now"),
    "refund": gettext_lazy("Refund the last payment"),
    "dispute": gettext_lazy("Dispute the last payment"),
    "month": gettext_lazy("Let a month go by, for all customers"),
}


def customer_of(term: str) -> str | None:
    """The Stripe customer of a user, by the user's id, email or customer."""
    found = _select(
        "SELECT stripeCustomerId FROM users WHERE (id = %s OR email = %s OR stripeCustomerId = %s) "
        "AND stripeCustomerId IS NOT NULL",
        [term] * 3,
    )
    return str(found[0][0]) if found else None


def somebody() -> str:
    """The email of somebody with a subscription, to begin with."""
    found = _select(
        "SELECT email FROM users WHERE stripeCustomerId IS NOT NULL AND tier = 'paid' ORDER BY id LIMIT 1 OFFSET 7"
    )
    return str(found[0][0]) if found else ""


def do(url: str, deed: str, customer: str) -> None:
    """Have a customer do one of DEEDS at the stand-in, whose events then come by themselves. Raises StandInFailed."""
    if deed == "pack":
        act(url, "buy_pack", customer=customer, cents=999, units=5000)
    elif deed == "subscribe":
        act(url, "subscribe", customer=customer, price="power")
    elif deed == "month":
        act(url, "advance", days=31)
    elif deed in ("refund", "dispute"):
        act(url, deed, payment_intent=_last(url, "payment_intent", customer, ("succeeded",)))
    elif deed == "upgrade":
        act(url, "upgrade", subscription=_last(url, "subscription", customer, _LIVING), price="ultimate")
    else:
        act(url, "cancel", subscription=_last(url, "subscription", customer, _LIVING), at_period_end=False)


_LIVING = ("active", "trialing", "past_due")


def _last(url: str, kind: str, customer: str, statuses: tuple[str, ...]) -> str:
    found = [each for each in act(url, "all", kind=kind) if each["customer"] == customer and each["status"] in statuses]
    if not found:
        raise StandInFailed(
            gettext("This customer has nothing like that at the stand-in: let them buy or subscribe first.")
        )
    return str(found[-1]["id"])
