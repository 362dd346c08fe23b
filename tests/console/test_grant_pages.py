"""The pages of grants: give one, decide on what waits, take back, look, export."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from billing.models import BatteryTransaction, UserBattery
from chat.models import User as Account
from console import grants
from console.grants import Wish, apply, decide
from console.models import Grant, StaffEvent
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from d1.errors import OutcomeUnknown

pytestmark = pytest.mark.django_db
Visitor = Callable[..., Client]
ADD = "/admin/console/grant/add/"
QUEUE = "/admin/console/grant/queue/"
LIST = "/admin/console/grant/"


@pytest.fixture(autouse=True)
def customers(db: Any) -> None:
    for name in ("u1", "u2"):
        Account.objects.create(id=name, email=f"{name}@example.com")
    UserBattery.objects.create(user_id="u1", total_balance=1_000)


@pytest.fixture
def visitor() -> Visitor:
    def log_in(role: str, name: str = "") -> Client:
        user, made = User.objects.get_or_create(username=name or role.lower(), defaults={"is_staff": True})
        if made:
            user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def support(visitor: Visitor) -> Client:
    return visitor(SUPPORT)


@pytest.fixture
def billing(visitor: Visitor) -> Client:
    return visitor(BILLING)


def form(units: Any = 500, **values: Any) -> dict[str, Any]:
    return {"user": "u1", "units": units, "category": "goodwill", "text": "sorry", "key": str(uuid4()), **values}


def told(response: Any) -> list[str]:
    return [html.unescape(re.sub("<[^>]+>", "", str(message))) for message in get_messages(response.wsgi_request)]


def wait(units: int = 9_000) -> Grant:
    """A grant that Support asked for and that is over its limits."""
    person = User.objects.get(username="support")
    (grant,) = decide([Wish("u1", "u1@example.com", units, "goodwill", "sorry")], by=person)
    return grant


def balance() -> int:
    return UserBattery.objects.get(user_id="u1").total_balance or 0


def test_a_grant_is_shown_before_it_is_given(support: Client) -> None:
    page = support.get(ADD, {"user": "u1"})
    assert page.context["form"]["user"].value() == "u1"
    shown = support.post(ADD, form())
    text = shown.content.decode()
    assert "1,000" in text
    assert "1,500" in text
    assert "20,000 units" in text
    assert not Grant.objects.exists()
    assert balance() == 1_000


def test_confirmed_it_is_given_and_said_after_the_commit(support: Client) -> None:
    done = support.post(ADD, form(step="give", ticket="T-1", expires_on="2999-01-01"))
    grant = Grant.objects.get()
    assert done.status_code == 302
    assert done["Location"] == grant.get_absolute_url()
    assert told(done) == ["500 units were granted to u1@example.com. The balance is 1,500 units."]
    assert (grant.state, grant.ticket, str(grant.expires_on)) == ("APPLIED", "T-1", "2999-01-01")
    assert balance() == 1_500


def test_what_the_confirmation_carries_gives_what_it_showed(support: Client) -> None:
    shown = support.post(ADD, form(units=42, text='<b>"sorry"</b>'))
    pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown.content.decode())
    values = {name: html.unescape(value) for name, value in pairs}
    support.post(ADD, {**values, "step": "give"})
    grant = Grant.objects.get()
    assert (grant.units, grant.text) == (42, '<b>"sorry"</b>')
    page = support.get(grant.get_absolute_url()).content.decode()
    assert "<b>" not in page.split("History")[0].split("Reason")[1]


def test_sent_twice_it_is_one_grant(support: Client) -> None:
    sent = form(step="give")
    first, again = support.post(ADD, sent), support.post(ADD, sent)
    assert first["Location"] == again["Location"]
    assert told(again)[-1] == "500 units had been granted to u1@example.com already."
    assert balance() == 1_500


def test_gone_back_and_sent_again_with_other_units_it_leads_to_the_first_grant(support: Client) -> None:
    sent = form(step="give")
    first = support.post(ADD, sent)
    changed = support.post(ADD, {**sent, "units": 600})
    assert changed["Location"] == first["Location"]
    assert "This form was sent before" in told(changed)[-1]
    assert balance() == 1_500


def test_above_a_limit_one_is_told_that_it_will_wait(support: Client) -> None:
    shown = support.post(ADD, form(5_001)).content.decode()
    assert "wait for a second person" in shown
    assert "5,001 units are over the 5,000 of one grant." in shown
    done = support.post(ADD, form(5_001, step="give"))
    assert "It waits for a second person" in told(done)[0]
    assert balance() == 1_000


def test_limits_that_were_lowered_meanwhile_hold(support: Client, settings: Any) -> None:
    assert "wait for a second person" not in support.post(ADD, form()).content.decode()
    settings.GRANT_LIMITS = {SUPPORT: {"grant": 100, "day": 100, "recipient": 100}}
    assert "waits" in told(support.post(ADD, form(step="give")))[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"user": "u9"}, "no such user"),
        ({"user": ""}, "required"),
        ({"units": 0}, "greater than or equal to 1"),
        ({"units": "many"}, "whole number"),
        ({"units": "1_0"}, "whole number"),
        ({"units": "１０"}, "whole number"),
        ({"units": "+10"}, "whole number"),
        ({"units": 10**30}, "less than or equal"),
        ({"category": "bribe"}, "not one of the available"),
        ({"text": " "}, "required"),
        ({"text": "a\0b"}, "Null characters"),
        ({"expires_on": "2020-01-01"}, "over"),
        ({"key": "x"}, "UUID"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(support: Client, values: dict[str, Any], words: str) -> None:
    for step in ({}, {"step": "give"}):
        page = support.post(ADD, {**form(**values), **step})
        assert page.status_code == 400
        assert words in html.unescape(page.content.decode())
    assert not Grant.objects.exists()


def test_a_balance_that_cannot_be_read_is_told(support: Client) -> None:
    UserBattery.objects.update(total_balance=2**60)
    page = support.post(ADD, form())
    assert page.status_code == 400
    assert "mend it first" in page.content.decode()


@pytest.mark.parametrize("trouble", [OutcomeUnknown("lost"), OperationalError("database is locked")])
def test_what_the_database_did_not_take_is_told_and_not_lost(support: Client, trouble: Exception) -> None:
    with patch.object(grants, "post", side_effect=trouble):
        done = support.post(ADD, form(step="give"))
    assert "within minutes, once" in told(done)[0]
    assert Grant.objects.get().state == "APPROVED"


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_who_may_not_grant_sees_no_way_and_is_refused(visitor: Visitor, role: str) -> None:
    client = visitor(role)
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, form(step="give")).status_code == 403
    assert client.get("/admin/console/grant/bulk/").status_code == 403
    assert client.get(QUEUE).status_code == 403
    assert "Grant battery" not in client.get(LIST).content.decode()
    assert "Grant battery" not in client.get("/admin/chat/user/u1/change/").content.decode()


def test_the_page_of_a_user_leads_to_a_grant(support: Client) -> None:
    assert f"{ADD}?user=u1" in support.get("/admin/chat/user/u1/change/").content.decode()


def test_what_waits_is_approved_by_a_second_person(support: Client, billing: Client) -> None:
    one, two = wait(), wait(8_000)
    assert "(2)" in billing.get(LIST).content.decode()
    shown = billing.get(QUEUE).content.decode()
    assert str(one.pk) in shown
    assert "over the 5,000" in shown
    done = billing.post(QUEUE, {"grant": [str(one.pk), str(two.pk)], "decision": "approve", "text": "fine"})
    assert told(done) == ["2 grants were approved, 2 are in the batteries."]
    assert balance() == 18_000
    assert set(Grant.objects.values_list("state", "decision")) == {("APPLIED", "fine")}
    assert StaffEvent.objects.filter(action="grant.approved").count() == 2
    assert "Nothing waits for you" in billing.get(QUEUE).content.decode()


def test_a_rejection_takes_a_reason(support: Client, billing: Client) -> None:
    grant = wait()
    page = billing.post(QUEUE, {"grant": str(grant.pk), "decision": "reject", "text": ""})
    assert page.status_code == 400
    assert "Say why" in page.content.decode()
    done = billing.post(QUEUE, {"grant": str(grant.pk), "decision": "reject", "text": "no"})
    assert told(done) == ["1 grant was rejected."]
    assert balance() == 1_000


@pytest.mark.parametrize("sent", [{}, {"grant": "x"}, {"grant": str(uuid4()), "decision": "burn"}])
def test_a_decision_on_nothing_is_told(billing: Client, sent: dict[str, str]) -> None:
    page = billing.post(QUEUE, {"decision": "approve", **sent})
    assert page.status_code == 400


def test_of_two_who_decide_the_second_is_told(support: Client, billing: Client, visitor: Visitor) -> None:
    grant = wait()
    sent = {"grant": str(grant.pk), "decision": "approve"}
    billing.post(QUEUE, sent)
    late = visitor(BILLING, "carol").post(QUEUE, {**sent, "decision": "reject", "text": "no"})
    assert told(late) == ["1 grant no longer waits: somebody else decided on it."]
    assert balance() == 10_000


def test_ones_own_are_not_in_the_queue_and_cannot_be_approved(billing: Client) -> None:
    billing.post(ADD, form(60_000, step="give"))
    grant = Grant.objects.get()
    assert str(grant.pk) not in billing.get(QUEUE).content.decode()
    billing.post(QUEUE, {"grant": str(grant.pk), "decision": "approve"})
    grant.refresh_from_db()
    assert grant.state == "REQUESTED"


@pytest.mark.parametrize(("shown", "words"), [(1, "2 more wait after"), (2, "1 more waits after"), (3, "")])
def test_the_queue_says_how_many_more_wait(
    support: Client, billing: Client, monkeypatch: pytest.MonkeyPatch, shown: int, words: str
) -> None:
    for _ in range(3):
        wait()
    monkeypatch.setattr("console.grant_pages.QUEUED", shown)
    page = billing.get(QUEUE).text
    assert page.count('name="grant"') == shown
    assert (words in page) if words else ("more wait" not in page)


def test_a_lost_answer_of_an_approval_is_told(support: Client, billing: Client) -> None:
    grant = wait()
    with patch.object(grants, "post", side_effect=OutcomeUnknown("lost")):
        done = billing.post(QUEUE, {"grant": str(grant.pk), "decision": "approve"})
    assert "within minutes" in told(done)[0]


def test_a_grant_is_taken_back_by_its_page(billing: Client) -> None:
    billing.post(ADD, form(step="give"))
    grant = Grant.objects.get()
    where = reverse("admin:console_grant_reversal", args=[grant.pk])
    assert where in billing.get(grant.get_absolute_url()).content.decode()
    assert billing.get(where).context["form"]["units"].value() == 500
    assert billing.post(where, {"units": 501, "text": "x"}).status_code == 302
    assert balance() == 1_500
    done = billing.post(where, {"units": 200, "text": "too much"})
    assert told(done)[-1] == "200 units were taken back."
    assert balance() == 1_300
    again = billing.post(where, {"units": 200, "text": "too much"})
    assert "already" in told(again)[-1]
    assert balance() == 1_300
    page = billing.get(grant.get_absolute_url()).content.decode()
    assert "200 of 500 units. too much" in page
    assert where not in page
    assert "already" in told(billing.get(where))[-1]


def test_support_takes_back_its_own_alone(support: Client, visitor: Visitor) -> None:
    support.post(ADD, form(step="give"))
    where = reverse("admin:console_grant_reversal", args=[Grant.objects.get().pk])
    assert support.get(where).status_code == 200
    assert visitor(SUPPORT, "amy").get(where).status_code == 403
    assert visitor(AUDITOR).post(where, {"units": 1, "text": "x"}).status_code == 403


def test_the_page_of_a_grant_tells_who_did_what_and_when(support: Client, billing: Client) -> None:
    grant = wait()
    assert "Waits for a second person" in support.get(grant.get_absolute_url()).content.decode()
    billing.post(QUEUE, {"grant": str(grant.pk), "decision": "approve", "text": "fine"})
    page = support.get(grant.get_absolute_url()).content.decode()
    for words in ("support", "billing", "fine", "Approved", "In the battery", f"grant_3A{grant.pk}"):
        assert words in page
    assert support.get(reverse("admin:console_grant_change", args=[uuid4()])).status_code == 404
    assert support.get("/admin/console/grant/nonsense/change/").status_code == 404


@pytest.fixture
def several(support: Client, billing: Client) -> None:
    billing.post(ADD, form(10, step="give", user="u2", text="=1+1", ticket="T-7"))
    support.post(ADD, form(20, step="give", category="outage"))
    apply(decide([Wish("u1", "u1@example.com", 30, "test", "x")], by="operator (grant_battery)"))
    wait(6_000)


@pytest.mark.parametrize(
    ("query", "units"),
    [
        ("", [10, 20, 30, 6_000]),
        ("?state__exact=REQUESTED", [6_000]),
        ("?category__exact=outage", [20]),
        ("?by=me", [10]),
        ("?by=command", [30]),
        ("?by=999999999999999999999", [10, 20, 30, 6_000]),
        ("?period=day", [10, 20, 30, 6_000]),
        ("?period=century", [10, 20, 30, 6_000]),
        ("?q=T-7", [10]),
        ("?q=u2", [10]),
        ("?q=U2@exam", [10]),
        ("?q=nobody", []),
        ("?nonsense=1", [10, 20, 30, 6_000]),
    ],
)
def test_the_list_is_filtered_and_searched(several: None, billing: Client, query: str, units: list[int]) -> None:
    page = billing.get(LIST + query)
    assert page.status_code == 200
    assert sorted(grant.units for grant in page.context["cl"].result_list) == units


def test_a_grant_is_found_by_its_id(several: None, billing: Client) -> None:
    grant = Grant.objects.get(units=20)
    assert [found.pk for found in billing.get(LIST, {"q": str(grant.pk)}).context["cl"].result_list] == [grant.pk]


def test_the_list_makes_as_many_queries_for_many_as_for_few(
    several: None, billing: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(12, using="default"):
        billing.get(LIST)
    with django_assert_max_num_queries(0, using="omnichat"):
        billing.get(LIST)


def test_the_list_is_exported_as_filtered_and_harmless(several: None, billing: Client) -> None:
    where = reverse("admin:console_grant_export") + "?q=T-7"
    assert billing.get(where).status_code == 200
    response: Any = billing.post(where, {"format": "csv"})
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    (row,) = list(csv.DictReader(io.StringIO(text)))
    assert (row["units"], row["reason"], row["requested_by"], row["state"]) == ("10", "'=1+1", "billing", "APPLIED")
    event = StaffEvent.objects.get(action="export")
    assert (event.subject, event.detail["filters"]) == ("console.grant", "q=T-7")


def test_support_exports_nothing(support: Client) -> None:
    assert support.post(reverse("admin:console_grant_export"), {"format": "csv"}).status_code == 403


@pytest.mark.parametrize("role", [SUPPORT, BILLING, OPERATOR, AUDITOR])
def test_nobody_edits_or_deletes_a_grant(visitor: Visitor, role: str) -> None:
    apply(decide([Wish("u1", "", 30, "test", "x")], by="operator"))
    grant = Grant.objects.get()
    client = visitor(role)
    assert client.get(grant.get_absolute_url()).status_code == 200
    assert client.post(grant.get_absolute_url(), {"units": 5}).status_code in (200, 403, 405)
    assert client.post(reverse("admin:console_grant_delete", args=[grant.pk]), {"post": "yes"}).status_code == 403
    grant.refresh_from_db()
    assert grant.units == 30


def test_an_entry_of_the_ledger_leads_to_its_grant() -> None:
    from billing.causes import causes_of

    apply(decide([Wish("u1", "", 30, "test", "x")], by="operator"))
    entry = BatteryTransaction.objects.get()
    assert Grant.objects.get().get_absolute_url() in [cause.url for cause in causes_of(entry)]


def test_the_home_page_says_what_waits(support: Client, billing: Client) -> None:
    wait()
    assert "1 grant waits for you" in billing.get("/admin/").content.decode()
    assert "grant waits for you" not in support.get("/admin/").content.decode()
