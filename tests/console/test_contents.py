"""What messages say is read by who may, after a reason, for a while."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.urls import reverse

from chat.models import Conversation, Message, User
from console import contents
from console.models import StaffEvent
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from tests.pages import addresses, make_rows, signed_in

pytestmark = pytest.mark.django_db

SECRET = "My <b>knee</b> hurts"
REASON = "Ticket 4711: the answer breaks off"


@pytest.fixture
def url(db: Any) -> str:
    User.objects.create(id="u1", email="alice@example.com")
    Conversation.objects.bulk_create(Conversation(id=key, user_id="u1", title="Knees") for key in ("c1", "c2"))
    Message.objects.create(
        id="m0", conversation_id="c1", role="user", content=SECRET, created_at="2026-11-22T10:00:00.000Z"
    )
    return reverse("contents", args=["c1"])


def reasons() -> list[tuple[str, str, str]]:
    rows = StaffEvent.objects.filter(action="contents.read").select_related("staff")
    return [(row.staff.username, row.subject, row.detail["reason"]) for row in rows]


@pytest.mark.parametrize("role", [SUPPORT, AUDITOR])
def test_a_reason_shows_the_contents_and_is_kept(url: str, role: str) -> None:
    client = signed_in(role)
    assert "knee" not in client.get(url).text
    assert "Show contents" in client.get(reverse("admin:chat_conversation_change", args=["c1"])).text
    assert client.post(url, {"reason": REASON}).status_code == 302
    shown = client.get(url)
    assert "My &lt;b&gt;knee&lt;/b&gt; hurts" in shown.text
    assert "no-store" in shown["Cache-Control"]
    assert reasons() == [(role.lower(), "c1", REASON)]


@pytest.mark.parametrize("role", [BILLING, OPERATOR])
def test_others_are_not_even_asked(url: str, role: str) -> None:
    client = signed_in(role)
    assert client.get(url).status_code == 403
    assert client.post(url, {"reason": REASON}).status_code == 403
    assert "Show contents" not in client.get(reverse("admin:chat_conversation_change", args=["c1"])).text
    assert reasons() == []


@pytest.mark.parametrize("reason", ["", "short", " " * 50, "x" * 1001])
def test_without_a_reason_nothing_is_shown(url: str, reason: str) -> None:
    client = signed_in(SUPPORT)
    answer = client.post(url, {"reason": reason})
    assert answer.status_code == 400
    assert "knee" not in answer.text + client.get(url).text
    assert reasons() == []


def test_a_reason_is_good_for_one_conversation_one_person_and_half_an_hour(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(SUPPORT)
    Message.objects.create(id="m9", conversation_id="c2", role="user", content="elbow")
    client.post(url, {"reason": REASON})
    assert "elbow" not in client.get(reverse("contents", args=["c2"])).text
    assert "knee" not in signed_in(AUDITOR).get(url).text
    later = time.time() + contents.OPEN_FOR.total_seconds() + 1
    monkeypatch.setattr(contents.time, "time", lambda: later)
    assert "knee" not in client.get(url).text


def test_who_loses_the_role_loses_the_contents_at_once(url: str) -> None:
    client = signed_in(SUPPORT)
    client.post(url, {"reason": REASON})
    StaffEvent.objects.get(action="contents.read").staff.groups.clear()
    assert client.get(url).status_code == 403


def test_a_long_conversation_is_paged_in_its_order(url: str, django_assert_num_queries: Any) -> None:
    rows = [
        Message(id=f"m{n:03}", conversation_id="c1", role="user", content=f"line {n:03}.", created_at=f"2026-11-2{at}")
        for n in range(1, 121)
        for at in [f"3T10:{n // 60:02}:{n % 60:02}.000Z" if n % 2 else f"3 10:{n // 60:02}:{n % 60:02}"]
    ]
    Message.objects.bulk_create(rows)
    client = signed_in(SUPPORT)
    client.post(url, {"reason": REASON})
    seen, where = [], url
    while where:
        with django_assert_num_queries(2, using="omnichat"):
            shown = client.get(where)
        seen += [int(line["words"][5:8]) for line in shown.context["messages_of"] if line["words"].startswith("line")]
        where = f"{url}?after={shown.context['later']}" if shown.context["later"] else ""
    assert seen == list(range(1, 121))


def test_a_huge_message_is_cut(url: str) -> None:
    Message.objects.filter(pk="m0").update(content="x" * (contents.CHARACTERS + 5))
    client = signed_in(SUPPORT)
    client.post(url, {"reason": REASON})
    shown = client.get(url)
    assert "x" * (contents.CHARACTERS + 1) not in shown.text
    assert "Only the first 20,000 characters" in shown.text


def test_a_conversation_that_is_not_there_is_not_found(url: str) -> None:
    assert signed_in(SUPPORT).get(reverse("contents", args=["nobody"])).status_code == 404


def test_without_a_reason_nothing_shows_what_was_said(db: Any) -> None:
    """No page, no search, no file of an export, and not the page of the conversation."""
    make_rows()
    Message.objects.update(content=SECRET, metadata={"attachments": [{"name": SECRET}]})
    client, looked = signed_in(AUDITOR), 0
    for address in addresses():
        if address.pattern.startswith(("admin/chat/", "admin/account/", "admin/find/", "admin/contents/")):
            answers = [client.get(address.url, {"q": "knee"})]
            if address.name.endswith("_export"):
                answers += [client.post(address.url, {"format": kind}) for kind in ("csv", "json", "xlsx")]
            for answer in answers:
                said = b"".join(answer.streaming_content) if answer.streaming else answer.content
                assert b"hurts" not in said, address
                looked += answer.status_code == 200
    assert looked > 20


@pytest.mark.parametrize(
    ("page", "name"),
    [
        *[("admin:chat_message_changelist", f"{column}__{way}")
          for column in ("content", "metadata") for way in ("startswith", "contains", "regex")],
        ("admin:chat_message_changelist", "content"),
        ("admin:chat_conversation_changelist", "messages__content__contains"),
        ("admin:chat_conversation_changelist", "message__content__contains"),
        ("admin:chat_user_changelist", "conversation__message__content__contains"),
    ],
)  # fmt: skip
def test_no_filter_in_an_address_tells_what_was_said(db: Any, page: str, name: str) -> None:
    """Who may not read could else guess it, letter by letter."""
    make_rows()
    Message.objects.update(content=SECRET, metadata={"name": SECRET})
    client = signed_in(BILLING)
    found = [[row.pk for row in client.get(reverse(page), {name: value}).context["cl"].result_list]
             for value in (SECRET, SECRET[:1], "nothing of it")]  # fmt: skip
    assert found[0]
    assert found == [found[0]] * 3
