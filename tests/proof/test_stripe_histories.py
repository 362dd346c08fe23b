"""Random histories at Stripe, whose events come shuffled, doubled and late or never, to handlers that are killed.

All end where Stripe is, and each cause is credited once. A history is its number: the same number is the same history.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connections
from django.utils import timezone

from billing import stripe_api, stripe_events
from billing.ledger import Entry, post
from billing.models import SubscriptionPlan, TransactionType, UserBattery, UserSubscription
from billing.stripe_credits import invoice_units
from billing.stripe_state import STATUSES, Plans
from chat.models import User
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.models import InboxEvent
from database.transactions import Step, run_batch
from standins.stripe import StripeServer
from standins.stripe.errors import StripeError

pytestmark = pytest.mark.django_db
FULL = os.environ.get("HYPOTHESIS_PROFILE") == "proof"
ON_D1 = configured.DATABASES["omnichat"]["ENGINE"] == "d1"
PARTS = 4
HISTORIES = 1000 if FULL else 4 if ON_D1 else 20
UNITS = {"starter": 6_000, "daily": 18_000, "power": 45_000, "ultimate": 150_000}
TABLES = ("audit_logs", "battery_transactions", "user_battery", "user_subscriptions", "users")
Thing = dict[str, Any]


class Killed(BaseException):
    """As if the process ended here."""


class History:
    """What two people do, and the events of it as they reach the console."""

    def __init__(self, number: int, stripe: StripeServer) -> None:
        self.random, self.stripe = random.Random(number), stripe
        self.people = [self._person(name) for name in ("alice", "bob")]
        self.delivered = 0

    def _person(self, name: str) -> Thing:
        User.objects.create(id=f"user_{name}", email=f"{name}@example.com", tier="free")
        return self.stripe.customer(f"{name}@example.com", name.title(), user_id=f"user_{name}")

    def run(self) -> None:
        for deed in [subscribe, buy, *self.random.choices(DEEDS, k=self.random.randint(6, 16))]:
            try:
                deed(self)
            except StripeError:
                continue  # Nothing that could be done now: a dispute that is closed, an invoice that is paid.
            if self.random.random() < 0.4:
                self.deliver()
        self.deliver()

    def any(self, kind: str, **cells: Any) -> Thing:
        found = [each for each in self.stripe.all(kind) if all(each.get(k) == v for k, v in cells.items())]
        if not found:
            raise StripeError("There is nothing of the kind.")
        return self.random.choice(found)

    def deliver(self) -> None:
        """Some of the events so far, shuffled and doubled, the others never; and a worker that may be killed."""
        arrivals = [arrival_of_stripe(self._shaped(each)) for each in self.stripe.events[self.delivered :]]
        self.delivered = len(self.stripe.events)
        arrivals = [each for each in arrivals * 2 if self.random.random() < 0.6]
        self.random.shuffle(arrivals)
        inbox.keep(arrivals)
        self.work()

    def _shaped(self, event: Thing) -> Thing:
        return self.stripe.event(event["id"], version=self.random.choice([None, "2024-06-20"]))

    def work(self) -> None:
        usual = stripe_events.carry_out

        def perhaps(*args: Any, **kwargs: Any) -> Any:
            fate = self.random.random()
            if fate < 0.15:
                raise Killed
            effect = usual(*args, **kwargs)
            if fate > 0.85:
                raise Killed
            return effect

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stripe_events, "carry_out", perhaps)
            try:
                inbox.work_off(self.random.randint(1, 30))
            except Killed:
                InboxEvent.objects.exclude(leased_until=None).update(leased_until=timezone.now())

    def finish(self) -> None:
        inbox.backfill()
        InboxEvent.objects.update(leased_until=None, next_at=None)
        inbox.work_off()
        left = list(InboxEvent.objects.exclude(state__in=("processed", "ignored")).values_list("type", "error"))
        assert left == []


def subscribe(h: History) -> None:
    coupon = h.stripe.coupon(100) if h.random.random() < 0.15 else None
    h.stripe.subscribe(
        h.random.choice(h.people),
        h.random.choice(list(UNITS)),
        trial_days=h.random.choice([0, 0, 0, 7]),
        coupon=coupon,
        interval=h.random.choice(["month", "month", "year"]),
        through_checkout=h.random.random() < 0.7,
    )


def upgrade(h: History) -> None:
    sub = h.any("subscription", status="active")
    h.stripe.upgrade(sub, h.random.choice(list(UNITS)), h.random.choice([None, None, None, "year"]))


def buy(h: History) -> None:
    h.stripe.buy_pack(
        h.random.choice(h.people),
        h.random.randint(100, 5000),
        h.random.randint(100, 20_000),
        in_metadata_of=h.random.choice(["payment_intent", "session", "both"]),
        async_payment=h.random.random() < 0.3,
    )


def refund(h: History) -> None:
    intent = h.any("payment_intent", status="succeeded")
    h.stripe.refund(intent, h.random.choice([None, h.random.randint(1, intent["amount"])]))


def credit_note(h: History) -> None:
    """Of an invoice that is open, paid, or of which nothing is left any longer."""
    invoice = h.any("invoice")
    cents = h.random.randint(1, max(1, invoice["total"]))
    parts = [cents] if invoice["status"] == "open" else _parts(h.random, cents)
    h.stripe.credit_note(invoice, cents, **dict(zip(("refund", "credit", "out_of_band"), parts[1:], strict=False)))


def _parts(dice: random.Random, cents: int) -> list[int]:
    cuts = sorted(dice.choice([0, cents, dice.randint(0, cents)]) for _ in range(2))
    return [cents, cuts[0], cuts[1] - cuts[0], cents - cuts[1]]


def spend(h: History) -> None:
    """So that a refund or dispute may find little or nothing left."""
    for battery in UserBattery.objects.filter(total_balance__gt=0):
        units = h.random.randint(1, battery.total_balance)
        post([Entry(f"usage:{h.random.random()}", battery.user_id, TransactionType.USAGE, -units)], by="app")


DEEDS: list[Callable[[History], Any]] = [
    subscribe,
    subscribe,
    upgrade,
    upgrade,
    buy,
    buy,
    refund,
    refund,
    spend,
    lambda h: h.stripe.settle(h.any("checkout.session", payment_status="unpaid"), succeeded=h.random.random() < 0.7),
    lambda h: h.stripe.cancel(h.any("subscription"), at_period_end=h.random.random() < 0.5),
    lambda h: h.stripe.resume(h.any("subscription")),
    lambda h: h.stripe.pause(h.any("subscription"), status=h.random.random() < 0.5),
    lambda h: h.stripe.fail_payment(h.any("subscription", status="active")),
    lambda h: h.stripe.pay(h.any("invoice", status="open"), out_of_band=h.random.random() < 0.5),
    credit_note,
    lambda h: h.stripe.void_credit_note(h.any("credit_note", status="issued")),
    lambda h: h.stripe.dispute(h.any("payment_intent", status="succeeded")),
    lambda h: h.stripe.answer_dispute(h.any("dispute")),
    lambda h: h.stripe.close_dispute(h.any("dispute"), won=h.random.random() < 0.5),
    lambda h: h.stripe.accept(h.random.choice(h.people)),
    lambda h: h.stripe.advance(days=h.random.choice([1, 9, 32])),
]


def select(sql: str) -> list[tuple[Any, ...]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def ledger() -> dict[str, tuple[str, int]]:
    """User and units of each cause: what was asked of a debit, also where less or nothing was left to take."""
    rows = select("SELECT id, user_id, coalesce(metadata ->> 'asked', amount) FROM battery_transactions")
    noted = select(
        "SELECT metadata ->> 'cause', userId, metadata ->> 'amount' FROM audit_logs "
        "WHERE action = 'battery.nothing_taken' AND metadata ->> 'amount' IS NOT NULL"
    )
    return {id: (user, int(units)) for id, user, units in [*rows, *noted]}


def assert_accounts_are_as_stripe_is(stripe: StripeServer) -> None:
    plans = {id: plan for (plan, _), id in stripe.prices.items()}
    users = {each["id"]: each["metadata"]["userId"] for each in stripe.all("customer")}
    rows = {row.stripe_subscription_id: row for row in UserSubscription.objects.all()}
    best: dict[str, set[str]] = defaultdict(set)
    for sub in stripe.all("subscription"):
        row, item = rows.pop(sub["id"]), sub["items"]["data"][0]
        assert (row.user_id, row.plan_id, row.status) == (
            users[sub["customer"]],
            plans[item["price"]["id"]],
            STATUSES[sub["status"]],
        )
        assert row.current_period_end == datetime.fromtimestamp(item["current_period_end"], UTC)
        best[row.user_id].add(row.status)
    assert rows == {}
    for user in User.objects.all():
        assert user.tier == ("paid" if best[user.id] & {"active", "trialing"} else "free"), user.id
        assert not best[user.id] or user.subscription_status in best[user.id]


def assert_each_cause_is_credited_once(stripe: StripeServer) -> None:
    found, users = ledger(), {each["id"]: each["metadata"]["userId"] for each in stripe.all("customer")}
    expected = {**_invoices(stripe), **_packs(stripe)}
    credits = {id: entry for id, entry in found.items() if id.startswith(("invoice:", "pi:"))}
    assert credits == {id: (users[customer], units) for id, (customer, units, _, _) in expected.items()}
    rest = {id: units for id, (_, units) in found.items() if id not in credits and not id.startswith("usage:")}
    for _, units, cents, intent in expected.values():
        _assert_reversals(stripe, rest, units, cents, intent)
    assert rest == {}


Payment = tuple[str, int, int, str | None]


def _packs(stripe: StripeServer) -> dict[str, Payment]:
    sessions = {each["payment_intent"]: each for each in stripe.all("checkout.session")}
    return {
        f"pi:{each['id']}": (each["customer"], int(units), each["amount_received"], each["id"])
        for each in stripe.all("payment_intent")
        if each["status"] == "succeeded"
        and (
            units := each["metadata"].get("units")
            or sessions.get(each["id"], {"metadata": {}})["metadata"].get("units")
        )
    }


def _invoices(stripe: StripeServer) -> dict[str, Payment]:
    plans = {id: UNITS[plan] * (12 if interval == "year" else 1) for (plan, interval), id in stripe.prices.items()}
    paid_by = {each["invoice"]: each["payment"]["payment_intent"] for each in stripe.all("invoice_payment")}
    known = Plans.of_rows(SubscriptionPlan.objects.values_list(
        "id", "battery_units", "daily_battery", "stripe_price_id_monthly", "stripe_price_id_annual"
    ))  # fmt: skip
    invoices = [each for each in stripe.all("invoice") if each["status"] == "paid"]
    found: dict[str, Payment] = {}
    periods: dict[Any, list[int]] = defaultdict(list)
    for each in invoices:
        units = invoice_units(each, invoices, known).units
        lines = each["lines"]["data"]
        whole = [plans[line["pricing"]["price_details"]["price"]] for line in lines if line["amount"] > 0]
        if each["billing_reason"] != "subscription_update" and not _shares_its_period(each, invoices):
            assert units == max(whole, default=0)
        if units:
            found[f"invoice:{each['id']}"] = (each["customer"], units, each["amount_paid"], paid_by.get(each["id"]))
            periods[_period(each)].append(units)
    assert all(sum(credits) <= max(UNITS.values()) * 12 for credits in periods.values())
    return found


def _shares_its_period(invoice: Thing, invoices: list[Thing]) -> bool:
    """Whether others credit the same period, so that the highest plan's units may be used up."""
    return [_period(each) for each in invoices].count(_period(invoice)) > 1


