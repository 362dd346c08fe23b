"""What a change of plan credits where it meets another: of the interval, a coupon, the end of a month, an add-on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing.models import SubscriptionPlan
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, balance, credited, deliver

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


def part_left(stripe: StripeServer, sub: Thing) -> float:
    item = stripe.get(sub)["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    return float((end - stripe.clock) / (end - start))


def go_to(stripe: StripeServer, month: int, day: int) -> None:
    """That day of the next year."""
    year = datetime.fromtimestamp(stripe.clock, UTC).year + 1
    stripe.advance(seconds=int(datetime(year, month, day, tzinfo=UTC).timestamp()) - stripe.clock)


@pytest.mark.parametrize("interval", ["month", "year"])
def test_a_change_of_interval_to_and_fro_credits_no_time_twice(stripe: StripeServer, alice: Thing, interval: str):
    sub = stripe.subscribe(alice, "starter", interval=interval)
    for _ in range(3):
        for other in ("month", "year") if interval == "year" else ("year", "month"):
            stripe.advance(seconds=600)
            stripe.upgrade(sub, "starter", other)
    deliver(stripe)
    assert 72_000 <= balance() <= 72_100


def test_an_upgrade_after_a_year_was_cut_short_credits_no_more_than_the_year_did(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter", interval="year")
    for _ in range(2):
        for plan, interval in (("starter", "month"), ("power", "month"), ("starter", "year")):
            stripe.advance(seconds=600)
            stripe.upgrade(sub, plan, interval)
    deliver(stripe)
    assert 72_000 <= balance() <= 72_100


def test_a_change_to_a_month_that_is_shorter_credits_all_of_it(stripe: StripeServer, alice: Thing):
    go_to(stripe, 2, 5)
    sub = stripe.subscribe(alice, "starter", interval="year")
    go_to(stripe, 1, 31)
    left = part_left(stripe, sub)
    stripe.upgrade(sub, "power", "month")
    stripe.advance(days=10)
    stripe.upgrade(sub, "ultimate")
    deliver(stripe)
    expected = [72_000, 45_000 - 72_000 * left, 105_000 * part_left(stripe, sub)]
    assert credited() == [pytest.approx(units, abs=1) for units in sorted(expected)]


@pytest.mark.parametrize("duration", ["once", "forever"])
def test_after_a_period_that_a_coupon_paid_an_upgrade_credits_the_difference(
    stripe: StripeServer, alice: Thing, duration: str
):
    sub = stripe.subscribe(alice, "starter", coupon=stripe.coupon(100, duration))
    stripe.advance(days=12)
    stripe.upgrade(sub, "power")
    deliver(stripe)
    assert credited() == [6000, int(39_000 * part_left(stripe, sub))]


def test_an_upgrade_in_the_last_second_credits_next_to_nothing(stripe: StripeServer, alice: Thing):
    sub = stripe.subscribe(alice, "starter")
    stripe.advance(seconds=sub["items"]["data"][0]["current_period_end"] - stripe.clock - 1)
    stripe.upgrade(sub, "ultimate")
    deliver(stripe)
    assert credited() == [6000]
    stripe.advance(days=1)
    deliver(stripe)
    assert credited() == [6000, 150_000]


def test_a_first_period_that_is_a_part_of_one_credits_its_part(stripe: StripeServer, alice: Thing):
    go_to(stripe, 5, 6)
    stripe.subscribe(alice, "starter")
    line = _lines(stripe)[0]
    line["period"]["end"] = line["period"]["start"] + 10 * 86_400
    line["parent"]["subscription_item_details"]["proration"] = True
    deliver(stripe, "invoice.paid")
    assert credited() == [6000 * 10 // 30]


def test_what_is_charged_beside_a_plan_does_not_stand_in_its_way(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    lines = _lines(stripe)
    beside = {**lines[0], "id": "il_beside", "pricing": {"price_details": {"price": "price_of_an_addon"}}}
    lines.insert(0, beside)
    deliver(stripe, "invoice.paid")
    assert credited() == [6000]


def test_of_several_plans_on_one_invoice_and_of_several_pieces_the_largest_counts_once(
    stripe: StripeServer, alice: Thing
):
    stripe.subscribe(alice, "starter")
    lines = _lines(stripe)
    power = SubscriptionPlan.objects.get(pk="power").stripe_price_id_monthly
    lines.append({**lines[0], "id": "il_power", "quantity": 3, "pricing": {"price_details": {"price": power}}})
    deliver(stripe, "invoice.paid")
    assert credited() == [45_000]


def _lines(stripe: StripeServer) -> list[Thing]:
    """Those of the only invoice, as Stripe keeps them."""
    (invoice,) = stripe.account.store["invoice"].all()
    lines: list[Thing] = invoice["lines"]["data"]
    return lines
