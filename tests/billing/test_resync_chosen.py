"""A resync of some users, or of those who changed: few calls, several at once, and the same end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import UserSubscription
from billing.resync import choosing
from billing.resync.run import NoSuchUser, Resync, Wish
from billing.stripe_api import StripeTrouble
from chat.models import User
from standins.stripe import StripeServer
from tests.resyncs import crowd, own_folder, resync
from tests.stripe_deliveries import Thing, alice

__all__ = ["alice", "own_folder"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]
NOW = datetime.now(UTC)


def test_users_alone_are_asked_for_alone(stripe: StripeServer, alice: Thing):
    crowd(stripe, 300)
    stripe.subscribe(alice, "starter")
    User.objects.filter(tier="paid").update(tier="free")
    stripe.reset_calls()
    assert {each.user_id for each in resync(Wish(("user_alice",)))} == {"user_alice"}
    assert stripe.calls.total() < 20
    with pytest.raises(NoSuchUser, match="user_nobody"), Resync(Wish(("user_nobody",))):
        pass


def test_accounts_that_were_read_are_not_read_again_after_a_failure(
    stripe: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    crowd(stripe, 40)
    users = sorted(User.objects.values_list("pk", flat=True))
    asked, usual = [], choosing._account

    def account(of: Any, user: str, *rest: Any) -> Any:
        asked.append(user)
        if user == users[30] and asked.count(user) == 1:
            raise StripeTrouble("It fails.")
        return usual(of, user, *rest)

    monkeypatch.setattr(choosing, "_account", account)
    with pytest.raises(StripeTrouble):
        resync(Wish(tuple(users)))
    assert resync(Wish(tuple(users))) == []
    assert set(asked) == set(users)
    assert not [user for user in users[:30] if asked.count(user) > 1]


def test_since_costs_next_to_nothing_where_nothing_changed(stripe: StripeServer):
    crowd(stripe, 1500)
    User.objects.update(updated_at=NOW - timedelta(days=9))
    UserSubscription.objects.update(updated_at=NOW - timedelta(days=9))
    stripe.reset_calls()
    assert resync(Wish(since=NOW - timedelta(hours=5))) == []
    assert stripe.calls.total() <= 20


def test_since_finds_what_changed_on_either_side(stripe: StripeServer, alice: Thing):
    crowd(stripe, 200)
    User.objects.filter(id__startswith="user_0").update(updated_at=NOW - timedelta(days=9))
    UserSubscription.objects.update(updated_at=NOW - timedelta(days=9))
    sub = stripe.subscribe(alice, "starter")
    victim = User.objects.filter(tier="paid").first()
    assert victim
    User.objects.filter(pk=victim.pk).update(tier="free", updated_at=NOW)
    stripe.refund(stripe.buy_pack(alice, 500, 100))
    found = resync(Wish(since=NOW - timedelta(hours=5)))
    assert {each.user_id for each in found} == {"user_alice", victim.pk}
    assert User.objects.get(pk="user_alice").subscription_id == sub["id"]


@pytest.mark.parametrize("path", ["/v1/payment_intents", "/v1/events"])
def test_a_list_about_some_users_that_repeats_itself_ends_in_an_error(stripe: StripeServer, alice: Thing, path: str):
    User.objects.update(stripe_customer_id=alice["id"])
    for _ in range(130):
        stripe.buy_pack(alice, 500, 10, through_checkout=False)
    stripe.fault("repeat", path=path, times=20)
    with pytest.raises(StripeTrouble, match="repeats itself"):
        resync(Wish(since=NOW - timedelta(hours=5)) if path == "/v1/events" else Wish(("user_alice",)))
    stripe.faults.clear()