def _period(invoice: Thing) -> tuple[Any, int]:
    return _subscription(invoice), max(line["period"]["end"] for line in invoice["lines"]["data"])


def _subscription(invoice: Thing) -> Any:
    return invoice["parent"]["subscription_details"]["subscription"]


def _assert_reversals(stripe: StripeServer, rest: dict[str, int], units: int, cents: int, intent: str | None) -> None:
    """What refunds and lost or open disputes of a payment ask back is their share; what is won nets to nothing."""
    if intent is None:
        return
    refunds = [each for each in stripe.all("refund") if each["payment_intent"] == intent]
    disputes = [each for each in stripe.all("dispute") if each["payment_intent"] == intent]
    asked, money = 0, 0
    for each in refunds:
        asked += rest.pop(f"refund:{each['id']}", 0)
        money += each["amount"]
    for each in disputes:
        won = rest.pop(f"dispute:{each['id']}:won", 0)
        held = rest.pop(f"dispute:{each['id']}", 0)
        if each["status"] == "won":
            # What is given back is what was taken, which may be less than what was asked.
            assert 0 <= won <= -held or held == 0
        else:
            asked, money = asked + held, money + each["amount"]
    share = units * min(money, cents) // cents if cents else 0
    assert abs(-asked - share) <= sum(each["status"] == "won" for each in disputes)


