"""Jobs: queued once, worked off, stopped, taken up again, and never run by two."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from console import jobs
from console.job_queue import enqueue, reap
from console.job_run import claim
from console.jobs import work_off
from console.models import Job, JobState
from tests.counting_jobs import HOOKS, counting, register, started

__all__ = ["counting"]

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.sqlite_only(reason="the queue is in the console's own database"),
]
LONG_AGO = timedelta(hours=1)


class Death(BaseException):
    """Stands for a kill: nothing after it is done. `as_after_a_kill` undoes what this process did at its end."""


def die(job: Job) -> None:
    raise Death


def interrupt(job: Job) -> None:
    raise KeyboardInterrupt


def as_after_a_kill(job: Job) -> Any:
    """The rows as a worker leaves them that ends between two statements. Gives the cursor."""
    DBTaskResult.objects.all().delete()
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, lease="of the dead", heartbeat_at=now, ended_at=None)
    return Job.objects.get(pk=job.pk).cursor


def test_a_job_is_worked_off_and_keeps_its_result_and_its_log(counting: list[int]) -> None:
    job = started(total=5)
    assert (job.state, work_off()) == (JobState.QUEUED, 1)
    job.refresh_from_db()
    assert (job.state, job.result, job.done, job.total, job.percent) == (JobState.DONE, {"steps": 5}, 5, 5, 100)
    assert [line.split(" ", 1)[1] for line in job.log.splitlines()] == [f"step {n}" for n in range(5)]
    assert counting == [0, 1, 2, 3, 4]
    assert not DBTaskResult.objects.exists()


def test_a_job_starts_only_when_the_block_around_it_has_ended(counting: list[int]) -> None:
    with transaction.atomic():
        started()
        transaction.set_rollback(True)
    assert (Job.objects.count(), DBTaskResult.objects.count(), work_off()) == (0, 0, 0)


def test_the_same_key_is_the_same_job(counting: list[int]) -> None:
    first, second = started(key="once"), started(key="once")
    assert (first.pk, work_off()) == (second.pk, 1)
    assert started(key="once").state == JobState.DONE
    assert work_off() == 0
    assert counting == [0, 1, 2, 3, 4]


def test_a_kind_is_started_by_those_who_may(counting: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "test.guarded", lambda run: {}, permission="console.change_job")
    alice = User.objects.create_user("alice")
    with pytest.raises(PermissionDenied):
        jobs.start("test.guarded", {}, by=alice)
    assert jobs.start("test.guarded", {}, by=None).pk


def test_a_killed_worker_s_job_goes_on_at_its_cursor(counting: list[int]) -> None:
    job = started()
    HOOKS[2] = die
    with pytest.raises(Death):
        work_off()
    assert as_after_a_kill(job) == 3
    assert reap(timedelta(0)) == 1
    HOOKS.clear()
    assert work_off() == 1
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"steps": 5})
    assert counting == [0, 1, 2, 3, 4]


def test_a_job_with_a_beating_heart_is_left_alone(counting: list[int]) -> None:
    job = started()
    claim(Job.objects.filter(pk=job.pk))
    assert reap() == 0
    job.refresh_from_db()
    assert job.state == JobState.RUNNING


def test_a_worker_that_lost_its_job_writes_nothing_more(counting: list[int]) -> None:
    job = started()
    HOOKS[1] = lambda job: Job.objects.filter(pk=job.pk).update(lease="another's", message="by the other")
    work_off()
    job.refresh_from_db()
    assert counting == [0, 1, 2]
    assert (job.state, job.done, job.lease, job.message) == (JobState.RUNNING, 2, "another's", "by the other")


def test_a_running_job_stops_at_the_next_step_and_keeps_what_it_did(counting: list[int]) -> None:
    job, alice = started(), User.objects.create_user("alice")
    HOOKS[1] = lambda job: jobs.cancel(job, by=alice)
    work_off()
    job.refresh_from_db()
    assert (job.state, job.canceled_by, job.cursor, counting) == (JobState.CANCELED, alice, 3, [0, 1, 2])
    HOOKS.clear()
    assert jobs.retry(job)
    assert work_off() == 1
    job.refresh_from_db()
    assert (job.state, job.cancel_asked, counting) == (JobState.DONE, False, [0, 1, 2, 3, 4])


def test_a_waiting_job_is_canceled_at_once(counting: list[int]) -> None:
    job = started()
    assert jobs.cancel(job, by=User.objects.create_user("alice"))
    assert (work_off(), counting) == (1, [])
    job.refresh_from_db()
    assert job.state == JobState.CANCELED
    assert not jobs.cancel(job, by=User.objects.create_user("bob"))


def test_a_job_that_gets_no_further_fails_after_five_attempts(counting: list[int]) -> None:
    job = started()
    for _ in range(5):
        assert claim(Job.objects.filter(pk=job.pk, state=JobState.QUEUED))
        assert reap(timedelta(0)) == 1
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "5 times" in job.error
    assert work_off() == 0


def test_a_job_that_gets_further_is_taken_up_as_often_as_it_is_killed(counting: list[int]) -> None:
    job = started()
    for step in range(5):
        Job.objects.filter(pk=job.pk).update(attempts=4)
        HOOKS[step] = die
        with pytest.raises(Death):
            work_off()
        as_after_a_kill(job)
        assert reap(timedelta(0)) == 1
    HOOKS.clear()
    work_off()
    job.refresh_from_db()
    assert (job.state, counting) == (JobState.DONE, [0, 1, 2, 3, 4])


def test_a_job_whose_ticket_got_lost_gets_another(counting: list[int]) -> None:
    job = started()
    DBTaskResult.objects.all().delete()
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - LONG_AGO)
    assert (work_off(), reap(), reap(), work_off()) == (0, 1, 0, 1)
    assert counting == [0, 1, 2, 3, 4]


def test_two_tickets_of_a_job_run_it_once(counting: list[int]) -> None:
    job = started()
    enqueue(job)
    assert work_off() == 2
    assert counting == [0, 1, 2, 3, 4]


def test_a_process_that_ends_puts_its_job_back(counting: list[int]) -> None:
    job, stopping = started(), []
    HOOKS[0] = lambda job: stopping.append(True)
    assert work_off(stopping=lambda: bool(stopping)) == 1
    job.refresh_from_db()
    assert (job.state, job.cursor, job.attempts, job.lease) == (JobState.QUEUED, 2, 0, "")
    assert (work_off(), counting) == (1, [0, 1, 2, 3, 4])


def test_a_command_runs_a_job_itself_and_goes_on_with_its_own(counting: list[int]) -> None:
    told: list[tuple[int, int | None]] = []
    HOOKS[1] = interrupt
    with pytest.raises(KeyboardInterrupt):
        jobs.run_here("test.counting", {}, by=None, key="import of a file")
    left = Job.objects.get()
    assert (left.state, left.cursor, reap(timedelta(0))) == (JobState.FAILED, 2, 0)
    assert "Run it again" in left.error
    HOOKS.clear()
    job = jobs.run_here("test.counting", {}, by=None, key="import of a file", progress=lambda *all: told.append(all))
    assert (job.pk, job.state, counting) == (left.pk, JobState.DONE, [0, 1, 2, 3, 4])
    assert told == [(3, 5), (4, 5), (5, 5)]
    again = jobs.run_here("test.counting", {}, by=None, key="import of a file")
    assert (again.result, counting) == ({"steps": 5}, [0, 1, 2, 3, 4])


def test_no_worker_takes_up_what_a_killed_command_left(counting: list[int]) -> None:
    HOOKS[0] = die
    with pytest.raises(Death):
        jobs.run_here("test.counting", {}, by=None)
    job = Job.objects.get()
    as_after_a_kill(job)
    assert (reap(timedelta(0)), work_off()) == (1, 0)
    job.refresh_from_db()
    assert (job.state, job.cursor) == (JobState.FAILED, 1)
    assert not jobs.retry(job)
