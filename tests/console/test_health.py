"""What waits for each role on the home page, and the nightly look at schema and backups; what starts by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.db import connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import schedule
from console.dashboard import waiting
from console.health import last_look, look
from console.job_run import KINDS
from console.jobs import work_off
from console.models import InboxEvent, InboxState, Job, JobState, StaffEvent, Summary
from console.needs import FAILING_FOR
from console.roles import AUDITOR, BILLING, OPERATOR, SUPPORT
from database.backup_files import backups_at
from database.drift import Comparison
from database.verification import Verification

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Any:
    with override_settings(BACKUP_STORAGE=str(tmp_path / "backups")):
        yield tmp_path / "backups"


@pytest.fixture
def login(django_user_model: type[Login]) -> Any:
    def as_role(role: str) -> Login:
        found = django_user_model.objects.create_user(role, is_staff=True)
        found.groups.add(Group.objects.get(name=role))
        return found

    return as_role


@pytest.fixture
def drift(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Verification(schema=Comparison(), problems=["the schema lacks users.tier", "3 migrations are not recorded"])
    monkeypatch.setattr("console.health.verify_schema", lambda *given: found)


def event(state: str, number: int) -> None:
    InboxEvent.objects.create(source="stripe", event_id=f"evt_{state}{number}", type="x", payload="{}", state=state)


def run(kind: str) -> Job:
    job = Job.objects.get(pk=schedule.start(kind, {}, by=None).pk)
    work_off()
    job.refresh_from_db()
    return job


@pytest.mark.usefixtures("drift")
def test_what_waits_is_told_to_the_roles_that_can_do_something_about_it(login: Any) -> None:
    look()
    for number, state in enumerate(("parked", "parked", "failed", "processed")):
        event(state, number)
    InboxEvent.objects.update(received_at=timezone.now() - FAILING_FOR)
    event("failed", 9)  # one that may pass at its next try
    Job.objects.create(kind="x", title="X", state=JobState.FAILED, ended_at=timezone.now())
    told = {role: {each.words for each in waiting(login(role))} for role in (SUPPORT, BILLING, OPERATOR, AUDITOR)}
    webhooks = {"2 webhook events are parked", "1 webhook event fails"}
    system = {"2 problems of OmniChat's schema", "Something is wrong with the backups"}
    assert told[SUPPORT] == set()
    assert told[BILLING] == webhooks
    assert told[AUDITOR] == webhooks | system
    assert told[OPERATOR] == webhooks | system | {"1 job failed"}


@pytest.mark.usefixtures("drift")
def test_each_line_leads_to_what_it_counts(client: Client, login: Any) -> None:
    look()
    event("parked", 1)
    event("processed", 2)
    Job.objects.create(kind="x", title="Broken", state=JobState.FAILED, ended_at=timezone.now())
    Job.objects.create(kind="x", title="Sound", state=JobState.DONE, ended_at=timezone.now())
    operator = login(OPERATOR)
    client.force_login(operator)
    pages = {each.words: client.get(each.url).content.decode() for each in waiting(operator)}
    assert "evt_processed2" not in pages["1 webhook event is parked"]
    assert "1 webhook event" in pages["1 webhook event is parked"]
    assert "Broken" in pages["1 job failed"]
    assert "Sound" not in pages["1 job failed"]
    assert "the schema lacks users.tier" in pages["2 problems of OmniChat's schema"]
    assert "There is no backup" in pages["Something is wrong with the backups"]


def test_all_that_waits_is_counted_in_one_query(login: Any) -> None:
    operator = login(OPERATOR)
    operator.get_all_permissions()
    with CaptureQueriesContext(connections["default"]) as queries:
        waiting(operator)
    assert len(queries) == 1


def test_a_sound_database_with_a_backup_needs_nobody(login: Any) -> None:
    assert run("backup.make").state == JobState.DONE
    assert look().is_well
    assert waiting(login(OPERATOR)) == []


def test_what_was_mended_is_told_no_more(monkeypatch: pytest.MonkeyPatch, login: Any) -> None:
    assert not look().is_well
    assert Summary.objects.filter(name__startswith="health:").count() == 1
    run("backup.make")
    look()
    assert not Summary.objects.filter(name__startswith="health:").exists()


def test_a_damaged_backup_and_a_storage_that_is_gone_are_told(storage: Path) -> None:
    run("backup.make")
    backups = backups_at(settings.BACKUP_STORAGE)
    (record,) = backups.records()
    backups.write_record({**record, "problems": ["a table differs"]})
    assert "damaged" in look().problems["backups"][0]
    with override_settings(BACKUP_STORAGE="nowhere://x"):
        assert look().problems["backups"]


def test_the_page_looks_again_by_a_job_whose_progress_it_shows(client: Client, login: Any) -> None:
    client.force_login(login(OPERATOR))
    assert "Nobody has looked yet" in client.get("/admin/health/").content.decode()
    for _ in range(2):
        assert client.post("/admin/health/").status_code == 302
    assert Job.objects.count() == 1
    assert "job-progress" in client.get("/admin/health/").content.decode()
    work_off()
    page = client.get("/admin/health/").content.decode()
    assert "as the migrations make it" in page
    assert last_look() is not None
    client.force_login(login(SUPPORT))
    assert client.get("/admin/health/").status_code == 403


def test_a_backup_is_made_by_a_job_and_recorded(storage: Path) -> None:
    job = run("backup.make")
    assert job.state == JobState.DONE, job.error
    assert (storage / job.result["backup"]).exists()
    assert StaffEvent.objects.filter(action="backup make", subject=job.result["backup"]).exists()
    kept = run("backup.prune").result
    assert kept == {"removed": [], "kept": 1}


def test_a_backup_that_cannot_be_kept_fails_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with override_settings(BACKUP_STORAGE=str(tmp_path / "file" / "backups")):
        job = run("backup.make")
    assert job.state == JobState.FAILED
    assert "Nothing was kept" in job.error or "nothing could be" in job.error


def test_the_schedule_has_all_that_starts_by_itself() -> None:
    entries = schedule.SCHEDULED
    wanted = {"backup", "backup_pruning", "allowance", "usage_summary", "grants.expire", "console_pruning", "figures"}
    assert wanted | {"health"} <= set(entries)
    assert [name for name, entry in entries.items() if entry.kind not in KINDS] == []
    assert not entries["backup_pruning"].enabled, "nobody's backups are removed unasked"


def test_a_parked_event_needs_the_right_to_see_it() -> None:
    event("parked", 1)
    assert InboxEvent.objects.get().state == InboxState.PARKED
    assert waiting(Login.objects.create_user("none", is_staff=True)) == []