def assert_books_agree() -> None:
    last: dict[str, int] = {}
    for user, amount, after in select("SELECT user_id, amount, balance_after FROM battery_transactions ORDER BY rowid"):
        assert after == last.get(user, 0) + amount
        last[user] = after
    balances = {row.user_id: row.total_balance for row in UserBattery.objects.all()}
    assert {user: balance for user, balance in balances.items() if user in last or balance} == last


def begin(stripe: StripeServer) -> None:
    """Nothing is there but the plans, with this account's prices."""
    InboxEvent.objects.all().delete()
    stripe_api._of.cache_clear()
    prices = "UPDATE subscription_plans SET stripe_price_id_monthly = %s, stripe_price_id_annual = %s WHERE id = %s"
    steps: list[Step] = [(f"DELETE FROM {table}", []) for table in TABLES]
    steps += [(prices, [stripe.prices[plan, "month"], stripe.prices[plan, "year"], plan]) for plan in UNITS]
    run_batch(connections["omnichat"], steps)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_ends_where_stripe_is_and_credits_each_cause_once(
    part: int, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stripe_api, "_RATES", {True: 1e9, False: 1e9})
    for number in range(part, HISTORIES, PARTS):
        with StripeServer(seed=number, frozen=True, event_days=100_000) as stripe:
            settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = stripe.key, stripe.url
            begin(stripe)
            history = History(number, stripe)
            try:
                history.run()
                history.finish()
                assert_accounts_are_as_stripe_is(stripe)
                assert_each_cause_is_credited_once(stripe)
                assert_books_agree()
            except Exception as failure:
                failure.add_note(f"in the history {number}")
                raise
