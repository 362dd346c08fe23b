"""What staff do at Stripe is looked up, done once for each key, and followed by OmniChat's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from billing import stripe_actions, stripe_api, stripe_refunds
from billing.models import BatteryTransaction, UserSubscription
from billing.resync.run import Resync, Wish
from billing.stripe_actions import Held, Refused, Uncertain
from billing.stripe_api import Stripe, StripeTrouble, stripe_of_settings
from billing.stripe_events import Needs, carry_out, needs_of
from billing.stripe_refunds import Paid
from chat.models import User
from database.models import AuditLog
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, alice

__all__ = ["alice"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices", "at_once")]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits between two tries."""
    monkeypatch.setattr(stripe_api, "_pause", lambda tried, headers: 0.0)


@pytest.fixture
def sub(stripe: StripeServer, alice: Thing) -> Thing:
    made = stripe.subscribe(alice, "starter")
    carry_out(asked(), Needs(alice["id"], subscriptions=True, invoices={made["latest_invoice"]}))
    return made


def asked() -> Stripe:
    return stripe_of_settings()


def held(sub: Thing) -> Held:
    return stripe_actions.look_at(asked(), sub["id"])


def row() -> UserSubscription:
    return UserSubscription.objects.get()


def followed(sub: Thing, before: Held, after: Any, key: str = "k") -> None:
    stripe_actions.follow(asked(), stripe_actions.needs_of_subscription(before, after), by="carol", key=key)


def test_a_cancellation_at_the_periods_end_is_in_the_row_and_audited_by_name(stripe: StripeServer, sub: Thing):
    before = held(sub)
    assert before.allowed() == ("cancel", "cancel-now")
    followed(sub, before, stripe_actions.cancel(asked(), before, key="k"), "key-1")
    assert stripe.get(sub)["cancel_at_period_end"] is True
    assert row().cancel_at == row().current_period_end
    assert User.objects.get().tier == "paid"
    kept = AuditLog.objects.filter(resource_type="user_subscriptions", action="user_subscriptions.update").get()
    assert (kept.metadata["by"], kept.metadata["stripe_action"]) == ({"name": "carol"}, "key-1")
    assert held(sub).allowed() == ("cancel-now", "resume")


@pytest.mark.parametrize("by_portal", [False, True])
def test_a_cancellation_is_taken_back_in_both_its_forms(stripe: StripeServer, sub: Thing, by_portal: bool):
    stripe.cancel(sub, by_portal=by_portal)
    before = held(sub)
    after = stripe_actions.resume(asked(), before, key="k")
    assert (after["cancel_at"], after["cancel_at_period_end"]) == (None, False)
    followed(sub, before, after)
    assert row().cancel_at is None


def test_a_cancellation_now_ends_the_tier_and_keeps_the_battery(stripe: StripeServer, sub: Thing):
    before = held(sub)
    followed(sub, before, stripe_actions.cancel(asked(), before, key="k", now=True))
    assert stripe.get(sub)["status"] == "canceled"
    assert (row().status, User.objects.get().tier) == ("canceled", "free")
    assert list(BatteryTransaction.objects.values_list("amount", flat=True)) == [6_000]
    assert held(sub).allowed() == ()


def test_a_pause_is_ended_in_both_its_forms(stripe: StripeServer, sub: Thing):
    stripe.pause(sub)
    assert stripe_actions.resume(asked(), held(sub), key="a")["pause_collection"] is None
    stripe.pause(sub, status=True)
    stripe.advance(days=10)
    before = held(sub)
    after = stripe_actions.resume(asked(), before, key="b")
    assert after["status"] == "active"
    followed(sub, before, after)
    assert BatteryTransaction.objects.count() == 2, "the new period that was paid is credited"


@pytest.mark.parametrize("now", [False, True])
@pytest.mark.parametrize("kind", ["cut", "500", "429", "409"])
@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_is_looked_up_before_it_is_tried_again(
    stripe: StripeServer, sub: Thing, now: bool, kind: str, after: bool
):
    before = held(sub)
    method = "DELETE" if now else "POST"
    stripe.faults.plan(kind, method=method, after=after)
    stripe.calls.clear()
    stripe_actions.cancel(asked(), before, key="k", now=now)
    sent = stripe.calls[f"{method} /v1/subscriptions/{{id}}"]
    assert sent == (1 if after or kind == "cut" else 2), stripe.calls
    events = [event["type"] for event in stripe.events if event["type"].startswith("customer.subscription")]
    assert len([each for each in events if each.endswith("deleted")]) == int(now)
    assert held(sub).status == ("canceled" if now else "active")


def test_where_no_answer_comes_it_says_so_and_the_same_key_does_it_once(stripe: StripeServer, sub: Thing):
    before = held(sub)
    stripe.faults.plan("cut", method="POST", times=99)
    with pytest.raises(Uncertain, match="Send it again"):
        stripe_actions.cancel(asked(), before, key="k")
    stripe.faults.clear()
    stripe_actions.cancel(asked(), before, key="k")
    stripe_actions.cancel(asked(), before, key="k")
    changes = [each for each in stripe.events if "cancel_at" in (each["data"].get("previous_attributes") or {})]
    assert len(changes) == 1


def test_nothing_is_sent_while_stripe_cannot_be_asked(stripe: StripeServer, sub: Thing):
    before = held(sub)
    stripe.faults.plan("500", times=99)
    with pytest.raises(Refused, match="Nothing was sent"):
        stripe_actions.cancel(asked(), before, key="k")
    stripe.faults.clear()
    assert held(sub).ends_at is None


