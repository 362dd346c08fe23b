"""Jobs: queued once, worked off, stopped, taken up again, and never run by two."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django_tasks_db.models import DBTaskResult

from console import job_run, jobs
from console.jobs import Run, work_off
from console.models import Job, JobState

pytestmark = pytest.mark.django_db(databases=["default"])
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
