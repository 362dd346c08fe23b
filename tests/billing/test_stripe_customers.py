"""A Stripe customer for each user: one, whoever asks for it and however often."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from billing import customers
from billing.customers import MADE_UP, Created, Person, create_customers, give_customer
from billing.stripe_accounts import Parked
from billing.stripe_api import StripeDown, stripe_of_settings
from chat.models import User
from database.models import AuditLog
from standins.stripe import StripeServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe")]


def people(*names: str) -> None:
    User.objects.bulk_create([
        User(id=f"user_{name}", email=f"{name}@example.com", name=name.title()) for name in names
    ])  # fmt: skip


def linked() -> dict[str, Any]:
    return dict(User.objects.values_list("id", "stripe_customer_id"))


def test_every_user_who_lacks_one_gets_one(stripe: StripeServer):
    people("alice", "bob")
    User.objects.create(id="user_carol", email="c@example.com", stripe_customer_id="cus_hers")
    made = create_customers(stripe_of_settings())
    assert (made.created, made.linked, made.lacking, made.problems) == (2, 0, 2, [])
    by_user = {each["metadata"]["userId"]: each["id"] for each in stripe.all("customer")}
    assert linked() == {**by_user, "user_carol": "cus_hers"}
    assert AuditLog.objects.filter(action="users.update").count() == 2
    assert create_customers(stripe_of_settings()).lacking == 0


def test_whoever_was_deleted_in_the_console_gets_none(stripe: StripeServer):
    User.objects.create(id="user_gone", email=f"deleted-{'0' * 24}{MADE_UP}", name="Deleted person")
    assert create_customers(stripe_of_settings()) == Created()
    assert stripe.all("customer") == []


def test_two_tries_make_one(stripe: StripeServer):
    people("alice")
    stripe.fault("cut", path="/v1/customers", method="POST", times=1, after=True)
    assert create_customers(stripe_of_settings()).created == 1
    User.objects.update(stripe_customer_id=None)
    assert create_customers(stripe_of_settings()).linked == 1
    assert len(stripe.all("customer")) == 1


def test_two_runs_at_once_make_one_for_each(files: Path, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    people("alice", "bob")
    usual, both = customers._make, threading.Barrier(2, timeout=60)

    def meet(*args: Any) -> Any:
        # Neither has found a customer, and both are about to make one.
        both.wait()
        return usual(*args)

    def make() -> Created:
        try:
            return create_customers(stripe_of_settings())
        finally:
            connections.close_all()

    monkeypatch.setattr(customers, "_make", meet)
    with ThreadPoolExecutor(2) as pool:
        runs = [run.result() for run in [pool.submit(make), pool.submit(make)]]
    assert [made.problems for made in runs] == [[], []]
    assert linked() == {each["metadata"]["userId"]: each["id"] for each in stripe.all("customer")}
    assert len(stripe.all("customer")) == 2


def test_a_kill_between_stripe_and_the_row_makes_no_second_one(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    people("alice")

    class Killed(BaseException):
        pass

    def kill(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("billing.customers._link", kill)
        with pytest.raises(Killed):
            create_customers(stripe_of_settings())
    create_customers(stripe_of_settings())
    assert [each["id"] for each in stripe.all("customer")] == list(linked().values())


def test_a_name_that_changed_between_two_tries_makes_no_second_one(
    stripe: StripeServer, monkeypatch: pytest.MonkeyPatch
):
    people("alice")
    give_customer(stripe_of_settings(), Person("user_alice", "alice@example.com", "Alice"))
    User.objects.update(stripe_customer_id=None)
    assert not give_customer(stripe_of_settings(), Person("user_alice", "new@example.com", "Alicia"))
    assert len(stripe.all("customer")) == 1


def test_many_are_looked_up_by_one_list(stripe: StripeServer):
    people(*(f"p{number}" for number in range(25)))
    stripe.customer("p3@example.com", "P3", user_id="user_p3")
    stripe.reset_calls()
    made = create_customers(stripe_of_settings())
    assert (made.created, made.linked) == (24, 1)
    assert sum(count for call, count in stripe.calls.items() if call.startswith("GET")) == 1


def test_one_whom_stripe_refuses_stops_nobody(stripe: StripeServer):
    people("alice", "bob")
    User.objects.filter(pk="user_alice").update(email="no address")
    made = create_customers(stripe_of_settings())
    assert (made.created, len(made.problems)) == (1, 1)
    assert made.problems[0].startswith("user_alice: Stripe refuses a request")


def test_an_id_that_no_header_could_hold_stops_nobody(stripe: StripeServer):
    User.objects.create(id="user \n1", email="odd@example.com")
    people("alice")
    made = create_customers(stripe_of_settings())
    assert (made.created, len(made.problems), len(stripe.all("customer"))) == (1, 1, 1)
    assert "is no id of a Clerk user" in made.problems[0]


def test_a_user_who_got_another_customer_meanwhile_keeps_it(stripe: StripeServer):
    people("alice")
    User.objects.update(stripe_customer_id="cus_meanwhile")
    with pytest.raises(Parked, match="another customer now"):
        give_customer(stripe_of_settings(), Person("user_alice", "alice@example.com", "Alice"))
    assert linked() == {"user_alice": "cus_meanwhile"}


def test_while_stripe_is_down_it_stops_and_goes_on_later(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    people("alice")
    client = stripe_of_settings()
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    stripe.fault("429", times=50)
    with pytest.raises(StripeDown):
        create_customers(client)
    stripe.faults.clear()
    assert create_customers(client).created == 1


def run(*options: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = 0
    try:
        call_command("create_stripe_customers", *options, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue())


def test_the_command_counts_before_it_makes(stripe: StripeServer):
    people("alice", "bob")
    code, told = run("--dry-run")
    assert (code, told["created"], told["lacking"]) == (1, 0, 2)
    assert stripe.all("customer") == []
    assert run() == (0, {"created": 2, "linked": 0, "lacking": 2, "problems": []})
    assert run("--dry-run")[0] == 0


def test_the_command_names_the_key_that_is_missing(stripe: StripeServer, settings: Any):
    settings.STRIPE_SECRET_KEY = ""
    code, told = run()
    assert code == 1
    assert "STRIPE_SECRET_KEY is not set" in told["error"]