def test_a_subscription_of_nobody_is_refused(stripe: StripeServer, sub: Thing):
    with pytest.raises(Refused, match="Stripe knows no subscription"):
        stripe_actions.look_at(asked(), "sub_none")
    stranger = stripe.customer("x@example.com", "X", user_id="user_x")
    with pytest.raises(Refused, match="not known here"):
        held(stripe.subscribe(stranger, "starter"))


def test_a_key_used_for_another_subscription_is_refused(stripe: StripeServer, sub: Thing, alice: Thing):
    other = stripe.subscribe(alice, "daily")
    stripe_actions.cancel(asked(), held(sub), key="k")
    with pytest.raises(StripeTrouble, match="other words"):
        stripe_actions.cancel(asked(), held(other), key="k")


@pytest.fixture
def pack(stripe: StripeServer, alice: Thing) -> Paid:
    """1,000 units for 10 dollars, in the battery."""
    session = stripe.buy_pack(alice, 1000, 1000)
    intent = stripe.get(session)["payment_intent"]
    carry_out(asked(), Needs(alice["id"], payments={intent}))
    return paid(intent)


def paid(intent: str) -> Paid:
    return stripe_refunds.look_at_payment(asked(), intent)


def ledger() -> list[int]:
    return list(BatteryTransaction.objects.order_by("created_at", "id").values_list("amount", flat=True))


def settle(pack: Paid) -> None:
    stripe_actions.follow(asked(), stripe_refunds.needs_of_refund(pack), by="carol", key="k")


def test_a_refund_in_parts_takes_just_what_its_preview_said(stripe: StripeServer, pack: Paid):
    for cents, units in ((333, 333), (1, 1), (666, 666)):
        assert stripe_refunds.preview_refund(asked(), pack, cents) == units
        stripe_refunds.refund(asked(), pack, cents, key=f"key {cents}")
        settle(pack)
    assert sorted(ledger()) == [-666, -333, -1, 1000]
    assert paid(pack.id).left == 0
    with pytest.raises(StripeTrouble, match="already been refunded"):
        stripe_refunds.refund(asked(), pack, 1, key="one more")


def test_a_refund_without_its_units_takes_none_by_action_event_and_resync(
    stripe: StripeServer, pack: Paid, settings: Any, tmp_path: Path
):
    settings.VAR_DIR = tmp_path
    start = len(stripe.events)
    made = stripe_refunds.refund(asked(), pack, 500, key="k", keep_units=True)
    with Resync(Wish()) as found:
        found.find()
        found.repair(by="test")
        assert [each.kind for each in found.differences()] == []
    settle(pack)
    for event in stripe.events[start:]:
        carry_out(asked(), needs_of(event))
    assert ledger() == [1000]
    assert AuditLog.objects.filter(id=f"settled:refund:{made['id']}").count() == 1
    assert stripe_refunds.preview_refund(asked(), paid(pack.id), 500) == 500
    stripe_refunds.refund(asked(), pack, 500, key="other")
    settle(pack)
    assert sorted(ledger()) == [-500, 1000]


def test_a_kept_refund_that_fails_gives_nothing_back(stripe: StripeServer, pack: Paid):
    made = stripe_refunds.refund(asked(), pack, 500, key="k", keep_units=True)
    settle(pack)
    stripe.fail_refund(made)
    settle(pack)
    assert ledger() == [1000]


def test_a_refund_of_an_invoice_takes_of_its_units(stripe: StripeServer, sub: Thing):
    payment = stripe_refunds.payments_of(asked(), "user_alice").rows[0]
    assert payment.cents == 499
    assert stripe_refunds.preview_refund(asked(), payment, 499) == 6_000
    stripe_refunds.refund(asked(), payment, 499, key="k")
    settle(payment)
    assert sorted(ledger()) == [-6_000, 6_000]


@pytest.mark.parametrize("fault", [{"kind": "cut"}, {"kind": "500"}, {"kind": "500", "kept": True}])
@pytest.mark.parametrize("after", [False, True])
def test_a_refund_whose_answer_was_lost_is_made_once(
    stripe: StripeServer, pack: Paid, fault: dict[str, Any], after: bool
):
    stripe.faults.plan(method="POST", path="/v1/refunds", after=after, **fault)
    if fault.get("kept") and not after:
        # Stripe keeps this answer under the key: nothing is refunded, and nobody tries with another key by itself.
        with pytest.raises(Uncertain):
            stripe_refunds.refund(asked(), pack, 400, key="k")
        assert stripe.all("refund") == []
        return
    stripe_refunds.refund(asked(), pack, 400, key="k")
    stripe_refunds.refund(asked(), pack, 400, key="k")
    assert [each["amount"] for each in stripe.all("refund")] == [400]


def test_payments_of_a_user_are_one_call_and_of_nobody_else(stripe: StripeServer, pack: Paid, sub: Thing):
    stripe.calls.clear()
    assert [each.cents for each in stripe_refunds.payments_of(asked(), "user_alice").rows] == [499, 1000]
    assert sum(stripe.calls.values()) == 1
    User.objects.create(id="user_bob", email="bob@example.com")
    with pytest.raises(Refused, match="no Stripe customer"):
        stripe_refunds.payments_of(asked(), "user_bob")
    stripe.decline(stripe.get(sub)["customer"])
    stripe.subscribe(stripe.get(sub)["customer"], "daily")
    with pytest.raises(Refused, match="Nothing came in"):
        paid(next(each["id"] for each in stripe.all("payment_intent") if each["status"] != "succeeded"))
