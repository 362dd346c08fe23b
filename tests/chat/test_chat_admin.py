"""The pages of accounts, conversations and messages: what they show, and how an edit is saved."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, User
from database.models import AuditLog

pytestmark = pytest.mark.django_db


def change(name: str, pk: str) -> str:
    return reverse(f"admin:chat_{name}_change", args=[pk])


def listed(client: Client, name: str, **parameters: str) -> list[str]:
    response = client.get(f"{reverse(f'admin:chat_{name}_changelist')}?{urlencode(parameters)}")
    return [row.pk for row in response.context["cl"].result_list]


def inputs(response: Any) -> dict[str, str]:
    """What a browser would send of the page's form, untouched."""
    form = response.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    values |= {name: html.unescape(value) for name, value in _hidden(response)}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _hidden(response: Any) -> list[tuple[str, str]]:
    return re.findall(r'<input type="hidden" name="(shown-[^"]+)" value="([^"]*)"', response.content.decode())


@pytest.fixture
def alice(db: Any) -> User:
    User.objects.create(
        id="user_alice", email="alice@example.com", name="Alice", tier="free", subscription_status="inactive",
        created_at="2026-11-22T14:03:09.123Z",
    )  # fmt: skip
    return User.objects.get(pk="user_alice")


def test_a_user_is_saved_with_an_entry_of_what_was_before_and_after(admin_client: Client, alice: User) -> None:
    form = inputs(admin_client.get(change("user", alice.pk)))
    response = admin_client.post(change("user", alice.pk), {**form, "name": "Alice B."}, follow=True)
    assert "was changed successfully" in response.content.decode()
    alice.refresh_from_db()
    assert alice.name == "Alice B."
    entry = AuditLog.objects.get()
    assert (entry.action, entry.user_id, entry.resource_id) == ("users.update", alice.pk, alice.pk)
    assert entry.metadata["before"] == {"name": "Alice"}
    assert entry.metadata["after"] == {"name": "Alice B."}
    assert entry.metadata["by"]["username"] == "admin"
    assert LogEntry.objects.get().object_id == alice.pk


def test_the_second_of_two_editors_is_told_and_overwrites_nothing(admin_client: Client, alice: User) -> None:
    form = inputs(admin_client.get(change("user", alice.pk)))
    User.objects.filter(pk=alice.pk).update(name="Somebody else's")
    response = admin_client.post(change("user", alice.pk), {**form, "name": "Mine"})
    assert response.status_code == 409
    page = response.content.decode()
    assert "Somebody else has changed this row" in page
    assert "Somebody else&#x27;s" in page
    assert 'value="Mine"' in page, "what was typed is still there"
    alice.refresh_from_db()
    assert alice.name == "Somebody else's"
    assert not AuditLog.objects.exists()
    assert not LogEntry.objects.exists()


def test_an_email_of_somebody_else_is_refused(admin_client: Client, alice: User) -> None:
    User.objects.create(id="user_bob", email="bob@example.com")
    form = inputs(admin_client.get(change("user", alice.pk)))
    response = admin_client.post(change("user", alice.pk), {**form, "email": "bob@example.com"})
    assert response.status_code in (200, 409)
    assert "already" in response.content.decode()
    assert not AuditLog.objects.exists()


def test_a_form_without_changes_writes_nothing(admin_client: Client, alice: User) -> None:
    form = inputs(admin_client.get(change("user", alice.pk)))
    assert admin_client.post(change("user", alice.pk), form).status_code == 302
    assert not AuditLog.objects.exists()
    before, alice.updated_at = alice.updated_at, None
    alice.refresh_from_db()
    assert alice.updated_at == before


def test_an_odd_value_stays_when_something_else_is_saved(admin_client: Client) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (id, email, subscriptionStatus, subscriptionId, createdAt) "
            "VALUES ('user_1', 'a@example.com', 'dreaming', x'00ff', 'yesterday')"
        )
        form = inputs(admin_client.get(change("user", "user_1")))
        assert admin_client.post(change("user", "user_1"), {**form, "name": "A"}).status_code == 302
        cursor.execute("SELECT name, subscriptionStatus, subscriptionId, createdAt FROM users WHERE id = 'user_1'")
        assert cursor.fetchone() == ("A", "dreaming", b"\x00\xff", "yesterday")


