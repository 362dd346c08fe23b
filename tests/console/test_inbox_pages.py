"""The pages of the inbox."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import BatteryTransaction
from chat.models import User as Account
from console import inbox
from console.inbox_arrivals import arrival_of_stripe
from console.inbox_rounds import work_off_a_round
from console.models import InboxEvent, StaffEvent
from standins.stripe import StripeServer

pytestmark = pytest.mark.django_db
LIST = "/admin/console/inboxevent/"


def login(role: str) -> Client:
    user = User.objects.create_user(f"{role.lower()}", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def paid(stripe: StripeServer, prices: None) -> InboxEvent:
    """An invoice that was paid by alice, and is not worked off."""
    Account.objects.create(id="user_alice", email="alice@example.com", tier="free")
    stripe.subscribe(stripe.customer("alice@example.com", "Alice", user_id="user_alice"), "starter")
    inbox.keep([arrival_of_stripe(event) for event in stripe.events if event["type"] == "invoice.paid"])
    return InboxEvent.objects.get()


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    return str(answer.content.decode())


def test_the_list_tells_of_its_health(paid: InboxEvent):
    page = text(login("Billing").get(LIST))
    assert "1 event waits" in page
    assert "invoice.paid" in page
    assert "The last from Stripe came" in page


def test_an_empty_list_tells_what_to_do(stripe: StripeServer):
    assert "docs/webhooks.md" in text(login("Auditor").get(LIST))


def test_the_list_is_filtered_and_searched(paid: InboxEvent):
    client = login("Operator")
    assert paid.event_id not in text(client.get(LIST, {"state__exact": "parked"}))
    for query in (paid.event_id, paid.subject):
        assert "1 result" in text(client.get(LIST, {"q": query})) or "invoice.paid" in text(
            client.get(LIST, {"q": query})
        )
    assert text(client.get(LIST, {"payload__contains": "x"}))


def test_the_page_shows_the_payload_and_the_error(paid: InboxEvent):
    InboxEvent.objects.update(state="parked", error="No plan has <b>the</b> price.")
    page = text(login("Auditor").get(paid.get_absolute_url()))
    assert "billing_reason" in page
    assert "No plan has &lt;b&gt;the&lt;/b&gt; price." in page
    assert "Replay" not in page


def test_a_replay_first_shows_what_it_would_write_and_then_does_it(paid: InboxEvent):
    client = login("Billing")
    address = reverse("admin:console_inboxevent_replay", args=[paid.pk])
    page = text(client.get(address))
    assert "+6,000 units to user_alice" in page
    assert not BatteryTransaction.objects.exists()
    page = text(client.post(address, follow=True))
    assert "worked off" in page
    assert BatteryTransaction.objects.get().amount == 6000
    again = text(client.get(address))
    assert "is in the ledger already" in again
    assert "+6,000" not in again
    event = StaffEvent.objects.get(action="webhook.replay")
    assert (event.subject, event.detail) == (paid.event_id, {"state": "processed"})


def test_what_was_there_already_does_not_read_as_written(paid: InboxEvent):
    client = login("Billing")
    work_off_a_round()
    assert "+6,000 units to user_alice" in text(client.get(paid.get_absolute_url()))
    inbox.replay(InboxEvent.objects.get())
    page = text(client.get(paid.get_absolute_url()))
    assert "is in the ledger already" in page
    assert "+6,000 units" not in page


def test_a_replay_that_cannot_be_says_why_in_a_sentence(paid: InboxEvent, settings: Any):
    client = login("Billing")
    settings.STRIPE_SECRET_KEY = ""
    address = reverse("admin:console_inboxevent_replay", args=[paid.pk])
    assert "STRIPE_SECRET_KEY is not set" in text(client.get(address))
    assert "could not be worked off" in text(client.post(address, follow=True))


def test_what_is_parked_and_will_never_be_right_is_set_aside_for_good(paid: InboxEvent):
    client, address = login("Billing"), reverse("admin:console_inboxevent_replay", args=[paid.pk])
    assert "Set aside" not in text(client.get(address))
    InboxEvent.objects.update(state="parked", error="This is a thin event.", next_at=timezone.now())
    assert "Set aside" in text(client.get(address))
    assert "It was set aside." in text(client.post(address, {"set_aside": "1"}, follow=True))
    assert (InboxEvent.objects.get().state, inbox.due().count(), inbox.retry_failed()) == ("ignored", 0, 0)
    assert "no longer parked" in text(client.post(address, {"set_aside": "1"}, follow=True))
    assert StaffEvent.objects.get(action="webhook.set_aside").subject == paid.event_id
    assert not BatteryTransaction.objects.exists()


def test_a_replay_of_what_a_worker_has_just_taken_says_so(paid: InboxEvent):
    inbox.claim(1)
    page = text(login("Billing").post(reverse("admin:console_inboxevent_replay", args=[paid.pk]), follow=True))
    assert "look again in a minute" in page
    assert not BatteryTransaction.objects.exists()


@pytest.mark.parametrize(("role", "sees", "replays"), [("Support", False, False), ("Auditor", True, False)])
def test_who_may_not_does_not(paid: InboxEvent, role: str, sees: bool, replays: bool):
    client = login(role)
    assert client.get(LIST).status_code == (200 if sees else 403)
    assert client.get(paid.get_absolute_url()).status_code == (200 if sees else 403)
    assert client.get(reverse("admin:console_inboxevent_replay", args=[paid.pk])).status_code == 403
    assert client.post(reverse("admin:console_inboxevent_replay", args=[paid.pk])).status_code == 403
    assert not BatteryTransaction.objects.exists()


def test_nobody_edits_adds_or_deletes_an_event(paid: InboxEvent):
    client = login("Billing")
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{paid.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}99999/change/").status_code == 404


def test_each_worker_works_off_the_inbox_on_its_rounds(paid: InboxEvent):
    work_off_a_round()
    assert BatteryTransaction.objects.get().amount == 6000


def test_what_is_parked_stands_on_the_home_page_of_who_may_see_it(paid: InboxEvent):
    InboxEvent.objects.update(state="parked")
    assert "1 webhook event is parked" in text(login("Billing").get("/admin/"))
    assert "webhook event" not in text(login("Support").get("/admin/"))
