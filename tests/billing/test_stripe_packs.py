"""Battery packs, refunds and disputes: what their events credit, take back and give again."""

from __future__ import annotations

import pytest

from billing.models import BatteryTransaction, UserBattery
from billing.stripe_accounts import Parked
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice, balance, credited, deliver, intent_of, ledger, work

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


VERSIONS = [None, "2024-06-20"]


@pytest.mark.parametrize("place", ["payment_intent", "session"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_pack_is_credited_wherever_its_units_stand(
    stripe: StripeServer, alice: Thing, place: str, version: str | None
):
    session = stripe.buy_pack(alice, 999, 5000, in_metadata_of=place)
    deliver(stripe, version=version)
    assert ledger() == {f"pi:{intent_of(stripe, session)}": 5000}
    row = BatteryTransaction.objects.get()
    assert (row.type, row.stripe_payment_intent_id) == ("purchase", intent_of(stripe, session))


def test_a_session_completed_but_unpaid_is_credited_when_the_payment_comes(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 999, 5000, in_metadata_of="session", async_payment=True)
    deliver(stripe, "checkout.session.completed")
    assert ledger() == {}
    stripe.settle(session)
    deliver(stripe, "checkout.session.async_payment_succeeded")
    deliver(stripe)
    assert credited() == [5000]


def test_one_whose_payment_failed_after_all_credits_nothing(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 999, 5000, in_metadata_of="both", async_payment=True)
    stripe.settle(session, succeeded=False)
    deliver(stripe)
    assert ledger() == {}


def test_a_pack_refunded_in_parts_is_reversed_in_proportion_and_wholly_in_the_end(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 1000, 5001)
    first = stripe.refund(session, 333)
    deliver(stripe)
    assert ledger()[f"refund:{first['id']}"] == -(5001 * 333 // 1000)
    stripe.refund(session)
    deliver(stripe)
    deliver(stripe)
    assert (len(ledger()), balance()) == (3, 0)


def test_a_refund_is_never_more_than_is_left_and_counts_once(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 1000, 5000)
    deliver(stripe)
    UserBattery.objects.update(total_balance=0)
    stripe.refund(session)
    deliver(stripe)
    UserBattery.objects.update(total_balance=700)
    deliver(stripe)
    assert (len(ledger()), balance()) == (1, 700)


def test_a_refund_that_failed_is_given_back(stripe: StripeServer, alice: Thing):
    refund = stripe.refund(stripe.buy_pack(alice, 1000, 5000), 500)
    deliver(stripe)
    assert balance() == 2500
    stripe.fail_refund(refund)
    deliver(stripe)
    deliver(stripe)
    assert ledger()[f"refund:{refund['id']}:failed"] == 2500
    assert balance() == 5000


def test_a_refunded_invoice_takes_its_units_back(stripe: StripeServer, alice: Thing):
    stripe.subscribe(alice, "starter")
    refund = stripe.refund(stripe.all("invoice")[0], 100)
    deliver(stripe)
    assert ledger()[f"refund:{refund['id']}"] == -(6000 * 100 // 499)


def test_a_dispute_holds_the_units_and_a_win_gives_them_back(stripe: StripeServer, alice: Thing):
    session = stripe.buy_pack(alice, 1000, 5000)
    dispute = stripe.dispute(intent_of(stripe, session))
    deliver(stripe)
    assert (ledger()[f"dispute:{dispute['id']}"], balance()) == (-5000, 0)
    stripe.close_dispute(dispute, won=True)
    deliver(stripe)
    deliver(stripe)
    assert (ledger()[f"dispute:{dispute['id']}:won"], balance()) == (5000, 5000)


def test_a_lost_dispute_has_taken_the_units(stripe: StripeServer, alice: Thing):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    deliver(stripe)
    stripe.close_dispute(dispute, won=False)
    deliver(stripe)
    assert (len(ledger()), balance()) == (2, 0)


def test_a_dispute_won_before_its_opening_came_moves_nothing_ever(stripe: StripeServer, alice: Thing):
    dispute = stripe.dispute(intent_of(stripe, stripe.buy_pack(alice, 1000, 5000)))
    deliver(stripe, "payment_intent.succeeded")
    UserBattery.objects.update(total_balance=5000)
    BatteryTransaction.objects.filter(pk__startswith="dispute").delete()
    stripe.close_dispute(dispute, won=True)
    deliver(stripe, "charge.dispute.closed")
    assert AuditLog.objects.filter(pk=f"settled:dispute:{dispute['id']}").exists()
    deliver(stripe)
    assert balance() == 5000


@pytest.mark.parametrize("units", ["-5000", "many", "5000.5", "5e3", "٥٠٠٠", str(10**20), "9" * 400])
@pytest.mark.parametrize("place", ["payment_intent", "session"])
def test_a_pack_with_units_that_are_no_number_is_parked(stripe: StripeServer, alice: Thing, units: str, place: str):
    metadata = {"userId": "user_alice", "units": units}
    stripe.buy_pack(alice, 999, 5000, in_metadata_of=place, metadata=metadata)
    told = "payment_intent.succeeded" if place == "payment_intent" else "checkout.session.completed"
    with pytest.raises(Parked, match="units"):
        deliver(stripe, told)
    assert ledger() == {}


@pytest.mark.parametrize(
    ("cells", "credit"),
    [
        ({}, [5000]),
        ({"payment_status": "paid"}, [5000]),
        ({"payment_status": "unpaid"}, []),
        ({"status": "open"}, []),
        ({"mode": "setup"}, []),
    ],
)
def test_a_sale_without_a_payment_is_credited_when_a_coupon_paid_it(
    stripe: StripeServer, alice: Thing, cells: Thing, credit: list[int]
):
    session = stripe.buy_pack(alice, 999, 5000, in_metadata_of="session")
    free = {"payment_intent": None, "payment_status": "no_payment_required", **cells}
    stripe.account.store["checkout.session"].get(session["id"]).update(free)
    for event in stripe.events:
        if event["type"] == "checkout.session.completed":
            work({**event, "data": {"object": {**event["data"]["object"], **free}}})
    assert credited() == credit
