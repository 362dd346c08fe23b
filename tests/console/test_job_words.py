"""What a job says while it runs and once it failed, and how long that is kept."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import DjangoAssertNumQueries

from console import job_run, jobs, worker
from console.job_pruning import prune
from console.job_queue import never, silent
from console.job_run import claim
from console.jobs import Failure, Run, work_off
from console.models import Job, JobState
from d1 import rate
from tests.counting_jobs import counting, raising, register, started

__all__ = ["counting"]

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.sqlite_only(reason="the queue is in the console's own database"),
]


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
