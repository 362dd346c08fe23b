"""A resync as a test runs it, with a scratch folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
