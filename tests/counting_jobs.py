"""Jobs of a kind that counts to five, and what happens to them at a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console import job_run, jobs
from console.jobs import Run
from console.models import Job

#: What is called with the job when it has done a step.
HOOKS: dict[int, Any] = {}


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A kind that does five steps, each of which lands in the list that is given back."""
    done: list[int] = []
    HOOKS.clear()

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


def register(monkeypatch: pytest.MonkeyPatch, name: str, work: Any, permission: str = "") -> None:
    monkeypatch.setitem(job_run.KINDS, name, job_run.Kind(name, "A test", work, permission))


def raising(error: Exception) -> Callable[[Run], dict[str, Any]]:
    def work(run: Run) -> dict[str, Any]:
        raise error

    return work


def started(**values: Any) -> Job:
    return jobs.start("test.counting", {}, by=None, **values)
