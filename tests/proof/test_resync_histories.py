"""Random histories of which hardly an event arrives, and databases that were damaged: a resync ends where Stripe is.

It is killed on its way, takes no battery, credits each cause once, and has nothing to mend when it runs again. Of each
user alone it finds what it finds of all.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured

from billing import stripe_api
from billing.models import UserBattery, UserSubscription
from billing.resync import comparing, reading, repairing
from billing.resync.run import Resync, Wish
from chat.models import User
from standins.stripe import StripeServer
from tests.proof import test_stripe_histories as histories

pytestmark = pytest.mark.django_db
ON_D1 = configured.DATABASES["omnichat"]["ENGINE"] == "d1"
HISTORIES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "proof" else 6 if ON_D1 else 12
Thing = dict[str, Any]
PLACES = [
    (reading._Reading, "_take"), (comparing.Comparing, "_user"), (repairing, "judge"), (repairing, "apply_together"),
    (repairing, "_conclude"),
]  # fmt: skip


class Killed(BaseException):
    """As if the process ended here."""


def damage(dice: random.Random, stripe: StripeServer) -> None:
    """What the OmniChat app does wrong, to some of the rows. A tier without any subscription is for a person."""
    customers = {each["customer"] for each in stripe.all("subscription")}
    users = {each["metadata"]["userId"] for each in stripe.all("customer") if each["id"] in customers}
    for user in User.objects.filter(pk__in=users):
        if dice.random() < 0.4:
            User.objects.filter(pk=user.pk).update(tier=dice.choice(["free", "paid"]), subscription_status="unpaid")
    for row in UserSubscription.objects.all():
        fate = dice.random()
        if fate < 0.2:
            UserSubscription.objects.filter(pk=row.pk).delete()
        elif fate < 0.5:
            UserSubscription.objects.filter(pk=row.pk).update(status=dice.choice(["unpaid", "active"]), plan_id="daily")


def resync(dice: random.Random) -> list[Any]:
    """Run it, killed at some line up to three times."""
    for _ in range(3):
        with pytest.MonkeyPatch.context() as patch:
            _let_die(patch, dice)
            try:
                return _run()
            except Killed:
                continue
    return _run()


def _run(wish: Wish | None = None) -> list[Any]:
    with Resync(wish or Wish()) as found:
        found.find()
        found.repair(by="resync_stripe")
        return list(found.differences())


def _let_die(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    place, name = dice.choice(PLACES)
    usual, before = getattr(place, name), dice.random() < 0.5

    def perhaps(*args: Any, **kwargs: Any) -> Any:
        if before and dice.random() < 0.3:
            raise Killed
        answer = usual(*args, **kwargs)
        if not before and dice.random() < 0.3:
            raise Killed
        return answer

    patch.setattr(place, name, perhaps)


def assert_each_alone_differs_alike() -> None:
    everybody = _run(Wish(dry_run=True))
    for user in User.objects.values_list("pk", flat=True):
        theirs = sorted(str(each) for each in everybody if each.user_id == user)
        assert sorted(map(str, _run(Wish((user,), dry_run=True)))) == theirs


def balances() -> dict[str, int]:
    return {row.pk: row.total_balance or 0 for row in UserBattery.objects.all()}


def assert_credits_are_there(stripe: StripeServer) -> None:
    found, users = histories.ledger(), {each["id"]: each["metadata"]["userId"] for each in stripe.all("customer")}
    expected = {**histories._invoices(stripe), **histories._packs(stripe)}
    credits = {id: entry for id, entry in found.items() if id.startswith(("invoice:", "pi:"))}
    assert credits == {id: (users[customer], units) for id, (customer, units, _, _) in expected.items()}


def test_a_resync_ends_where_stripe_is_whatever_was_lost(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(stripe_api, "_RATES", {True: 1e9, False: 1e9})
    settings.VAR_DIR = tmp_path
    for number in range(HISTORIES):
        with StripeServer(seed=number, frozen=True, event_days=100_000) as stripe:
            settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = stripe.key, stripe.url
            histories.begin(stripe)
            try:
                _live(number, stripe)
            except Exception as failure:
                failure.add_note(f"in the history {number}")
                raise


def _live(number: int, stripe: StripeServer) -> None:
    dice, history = random.Random(-number), histories.History(number, stripe)
    history.run()
    damage(dice, stripe)
    assert_each_alone_differs_alike()
    before = balances()
    found = resync(dice)
    after = balances()
    assert all(after[user] >= before[user] for user in before)
    assert not [each for each in found if each.action not in ("repaired", "left", "gone")]
    histories.assert_accounts_are_as_stripe_is(stripe)
    assert_credits_are_there(stripe)
    histories.assert_books_agree()
    assert not [each for each in _run() if each.action != "left"]
