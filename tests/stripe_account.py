"""Stripe's stand-in as the tests share it: imported by the conftest of each folder that needs it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from billing import stripe_api
from billing.models import SubscriptionPlan
from omniops.environment import sqlite
from standins.stripe import StripeServer


@pytest.fixture
def stripe(django_db_setup: None, settings: Any) -> Iterator[StripeServer]:
    """Stripe's stand-in, asked at no bounded rate; the plans have its prices. Its clock stands still."""
    with StripeServer(frozen=True, webhook_secret="whsec_test") as server:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = server.key, server.url
        settings.STRIPE_WEBHOOK_SECRETS, settings.STRIPE_EFFECTS = ["whsec_test"], "apply"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stripe_api, "_RATES", {True: 1e9, False: 1e9})
            yield server


@pytest.fixture
def prices(stripe: StripeServer, db: None) -> None:
    """The plans of the database have the stand-in's prices."""
    for plan in SubscriptionPlan.objects.all():
        SubscriptionPlan.objects.filter(pk=plan.pk).update(
            stripe_price_id_monthly=stripe.prices[plan.pk, "month"],
            stripe_price_id_annual=stripe.prices[plan.pk, "year"],
        )


@contextmanager
def databases_in(folder: Path) -> Iterator[None]:
    """Both databases are files in the folder: `console.sqlite3` and `omnichat.sqlite3`."""
    aliases = {"default": "console", "omnichat": "omnichat"}
    usual = {alias: (connections[alias], connections.settings[alias]) for alias in aliases}
    described = {alias: sqlite(folder / f"{name}.sqlite3") for alias, name in aliases.items()}
    for alias, settings in connections.configure_settings(described).items():
        connections.settings[alias] = settings
        connections[alias] = connections.create_connection(alias)
    try:
        yield
    finally:
        for alias, (connection, settings) in usual.items():
            connections[alias].close()
            connections[alias], connections.settings[alias] = connection, settings


@pytest.fixture(scope="session")
def set_up(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Path:
    """A folder with both databases as setup_database leaves them, to make copies of."""
    folder = tmp_path_factory.mktemp("set_up")
    with django_db_blocker.unblock(), databases_in(folder):
        call_command("setup_database", "--json", skip_checks=True, stdout=io.StringIO(), stderr=io.StringIO())
    return folder


@pytest.fixture
def files(set_up: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """Both databases are files in `tmp_path`, set up, as for several processes."""
    shutil.copytree(set_up, tmp_path, dirs_exist_ok=True)
    with django_db_blocker.unblock(), databases_in(tmp_path):
        yield tmp_path
