"""A person's data handed over as a zip, and a person deleted: what goes, what stays, and who may."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, TransactionType, UserBattery, UserSubscription
from chat.models import ApiUsage, Conversation, DailyUsageSummary, Message, User
from console import person_deletion, person_export, person_files, person_tables
from console.account import account_url
from console.jobs import retry, work_off
from console.models import Finding, Grant, GrantBulk, InboxEvent, InboxState, Job, JobState, Note, ResyncRun, StaffEvent
from console.person import GONE, NOBODY, made_up_email
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from database.edits import cell_of, save_changes
from database.models import AuditLog

pytestmark = pytest.mark.django_db
ALICE, BOB = "user_alice", "user_bob"
EXPORT, DELETE = (f"/admin/account/{quote(ALICE)}/{part}/" for part in ("export", "delete"))
#: Why somebody exports.
WHY = {"reason": "They asked for it, ticket 4711"}
EMAIL = "alice@example.com"
SECRETS = (EMAIL, "Alice Liddell", "my diagnosis", "What I told", "calls on Mondays")


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Iterator[Path]:
    files = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "exports"}}
    with override_settings(STORAGES={**settings.STORAGES, "exports": files}):
        yield tmp_path / "exports"


@pytest.fixture(autouse=True)
def people() -> None:
    """Alice has some of everything, an ended subscription among it; Bob is told apart from her."""
    for key, email, name in ((ALICE, EMAIL, "Alice Liddell"), (BOB, "bob@example.com", "Bob")):
        User.objects.create(
            id=key, email=email, name=name, avatar_url="https://x.example/a.png", tier="free",
            subscription_status="canceled", stripe_customer_id=f"cus_{key}", created_at="2026-01-01 10:00:00",
        )  # fmt: skip
        UserSubscription.objects.create(id=f"s-{key}", user_id=key, plan_id="power", status="canceled")
        post([Entry(f"purchase:{key}", key, TransactionType.PURCHASE, 500)], by="test")
        for n in (1, 2):
            talk = Conversation.objects.create(id=f"{key}-{n}", user_id=key, title="my diagnosis")
            Message.objects.create(
                id=f"{key}-m{n}", conversation=talk, role="user", content="=What I told", metadata={}
            )
        ApiUsage.objects.create(
            id=f"u-{key}", user_id=key, model="gpt", battery_used=3, date="2026-11-01",
            conversation_id=f"{key}-1", message_id=f"{key}-m1", created_at="2026-11-01 10:00:00",
        )  # fmt: skip
        DailyUsageSummary.objects.create(id=f"d-{key}", user_id=key, date="2026-11-01", total_battery_used=3)


@pytest.fixture
def traces() -> None:
    """What the console and the audit log know of Alice."""
    alice = User.objects.get(pk=ALICE)
    save_changes(alice, shown={"name": cell_of(alice, "name")}, changed={"name": "Alice Liddell"}, by="support")
    kind = ContentType.objects.get_for_model(User)
    staff = Login.objects.create_user("helper")
    LogEntry.objects.create(user=staff, content_type=kind, object_id=ALICE, object_repr=EMAIL, action_flag=CHANGE)
    Note.objects.create(user_id=ALICE, text="calls on Mondays")
    rows = [{"row": 1, "user_id": ALICE, "email": EMAIL}, {"row": 2, "user_id": BOB, "email": "bob@example.com"}]
    bulk = GrantBulk.objects.create(rows=rows, category="outage")
    Grant.objects.create(
        user_id=ALICE, email=EMAIL, units=5, category="outage", text="sorry", state="APPLIED",
        requested_at=timezone.now(), bulk=bulk,
    )  # fmt: skip
    for number, state in enumerate((InboxState.PROCESSED, InboxState.PARKED)):
        InboxEvent.objects.create(
            source="clerk", event_id=f"msg_{number}", type="user.updated", subject=ALICE, state=state,
            payload=json.dumps({"email": EMAIL}), effect=[f"email: {EMAIL}"], error=EMAIL,
        )  # fmt: skip
    run = ResyncRun.objects.create(started_by="helper")
    differs = {"found": EMAIL, "expected": EMAIL, "reason": EMAIL, "last_seen_at": timezone.now()}
    Finding.objects.create(kind="email", user_id=ALICE, subject=ALICE, run=run, **differs)


def zipped(client: Client) -> zipfile.ZipFile:
    assert client.post(EXPORT, WHY).status_code == 302
    work_off()
    job = Job.objects.get(kind="person.export")
    assert job.state == JobState.DONE, job.error
    answer = client.get(f"/admin/person-files/{job.pk}/")
    assert answer.status_code == 200
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))  # type: ignore[attr-defined]


# Handing over


@pytest.mark.usefixtures("traces")
def test_the_zip_has_all_of_the_person_as_csv_and_json_and_nothing_of_others(enter: Any) -> None:
    archive = zipped(enter(SUPPORT))
    names = {name for name in archive.namelist() if name != "README.txt"}
    own = ("findings", "grants", "notes", "staff_events", "webhook_events")
    tables = {f"omnichat/{part.table}" for part in person_tables.PARTS} | {f"console/{name}" for name in own}
    assert names == {f"{table}.{kind}" for table in tables for kind in ("csv", "json")}
    for table in tables:
        text = archive.read(f"{table}.json").decode()
        rows = json.loads(text)
        assert rows, table
        assert BOB not in text
        listed = list(csv.DictReader(io.StringIO(archive.read(f"{table}.csv").decode("utf-8-sig"))))
        assert len(listed) == len(rows)
        assert list(listed[0]) == list(rows[0])
    messages = json.loads(archive.read("omnichat/messages.json"))
    assert [row["content"] for row in messages] == ["=What I told"] * 2
    assert b",'=What I told," in archive.read("omnichat/messages.csv"), "no formula"
    assert ALICE in archive.read("README.txt").decode()


@pytest.mark.parametrize("role", [BILLING, OPERATOR])
def test_what_messages_say_is_in_no_zip_of_who_may_not_read_it(enter: Any, role: str) -> None:
    archive = zipped(enter(role))
    assert "What messages say is left out" in archive.read("README.txt").decode()
    assert all(b"What I told" not in archive.read(name) for name in archive.namelist())
    assert [row["id"] for row in json.loads(archive.read("omnichat/messages.json"))] == [
        f"{ALICE}-m{n}" for n in (1, 2)
    ]


def test_who_may_read_messages_no_more_gets_no_zip_that_has_them(enter: Any) -> None:
    client = enter(SUPPORT)
    zipped(client)
    Login.objects.get(username=SUPPORT).groups.set([Group.objects.get(name=BILLING)])
    assert client.get(f"/admin/person-files/{Job.objects.get().pk}/").status_code == 403


def test_pages_of_any_size_bring_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Message.objects.bulk_create(
        Message(id=f"more{n}", conversation_id=f"{ALICE}-{1 + (n > 6)}", role="user", content="x") for n in range(11)
    )
    for size in (1, 2, 3, 100):
        monkeypatch.setattr(person_tables, "PAGE", size)
        for part in person_tables.PARTS:
            found = [row.pk for page in person_tables.pages(part, ALICE) for row in page]
            assert len(found) == len(set(found)) == person_tables.count_rows(ALICE)[part.table], (part.table, size)


def test_requests_grow_with_pages_and_not_with_conversations() -> None:
    talks = [Conversation(id=f"talk{n:03}", user_id=ALICE, title="x") for n in range(120)]
    Conversation.objects.bulk_create(talks)
    Message.objects.bulk_create(
        Message(id=f"t{n}", conversation=each, role="user", content="x") for n, each in enumerate(talks)
    )
    with CaptureQueriesContext(connections["omnichat"]) as queries:
        person_files.write_zip(io.BytesIO(), ALICE, contents=True)
    # A page of each table; of the messages also the conversations, with how many each has.
    assert len(queries) == len(person_tables.PARTS) + 1


@pytest.mark.parametrize(("role", "may"), [(SUPPORT, True), (BILLING, True), (OPERATOR, True), (AUDITOR, False)])
def test_only_who_may_export_is_offered_it_and_it_is_recorded(enter: Any, role: str, may: bool) -> None:
    client = enter(role)
    assert (EXPORT in client.get(account_url(ALICE)).content.decode()) is may
    assert client.get(EXPORT).status_code == (200 if may else 403)
    assert client.post(EXPORT, WHY).status_code == (302 if may else 403)
    events = StaffEvent.objects.filter(action="person.export", subject=ALICE, staff__username=role)
    assert [event.detail["reason"] for event in events] == [WHY["reason"]] * may


@pytest.mark.parametrize("reason", ["", "short", "x" * 1001])
def test_without_a_reason_nothing_is_exported(enter: Any, reason: str) -> None:
    """Messages are in the file, of which no page shows one without a reason."""
    answer = enter(BILLING).post(EXPORT, {"reason": reason})
    assert (answer.status_code, Job.objects.count()) == (400, 0)
    assert "Give a reason of 10 to 1000 characters" in answer.content.decode()


def test_who_asked_fetches_the_file_for_a_day_and_nobody_else_ever(enter: Any, storage: Path) -> None:
    owner, other = enter(BILLING), enter(BILLING, "second")
    zipped(owner)
    job = Job.objects.get()
    address = f"/admin/person-files/{job.pk}/"
    assert address in owner.get(EXPORT).content.decode()
    assert address not in other.get(EXPORT).content.decode()
    assert other.get(address).status_code == 403
    assert StaffEvent.objects.filter(action="person.download", subject=ALICE).count() == 1
    (file,) = storage.iterdir()
    Job.objects.update(ended_at=timezone.now() - timedelta(days=1, seconds=1))
    assert owner.get(address)["Location"] == EXPORT
    assert "no longer kept" in owner.get(EXPORT).content.decode()
    assert person_export.remove_old() == 0
    os.utime(file, (0, 0))
    assert person_export.remove_old() == 1
    assert list(storage.iterdir()) == []


def test_asking_twice_is_one_job_until_it_has_ended(enter: Any) -> None:
    client = enter(OPERATOR)
    for _ in range(2):
        client.post(EXPORT, WHY)
    assert Job.objects.count() == 1
    work_off()
    client.post(EXPORT, WHY)
    assert Job.objects.count() == 2


def test_a_file_that_no_job_of_this_kind_made_is_not_found(enter: Any) -> None:
    client = enter(OPERATOR)
    other = Job.objects.create(kind="x", title="x", state=JobState.DONE, ended_at=timezone.now())
    for number in (other.pk, 10**18):
        assert client.get(f"/admin/person-files/{number}/").status_code == 404


# Deleting


def delete_alice(client: Client) -> Job:
    assert client.post(DELETE, {"email": f" {EMAIL.upper()} "}).status_code == 302
    work_off()
    return Job.objects.filter(kind="person.delete").latest("pk")


def everything(table: str) -> str:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return str(cursor.fetchall())


@pytest.mark.usefixtures("traces")
def test_what_they_wrote_goes_and_what_accounting_needs_stays_under_a_made_up_name(enter: Any) -> None:
    ledger, bobs = list(BatteryTransaction.objects.values()), person_tables.count_rows(BOB)
    job = delete_alice(enter(OPERATOR))
    assert job.state == JobState.DONE, job.error
    user = User.objects.get(pk=ALICE)
    assert (user.email, user.name, user.avatar_url) == (made_up_email(ALICE), NOBODY, None)
    assert user.stripe_customer_id == f"cus_{ALICE}", "Stripe's invoices have to be found"
    assert not Message.objects.filter(conversation__user_id=ALICE).exists()
    assert not Conversation.objects.filter(user_id=ALICE).exists()
    used = ApiUsage.objects.get(user_id=ALICE)
    assert (used.battery_used, used.conversation_id, used.message_id) == (3, None, None)
    assert list(BatteryTransaction.objects.values()) == ledger
    assert UserSubscription.objects.filter(user_id=ALICE).exists()
    assert UserBattery.objects.get(pk=ALICE).total_balance == 500
    assert DailyUsageSummary.objects.filter(user_id=ALICE).exists()
    assert person_tables.count_rows(BOB) == bobs
    assert User.objects.get(pk=BOB).name == "Bob"


@pytest.mark.usefixtures("traces")
def test_no_word_of_the_person_is_left_anywhere(enter: Any) -> None:
    zipped(enter(BILLING))
    delete_alice(enter(OPERATOR))
    Conversation.objects.filter(user_id=BOB).update(title="x")
    Message.objects.update(content="x")
    tables = [*(part.table for part in person_tables.PARTS)]
    texts = {table: everything(table) for table in tables}
    own = {
        model.__name__: str(list(model.objects.values()))
        for model in (Finding, Grant, GrantBulk, Note, Job, StaffEvent)
    }
    own["LogEntry"] = str(list(LogEntry.objects.values()))
    worked_off = InboxEvent.objects.filter(state=InboxState.PROCESSED)
    for name, text in {**texts, **own, "InboxEvent": str(list(worked_off.values()))}.items():
        assert not [secret for secret in SECRETS if secret in text], name
    assert EMAIL in InboxEvent.objects.get(state=InboxState.PARKED).payload, "one that still waits needs it"
    entry = AuditLog.objects.get(action="users.update")
    assert entry.metadata["before"] == {"name": GONE}
    assert not list(person_export.storage().listdir("")[1])


def test_each_batch_has_its_entry_in_the_audit_log(enter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_deletion, "PAGE", 1)
    job = delete_alice(enter(OPERATOR))
    entries = AuditLog.objects.filter(user_id=ALICE, action__in=("person.delete", "person.redact"))
    told = sorted((entry.resource_type, entry.metadata["rows"]) for entry in entries)
    assert told == [("api_usage", 1), ("conversations", 2), ("messages", 1), ("messages", 1), ("users", 1)]
    assert {entry.metadata["by"]["username"] for entry in entries} == {OPERATOR}
    assert {entry.metadata["job"] for entry in entries} == {job.pk}


@pytest.mark.parametrize("step", range(1, 10))
def test_a_job_that_is_killed_after_any_step_goes_on_and_ends_the_same(
    enter: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(person_deletion, "PAGE", 1)
    advance, steps = person_deletion.Deletion._advance, 0

    def killed(self: Any, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise RuntimeError("killed")
        advance(self, *args)

    monkeypatch.setattr(person_deletion.Deletion, "_advance", killed)
    job = delete_alice(enter(OPERATOR))
    assert job.state == JobState.FAILED
    assert "is not deleted" not in job.error
    assert retry(job)
    work_off()
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert job.result["left"]["users"] == 1
    assert not Conversation.objects.filter(user_id=ALICE).exists()
    assert User.objects.get(pk=ALICE).email == made_up_email(ALICE)
    assert StaffEvent.objects.filter(action="person.deleted").count() == 1


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_who_still_pays_is_not_deleted_nor_by_a_job_that_waited(enter: Any, status: str) -> None:
    client = enter(OPERATOR)
    assert client.post(DELETE, {"email": EMAIL}).status_code == 302
    UserSubscription.objects.filter(user_id=ALICE).update(status=status)
    work_off()
    job = Job.objects.get()
    assert (job.state, "cancel it in Stripe first" in job.error) == (JobState.FAILED, True)
    assert Message.objects.filter(conversation__user_id=ALICE).count() == 2
    page = client.get(DELETE).content.decode()
    assert "cancel it in Stripe first" in page
    assert 'name="email"' not in page
    assert client.post(DELETE, {"email": EMAIL}).status_code == 400
    assert Job.objects.count() == 1


def test_a_profile_that_says_active_is_resynced_first(enter: Any) -> None:
    User.objects.filter(pk=ALICE).update(subscription_status="active")
    answer = enter(OPERATOR).post(DELETE, {"email": EMAIL})
    assert "resync the user" in answer.content.decode()


@pytest.mark.parametrize("typed", ["", "bob@example.com", ALICE])
def test_the_email_has_to_be_typed(enter: Any, typed: str) -> None:
    answer = enter(OPERATOR).post(DELETE, {"email": typed})
    assert answer.status_code == 400
    assert "nothing was deleted" in answer.content.decode()
    assert not Job.objects.exists()


@pytest.mark.parametrize("role", [SUPPORT, BILLING, AUDITOR])
def test_nobody_but_an_operator_deletes(enter: Any, role: str) -> None:
    client = enter(role)
    assert client.get(DELETE).status_code == client.post(DELETE, {"email": EMAIL}).status_code == 403
    assert DELETE not in client.get(account_url(ALICE)).content.decode()


def test_the_preview_tells_what_goes_and_what_stays(enter: Any) -> None:
    client = enter(OPERATOR)
    with CaptureQueriesContext(connections["omnichat"]) as queries:
        page = client.get(DELETE).content.decode()
    assert len(queries) == 2
    for words in ("Messages", "with their contents", "Ledger", f"cus_{ALICE}", "Clerk", "Backups"):
        assert words in page


def test_the_account_says_that_the_person_was_deleted_and_by_whom(enter: Any) -> None:
    client = enter(OPERATOR)
    client.post(DELETE, {"email": EMAIL})
    assert "job-progress" in client.get(account_url(ALICE)).content.decode()
    work_off()
    page = client.get(account_url(ALICE)).content.decode()
    assert "This person was deleted." in page
    assert f"by {OPERATOR}" in page
    assert "This person is deleted." in client.get(DELETE).content.decode()


def test_what_the_app_writes_after_a_deletion_goes_by_a_second_one(enter: Any) -> None:
    client = enter(OPERATOR)
    delete_alice(client)
    Conversation.objects.create(id="late", user_id=ALICE, title="again")
    client.post(DELETE, {"email": made_up_email(ALICE)})
    work_off()
    assert Job.objects.filter(kind="person.delete", state=JobState.DONE).count() == 2
    assert not Conversation.objects.filter(user_id=ALICE).exists()


def test_a_person_whom_nobody_knows_is_not_found(enter: Any) -> None:
    client = enter(OPERATOR)
    for part in ("export", "delete"):
        for key in ("user_nobody", "a\0b", "😀"):
            assert client.get(f"/admin/account/{key}/{part}/").status_code == 404
