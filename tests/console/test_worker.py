"""Workers as processes of their own: killed, ended, two at once, beside pages; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from django.db import OperationalError
from django.test import override_settings

from console import worker
from console.jobs import Periodic
from omniops.variables import NAMES

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = Path(__file__).with_name("worker_process.py")
STEPS = 60
#: For a machine that does much else.
PATIENCE = 600
Process = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Urls]:
    """Databases that are set up, made once for each engine of the console's own."""

    @cache
    def prepare(engine: str) -> Urls:
        folder = tmp_path_factory.mktemp(engine)
        console = f"sqlite:///{folder / 'console.sqlite3'}"
        if engine == "postgresql":
            console = request.getfixturevalue("postgresql_database")()
        urls = Urls(console, folder)
        finish(begin(urls, "setup_database", "--json", script=ROOT / "manage.py"))
        return urls

    return prepare


@dataclass(frozen=True)
class Urls:
    console: str
    folder: Path

    def variables(self) -> dict[str, str]:
        return {
            "CONSOLE_DATABASE_URL": self.console,
            "OMNICHAT_DATABASE_URL": f"sqlite:///{self.folder / 'omnichat.sqlite3'}",
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def process(request: pytest.FixtureRequest, tmp_path: Path, prepared: Callable[[str], Urls]) -> Iterator[Process]:
    """`process("queue", "test.once", "3")` is worker_process.py with databases of its own, made ready."""
    template = prepared(request.param)
    shutil.copytree(template.folder, tmp_path / "own")
    urls = Urls(f"sqlite:///{tmp_path / 'own' / 'console.sqlite3'}", tmp_path / "own")
    if request.param == "postgresql":
        urls = replace(urls, console=request.getfixturevalue("postgresql_database")(template.console))
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> subprocess.Popen[str]:
        begun.append(begin(urls, *words, **variables))
        return begun[-1]

    yield start
    for each in begun:
        each.kill()
        each.communicate()


def begin(urls: Urls, *words: str, script: Path = SCRIPT, **variables: str) -> subprocess.Popen[str]:
    bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
    return subprocess.Popen(
        [sys.executable, str(script), *words],
        cwd=ROOT,
        env={**bare, **urls.variables(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    """The lines of a process that ends well, and says nothing of a locked database."""
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + errors
    assert "locked" not in errors
    return out.splitlines()


def read_until(process: subprocess.Popen[str], beginning: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if line.startswith(beginning):
            return line.strip()
    raise AssertionError(process.communicate()[1])


def test_a_job_killed_again_and_again_does_each_of_its_effects_once(process: Process) -> None:
    finish(process("queue", "test.steps", "1"))
    for last in (3, 17, 41):
        killed = process("command", "run_worker", ALONE="1", LINGERS_FROM=str(last))
        read_until(killed, f"step {last}")
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    lines = finish(process("command", "run_worker", "--until-empty", ALONE="1"))
    assert "step 0" not in lines
    after = json.loads(lines[-1])
    assert after["jobs"] == [["done", STEPS, ""]]
    job = after["entries"][0].split(":")[1]
    assert after["entries"] == sorted(f"step:{job}:{step}" for step in range(STEPS))
    assert after["balance"] == STEPS


def test_two_workers_run_each_job_once(process: Process) -> None:
    finish(process("queue", "test.once", "30"))
    workers = [process("command", "run_worker", "--until-empty", "--json") for _ in range(2)]
    lines = [finish(each) for each in workers]
    worked = [json.loads(each[0])["worked"] for each in lines]
    ends = [json.loads(each[-1]) for each in lines]
    after = max(ends, key=lambda told: sum(state == "done" for state, _, _ in told["jobs"]))
    assert [state for state, _, _ in after["jobs"]] == ["done"] * 30
    assert (len(after["entries"]), sum(worked)) == (30, 30)


@pytest.mark.parametrize("process", ["sqlite"], indirect=True)
@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_ended_puts_its_job_back_and_says_so(process: Process, word: signal.Signals) -> None:
    finish(process("queue", "test.steps", "1"))
    ended = process("command", "run_worker", "--json", LINGERS_FROM="5")
    read_until(ended, "step 5")
    ended.send_signal(word)
    lines = finish(ended)
    assert json.loads(lines[-2])["worked"] == 1
    state, cursor, error = json.loads(lines[-1])["jobs"][0]
    assert (state, error) == ("queued", "")
    assert 5 < cursor < STEPS
    again = finish(process("command", "run_worker", "--until-empty"))
    assert json.loads(again[-1])["jobs"] == [["done", STEPS, ""]]


@pytest.mark.parametrize("process", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["embedded", "forked"])
def test_a_process_that_serves_works_jobs_off_beside_its_pages(process: Process, how: str) -> None:
    finish(process("queue", "test.once", "3"))
    after = json.loads(finish(process(how))[-1])
    assert [state for state, _, _ in after["jobs"]] == ["done"] * 3
    assert len(after["entries"]) == 3


def test_a_command_starts_no_worker(manage: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = manage("shell", "-v0", "-c", "import threading; print([t.name for t in threading.enumerate()])")
    assert done.stdout.strip() == "['MainThread']"


def test_nothing_is_embedded_where_the_setting_says_no() -> None:
    with override_settings(JOBS_EMBEDDED=False):
        worker.embed()
    assert worker._embedded is None


def test_a_task_of_the_rounds_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []
    works = {"broken": lambda: 1 / 0, "whole": lambda: called.append("whole")}
    tasks = {name: Periodic(name, timedelta(hours=1), work) for name, work in works.items()}
    monkeypatch.setattr(worker, "PERIODIC", tasks)
    rounds = worker.Rounds()
    rounds.make()
    rounds.make()
    assert called == ["whole"]
    assert "broken met an error" in caplog.text


def test_what_a_database_refuses_in_the_rounds_is_a_sentence_and_no_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = MagicMock(side_effect=OperationalError("no such table: console_job"))
    monkeypatch.setattr(worker, "PERIODIC", {"grants": Periodic("grants", timedelta(hours=1), refusing)})
    worker.Rounds().make()
    assert "There is no table console_job: run manage.py setup_database" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_task_of_the_rounds_that_has_more_to_do_is_called_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def much() -> bool:
        called.append("much")
        return len(called) < 5

    works: dict[str, Callable[[], object]] = {"much": much, "little": lambda: called.append("little")}
    tasks = {name: Periodic(name, timedelta(hours=1), work) for name, work in works.items()}
    monkeypatch.setattr(worker, "PERIODIC", tasks)
    rounds = worker.Rounds()
    assert [rounds.make() for _ in range(5)] == [True, True, True, False, False]
    assert called == ["much", "little", "much", "much", "much"]