@pytest.mark.sqlite_only("D1 has neither BEGIN nor SAVEPOINT")
def test_saving_costs_four_queries_and_one_transaction(admin_client: Client, alice: User) -> None:
    form = inputs(admin_client.get(change("user", alice.pk)))
    with CaptureQueriesContext(connections["omnichat"]) as captured:
        admin_client.post(change("user", alice.pk), {**form, "name": "Alice B."})
    statements = [query["sql"] for query in captured.captured_queries]
    asked = [sql for sql in statements if not sql.startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))]
    assert len(asked) <= 4, asked
    begin = next(number for number, sql in enumerate(statements) if sql.startswith(("SAVEPOINT", "BEGIN")))
    assert not [sql for sql in statements[:begin] if not sql.startswith("SELECT")]


def test_the_content_of_messages_is_nowhere(admin_client: Client) -> None:
    Conversation.objects.create(id="c1", title="Sums")
    Message.objects.create(
        id="m1", conversation_id="c1", role="user", content="secret words", metadata={"attachments": ["secret.pdf"]}
    )
    for path in (reverse("admin:chat_message_changelist"), change("message", "m1"), change("conversation", "c1")):
        page = admin_client.get(path).content.decode()
        assert "secret" not in page
    assert '12 <span class="unit">characters' in admin_client.get(change("message", "m1")).content.decode()
    assert (
        '12 <span class="unit">characters'
        in admin_client.get(reverse("admin:chat_message_changelist")).content.decode()
    )


def test_a_user_leads_to_all_that_belongs_to_it(admin_client: Client, alice: User) -> None:
    page = admin_client.get(change("user", alice.pk)).content.decode()
    for name in (
        "chat_conversation", "chat_apiusage", "chat_dailyusagesummary", "billing_batterytransaction",
        "billing_usersubscription", "database_auditlog",
    ):  # fmt: skip
        url = f"{reverse(f'admin:{name}_changelist')}?user={alice.pk}"
        assert f'href="{url}"' in page
        assert admin_client.get(url).status_code == 200


def test_a_moment_is_told_in_words_and_to_the_millisecond(admin_client: Client, alice: User) -> None:
    page = admin_client.get(reverse("admin:chat_user_changelist")).content.decode()
    assert "22 Nov 2026, 14:03 UTC" in page
    assert 'datetime="2026-11-22T14:03:09.123Z"' in page


def test_rows_are_found_through_their_user(admin_client: Client, alice: User) -> None:
    User.objects.create(id="user_bob", email="bob@example.com")
    for user in ("user_alice", "user_bob"):
        Conversation.objects.create(id=f"c_{user}", user_id=user, title="Sums")
        Message.objects.create(id=f"m_{user}", conversation_id=f"c_{user}", role="user", content="?")
        ApiUsage.objects.create(id=f"a_{user}", user_id=user, model="gpt")
        DailyUsageSummary.objects.create(id=f"d_{user}", user_id=user, date="2026-11-22")
    for name, letter in (("conversation", "c"), ("message", "m"), ("apiusage", "a"), ("dailyusagesummary", "d")):
        for term in ("user_alice", "alice@", "ALICE@example.com", f"{letter}_user_alice"):
            assert listed(admin_client, name, q=term) == [f"{letter}_user_alice"], (name, term)
    assert listed(admin_client, "message", q="c_user_bob") == ["m_user_bob"]
    assert listed(admin_client, "message", q="nobody@") == []


def test_flags_filter_with_null_as_no(admin_client: Client) -> None:
    for number, pinned in enumerate((True, False, None)):
        Conversation.objects.create(id=f"c{number}", title="Sums", pinned=pinned)
    assert listed(admin_client, "conversation", pinned="yes") == ["c0"]
    assert set(listed(admin_client, "conversation", pinned="no")) == {"c1", "c2"}


def test_models_are_offered_as_the_page_has_them(admin_client: Client) -> None:
    for model in ("gpt", "claude", None):
        ApiUsage.objects.create(id=f"a_{model}", model=model)
    page = admin_client.get(reverse("admin:chat_apiusage_changelist")).content.decode()
    assert 'href="?model=claude"' in page
    assert listed(admin_client, "apiusage", model="claude") == ["a_claude"]
