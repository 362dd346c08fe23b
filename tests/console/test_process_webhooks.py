"""process_webhooks: 0 where nothing is left to do for a person, else 1 with a sentence, and 2 for a wrong option."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from billing import stripe_events
from billing.models import BatteryTransaction
from chat.models import User
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.management.commands.process_webhooks import Command
from standins.stripe import StripeServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


@pytest.fixture
def kept(stripe: StripeServer) -> StripeServer:
    """The inbox holds the events of a subscription."""
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "starter")
    inbox.keep([arrival_of_stripe(event) for event in stripe.events])
    return stripe


def run(*options: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    try:
        call_command("process_webhooks", *options, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as ended:
        return int(ended.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_an_empty_inbox_is_0(stripe: StripeServer):
    code, told = run()
    assert (code, told["processed"], told["waiting"]) == (0, 0, 0)


def test_a_second_run_is_0_and_does_nothing(kept: StripeServer):
    assert run()[0] == 0
    code, told = run()
    assert (code, told["processed"], told["ignored"]) == (0, 0, 0)
    assert BatteryTransaction.objects.count() == 1


def test_one_that_fails_is_1_and_says_where_to_look(kept: StripeServer, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(stripe_events, "carry_out", fail)
    code, told = run()
    assert code == 1
    assert told["failed"] > 0
    assert told["waiting"] == told["failed"]
    assert "the inbox in the console says why" in told["error"]


def test_what_waits_because_stripe_cannot_be_asked_is_1_and_told(kept: StripeServer, settings: Any):
    settings.STRIPE_SECRET_KEY = ""
    code, told = run()
    assert code == 1
    assert told["waiting"] > 0
    assert "STRIPE_SECRET_KEY is not set" in told["error"]
    assert "events wait, and are tried again" in told["error"]


def test_an_unknown_option_is_2(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "process_webhooks", "--odd"])
    assert ended.value.code == 2
    assert "--odd" in capsys.readouterr().err


def credited() -> list[int]:
    return list(BatteryTransaction.objects.values_list("amount", flat=True))


def test_the_command_works_off_what_waits(stripe: StripeServer):
    User.objects.create(id="user_alice", email="alice@example.com", tier="free")
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "starter")
    code, told = run("--backfill")
    assert code == 0
    assert (told["fetched"], told["failed"], told["parked"], told["waiting"]) == (len(stripe.events), 0, 0, 0)
    assert told["processed"] > 3
    assert credited() == [6000]


def test_the_command_retries_what_is_parked_and_exits_1_where_it_stays_so(stripe: StripeServer):
    stripe.buy_pack(stripe.customer("bob@example.com", "Bob", user_id="user_bob"), 999, 5000)
    paid = [event for event in stripe.events if event["type"] == "payment_intent.succeeded"]
    inbox.keep([arrival_of_stripe(event) for event in paid])
    code, told = run()
    assert (code, told["parked"]) == (1, 1)
    assert "inbox" in told["error"]
    assert run()[1]["parked"] == 0
    User.objects.create(id="user_bob", email="bob@example.com")
    code, told = run("--retry-failed")
    assert (code, told["processed"], credited()) == (0, 1, [5000])


def test_the_command_says_that_stripe_is_down(stripe: StripeServer, settings: Any):
    settings.STRIPE_SECRET_KEY = ""
    code, told = run("--backfill")
    assert (code, told["error"]) == (1, "STRIPE_SECRET_KEY is not set: set it to a secret key of Stripe.")
