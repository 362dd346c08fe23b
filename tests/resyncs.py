"""A resync as a test runs it, with a scratch folder of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing.models import UserSubscription
from billing.resync.run import Resync, Wish
from billing.resync.scratch import Difference
from billing.stripe_api import StripeTrouble, stripe_of_settings
from chat.models import User
from standins.stripe import StripeServer
from tests.stripe_deliveries import Thing, deliver


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def set_user(**cells: Any) -> None:
    User.objects.filter(pk="user_alice").update(**cells)


@pytest.fixture
def subscribed(stripe: StripeServer, alice: Thing) -> Thing:
    """Alice's subscription, and OmniChat as it has to be."""
    sub = stripe.subscribe(alice, "starter")
    deliver(stripe)
    assert resync() == []
    return sub


def brought(differences: list[Difference]) -> set[tuple[str, str]]:
    return {(each.kind, each.action) for each in differences}


def crowd(stripe: StripeServer, count: int) -> None:
    """So many customers, and OmniChat's users as they have to be."""
    stripe.bulk(count)
    subs = {each["customer"]: each for each in stripe.all("subscription")}
    plans = {id: plan for (plan, _), id in stripe.prices.items()}
    known = set(User.objects.values_list("id", flat=True))
    users, rows = [], []
    for customer in stripe.all("customer"):
        if customer["metadata"]["userId"] in known:
            continue
        sub, id = subs.get(customer["id"]), customer["metadata"]["userId"]
        users.append(
            User(
                id=id, email=customer["email"], stripe_customer_id=customer["id"], tier="paid" if sub else "free",
                subscription_status="active" if sub else "inactive", subscription_id=sub["id"] if sub else None,
            )
        )  # fmt: skip
        if sub:
            item = sub["items"]["data"][0]
            rows.append(
                UserSubscription(
                    id=f"s{id}", user_id=id, plan_id=plans[item["price"]["id"]], stripe_customer_id=customer["id"],
                    stripe_subscription_id=sub["id"], status="active",
                    current_period_start=datetime.fromtimestamp(item["current_period_start"], UTC),
                    current_period_end=datetime.fromtimestamp(item["current_period_end"], UTC),
                )
            )  # fmt: skip
    User.objects.bulk_create(users)
    UserSubscription.objects.bulk_create(rows)


def resync(wish: Wish | None = None) -> list[Difference]:
    with Resync(wish or Wish()) as found:
        found.find()
        found.repair(by="resync_stripe")
        return list(found.differences())


def resync_alike(wish: Wish | None = None) -> list[Difference]:
    """As `resync`. Of everybody, it has to find of Alice what one of her alone finds."""
    if wish is None and User.objects.filter(pk="user_alice").exists():
        everybody = [each for each in resync(Wish(dry_run=True)) if each.user_id == "user_alice"]
        assert sorted(map(str, resync(Wish(("user_alice",), dry_run=True)))) == sorted(map(str, everybody))
    return resync(wish)


def without_search(patch: pytest.MonkeyPatch) -> None:
    """As Stripe in India: it refuses to search."""
    usual = stripe_of_settings().page

    def page(path: str, **params: Any) -> Any:
        if path.endswith("/search"):
            raise StripeTrouble("Stripe refuses a request: search is not available.")
        return usual(path, **params)

    patch.setattr(stripe_of_settings(), "page", page)
