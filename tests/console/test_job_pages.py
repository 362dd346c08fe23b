"""The pages of jobs and of the schedule: who sees what, what a button does, and what a page costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import DjangoAssertNumQueries

from console import job_run, jobs, schedule
from console.models import Job, JobState, ScheduleEntry, StaffEvent
from console.roles import AUDITOR, OPERATOR, SUPPORT

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.sqlite_only(reason="jobs are in the console's own database"),
]
LIST = "/admin/console/job/"
SCHEDULE = "/admin/console/scheduleentry/"
Member = Callable[..., Client]


@pytest.fixture
def member() -> Member:
    """`member("Support", "alice")` is a browser in which alice of Support is logged in."""

    def log_in(role: str, name: str) -> Client:
        user, is_new = User.objects.get_or_create(username=name, is_staff=True)
        if is_new and role:
            user.groups.set([Group.objects.get(name=role)])
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(job_run.KINDS, "test.import", job_run.Kind("test.import", "Import", lambda run: {"n": 1}, ""))


def job_of(name: str, **values: Any) -> Job:
    job = jobs.start("test.import", {"file": 7}, by=User.objects.get(username=name), title=f"Import of {name}")
    Job.objects.filter(pk=job.pk).update(**values)
    job.refresh_from_db()
    return job


def test_everybody_sees_their_own_jobs_and_operators_and_auditors_all(member: Member) -> None:
    seen = {name: member(role, name) for name, role in (("alice", SUPPORT), ("bob", OPERATOR), ("carol", AUDITOR))}
    mine, another = job_of("alice"), job_of("bob")
    assert [each.title in seen["alice"].get(LIST).content.decode() for each in (mine, another)] == [True, False]
    for page in ("", "progress/"):
        codes = [client.get(f"{another.get_absolute_url().removesuffix('change/')}{page}", follow=True).status_code
                 for client in seen.values()]  # fmt: skip
        assert codes == [403, 200, 200], page
    for name in ("bob", "carol"):
        assert mine.title in seen[name].get(LIST).content.decode()


def test_a_login_without_a_role_has_no_list_of_jobs(member: Member) -> None:
    client = member("", "dave")
    assert client.get(LIST).status_code == 403
    assert "Your login has no role" in client.get("/admin/").content.decode()


def test_the_page_of_a_job_tells_how_far_it_is(member: Member) -> None:
    client = member(SUPPORT, "alice")
    now = timezone.now()
    values = {"started_at": now, "attempt_at": now - timedelta(seconds=30), "heartbeat_at": now, "attempt_done": 0}
    job = job_of("alice", state="running", done=1200, total=4800, message="row 1,200", log="10:00:00 begun\n", **values)
    page = client.get(job.get_absolute_url()).content.decode()
    for words in ("1,200 of 4,800 (25%)", "about 2 minutes left", "row 1,200", 'value="25"', "10:00:00 begun"):
        assert words in page
    told = client.get(f"{LIST}{job.pk}/progress/")
    assert told.json() == {
        "state": "running", "label": "running", "percent": 25, "amount": "1,200 of 4,800 (25%)",
        "remark": "row 1,200 · about 2 minutes left", "estimate": 90, "ended": False,
    }  # fmt: skip


def test_what_a_job_says_is_not_taken_for_markup(member: Member) -> None:
    client = member(SUPPORT, "alice")
    evil = "<script>alert(1)</script>"
    job = job_of("alice", state="failed", error=evil, log=evil, title=evil, message=evil, result={evil: [evil]})
    for address in (job.get_absolute_url(), LIST):
        assert evil not in client.get(address).content.decode()


def test_who_started_a_job_cancels_it_and_it_is_kept_who_did(member: Member) -> None:
    client, job = member(SUPPORT, "alice"), job_of("alice", state="running")
    page = client.post(f"{LIST}{job.pk}/cancel/", follow=True).content.decode()
    job.refresh_from_db()
    assert (job.cancel_asked, job.canceled_by.username, job.state) == (True, "alice", "running")
    assert "It is asked to stop" in page
    assert "Cancel it" not in page
    assert StaffEvent.objects.get().action == "job.cancel"


def test_a_failed_job_is_tried_again_once(member: Member) -> None:
    client, job = member(SUPPORT, "alice"), job_of("alice", state="failed", error="No room left.")
    DBTaskResult.objects.all().delete()
    assert "No room left." in client.get(job.get_absolute_url()).content.decode()
    for _ in range(2):
        client.post(f"{LIST}{job.pk}/retry/")
    job.refresh_from_db()
    assert (job.state, job.error, DBTaskResult.objects.count()) == (JobState.QUEUED, "", 1)


@pytest.mark.parametrize("button", ["cancel", "retry"])
def test_buttons_are_for_those_who_may_and_for_nothing_but_a_post(member: Member, button: str) -> None:
    alice, bob, carol = (member(*who) for who in ((SUPPORT, "alice"), (SUPPORT, "bob"), (AUDITOR, "carol")))
    operator = member(OPERATOR, "dora")
    job = job_of("alice", state="failed" if button == "retry" else "running")
    address = f"{LIST}{job.pk}/{button}/"
    assert [each.post(address).status_code for each in (bob, carol)] == [403, 403]
    assert "<button" not in carol.get(job.get_absolute_url()).content.decode().split('id="content-main"')[1]
    assert alice.get(address).status_code == 405
    assert Client().post(address).status_code == 302
    assert operator.post(address).status_code == 302
    assert StaffEvent.objects.get().staff.username == "dora"


def test_a_job_that_there_is_not_is_not_found(member: Member) -> None:
    client = member(OPERATOR, "bob")
    for pk in ("999", "9" * 30, "x", "-1"):
        assert client.get(f"{LIST}{pk}/change/").status_code == 404, pk


def test_the_pages_cost_the_same_however_many_jobs_there_are(
    member: Member, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = member(OPERATOR, "bob")
    jobs_ = [job_of("bob") for _ in range(20)]
    # The session, the login, and two for its rights; then the count, the rows, and the saved views.
    with django_assert_num_queries(7):
        client.get(LIST)
    with django_assert_num_queries(5):
        client.get(jobs_[0].get_absolute_url())
    with django_assert_num_queries(5):
        client.get(f"{LIST}{jobs_[0].pk}/progress/")


def test_the_schedule_is_shown_with_its_last_and_next_runs(member: Member) -> None:
    schedule.make_entries()
    assert schedule.begin_due(timezone.now() + timedelta(days=1)) >= 1
    page = member(AUDITOR, "carol").get(SCHEDULE).content.decode()
    for words in ("Daily allowance", "every day at 00:05 UTC", "queued", "Show the job"):
        assert words in page
    assert member(SUPPORT, "alice").get(SCHEDULE).status_code == 403


def test_an_operator_moves_a_time_and_switches_an_entry_off(member: Member) -> None:
    schedule.make_entries()
    entry, client = ScheduleEntry.objects.get(name="allowance"), member(OPERATOR, "bob")
    client.post(entry.get_absolute_url(), {"is_enabled": "on", "at": "03:30", "every_seconds": ""})
    entry.refresh_from_db()
    assert (f"{entry.at:%H:%M}", f"{entry.next_at:%H:%M}") == ("03:30", "03:30")
    client.post(entry.get_absolute_url(), {"at": "03:30", "every_seconds": ""})
    entry.refresh_from_db()
    assert (entry.is_enabled, entry.next_at) == (False, None)
    assert StaffEvent.objects.filter(action="schedule.change").count() == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"at": "", "every_seconds": ""}, "Give a time of the day or a number of seconds"),
        ({"at": "03:30", "every_seconds": "600"}, "leave the other empty"),
        ({"at": "", "every_seconds": "5"}, "greater than or equal to 60"),
        ({"at": "half past three", "every_seconds": ""}, "Enter a valid time"),
        ({"at": "", "every_seconds": "9" * 30}, "less than or equal"),
    ],
)
def test_a_time_that_makes_no_sense_is_told(member: Member, values: dict[str, str], words: str) -> None:
    schedule.make_entries()
    entry = ScheduleEntry.objects.get(name="allowance")
    page = member(OPERATOR, "bob").post(entry.get_absolute_url(), {"is_enabled": "on", **values})
    assert (page.status_code, words in page.content.decode()) == (200, True)


def test_an_auditor_looks_at_an_entry_and_changes_nothing(member: Member) -> None:
    schedule.make_entries()
    entry, client = ScheduleEntry.objects.get(name="allowance"), member(AUDITOR, "carol")
    page = client.get(entry.get_absolute_url())
    assert (page.status_code, "Run it now" in page.content.decode()) == (200, False)
    assert client.post(f"{SCHEDULE}{entry.pk}/run/").status_code == 403
    assert client.post(entry.get_absolute_url(), {"at": "01:00"}).status_code == 403


def test_an_entry_is_run_now_but_not_twice_at_once(member: Member) -> None:
    schedule.make_entries()
    entry, client = ScheduleEntry.objects.get(name="allowance"), member(OPERATOR, "bob")
    for _ in range(2):
        client.post(f"{SCHEDULE}{entry.pk}/run/")
    job = Job.objects.get()
    assert (job.kind, job.actor.username) == ("battery.allowance", "bob")
    assert "It runs already" in client.get(entry.get_absolute_url()).content.decode()
