"""Jobs: queued once, worked off, stopped, taken up again, and never run by two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import DjangoAssertNumQueries

from console import job_run, jobs, worker
from console.job_pruning import prune
from console.job_queue import enqueue, never, reap, silent
from console.job_run import claim
from console.jobs import Failure, Run, work_off
from console.models import Job, JobState
from d1 import rate

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.sqlite_only(reason="the queue is in the console's own database"),
]
LONG_AGO = timedelta(hours=1)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A kind that does five steps, each of which lands in the list that is given back."""
    done: list[int] = []

    def work(run: Run) -> dict[str, Any]:
        for step in range(run.cursor or 0, 5):
            done.append(step)
            run.log(f"step {step}")
            run.advance(step + 1, total=5, cursor=step + 1)
            hook = HOOKS.get(step)
            if hook:
                hook(run.job)
        return {"steps": 5}

    register(monkeypatch, "test.counting", work)
    return done


HOOKS: dict[int, Any] = {}


@pytest.fixture(autouse=True)
def no_hooks() -> None:
    HOOKS.clear()


def register(monkeypatch: pytest.MonkeyPatch, name: str, work: Any, permission: str = "") -> None:
    monkeypatch.setitem(job_run.KINDS, name, job_run.Kind(name, "A test", work, permission))


class Death(BaseException):
    """Stands for a kill: nothing after it is done. `as_after_a_kill` undoes what this process did at its end."""


def die(job: Job) -> None:
    raise Death


def interrupt(job: Job) -> None:
    raise KeyboardInterrupt


def raising(error: Exception) -> Callable[[Run], dict[str, Any]]:
    def work(run: Run) -> dict[str, Any]:
        raise error

    return work


def as_after_a_kill(job: Job) -> Any:
    """The rows as a worker leaves them that ends between two statements. Gives the cursor."""
    DBTaskResult.objects.all().delete()
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, lease="of the dead", heartbeat_at=now, ended_at=None)
    return Job.objects.get(pk=job.pk).cursor


def started(**values: Any) -> Job:
    return jobs.start("test.counting", {}, by=None, **values)


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


def test_a_kind_that_the_code_no_longer_has_fails_with_a_sentence(counting: list[int]) -> None:
    job = started()
    Job.objects.filter(pk=job.pk).update(kind="gone.kind")
    work_off()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "'gone.kind'" in job.error


def test_a_fault_is_told_without_its_words(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    register(monkeypatch, "test.counting", raising(ValueError("sk_live_secret")))
    job = started()
    work_off()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "ValueError" in job.error
    assert "secret" not in job.error + job.log
    assert "Traceback" in caplog.text


def test_a_failure_of_the_kind_is_its_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "test.counting", raising(Failure("Stripe knows no such customer.")))
    job = started()
    work_off()
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "Stripe knows no such customer.")


def test_trouble_of_a_database_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "test.counting", raising(OperationalError("The rate limit of D1 is reached.")))
    job = started()
    assert work_off() == 1
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.QUEUED, "The rate limit of D1 is reached.")
    for _ in range(4):
        DBTaskResult.objects.update(run_after=timezone.now())
        assert work_off() == 1
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert not DBTaskResult.objects.exists()


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


def test_a_log_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(run: Run) -> dict[str, Any]:
        for _ in range(1000):
            run.log("a line of some fifty characters, again and again")
        return {}

    register(monkeypatch, "test.counting", work)
    job = started()
    work_off()
    job.refresh_from_db()
    assert len(job.log) < job_run.LOG_CHARACTERS + 100
    assert job.log.endswith("left out.\n")


def test_progress_costs_one_query_a_step(
    counting: list[int], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = started()
    lease = claim(Job.objects.filter(pk=job.pk))
    job = Job.objects.get(pk=job.pk)
    assert job.lease == lease
    run = Run(job, stopping=never, progress=silent)
    run.log("with a line")
    with django_assert_num_queries(1):
        run.advance(10, total=40, message="a quarter", cursor={"after": "user_10"})
    job.refresh_from_db()
    assert (job.percent, job.message, job.cursor) == (25, "a quarter", {"after": "user_10"})
    assert job.log.endswith("with a line\n")


def test_an_estimate_comes_from_the_present_attempt() -> None:
    now = timezone.now()
    job = Job(state=JobState.RUNNING, done=300, total=900, attempt_done=100)
    job.attempt_at, job.heartbeat_at = now - timedelta(seconds=20), now
    assert job.estimate == 60
    job.done = 100
    assert job.estimate is None


def test_what_a_job_says_may_hold_whatever_people_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(run: Run) -> dict[str, Any]:
        run.log("a\0b")
        run.advance(1, message="a\0b" * 200)
        return {"day": timezone.now(), "name": "a\0b"}

    register(monkeypatch, "test.counting", work)
    job = started(title="x" * 500)
    work_off()
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert "\0" not in job.log + job.message + str(job.result)
    assert (len(job.title), len(job.message)) == (200, 300)


def test_jobs_that_ended_long_ago_are_forgotten_but_not_their_keys(counting: list[int]) -> None:
    old = {key: started(key=key) for key in (None, "schedule:backup:2026-01-01T02:00:00Z", "import of a file")}
    work_off()
    young = started()
    Job.objects.update(ended_at=timezone.now() - timedelta(days=91))
    assert prune()["jobs"] == 2
    assert set(Job.objects.all()) == {old["import of a file"], young}


def test_a_heart_beats_through_a_long_step_and_stops_with_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Leased:
        def update(self, **values: Any) -> int:
            seen.append(values)
            return 0 if len(seen) == 2 else 1

    monkeypatch.setattr(job_run, "BEAT_EVERY", timedelta(milliseconds=1))
    monkeypatch.setattr(job_run, "leased", lambda job: Leased())
    monkeypatch.setattr(job_run, "connections", MagicMock())
    job_run._beat(Job(pk=1), threading.Event())
    assert [list(values) for values in seen] == [["heartbeat_at"]] * 2


def test_a_worker_s_requests_to_d1_make_way_for_those_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[object] = []
    register(monkeypatch, "test.counting", lambda run: {"n": waits.append(rate._in_background.get())})
    started()
    work_off()
    with rate.background(print):
        jobs.run_here("test.counting", {}, by=None)
    assert waits[0] is not None
    assert waits[1] is print


def test_a_worker_that_waits_for_d1_s_rate_limit_says_so_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wait(run: Run) -> dict[str, Any]:
        on_wait = rate._in_background.get()
        assert on_wait is not None
        on_wait(1)
        on_wait(42)
        return {}

    register(monkeypatch, "test.counting", wait)
    job = started()
    work_off()
    job.refresh_from_db()
    assert job.state == "done", job.error
    monkeypatch.setattr(worker, "PERIODIC", {"waits": jobs.Periodic("waits", timedelta(0), lambda: wait(MagicMock()))})
    worker.Rounds().make()
    assert [message for message in caplog.messages if "wait" in message] == [
        "Jobs wait 42 seconds: what is left of D1's rate limit is kept for pages"
    ] * 2
