"""kill -9 at random moments of a backup, a restore and a pruning: nothing half is listed, no database is ever half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from standins.d1 import Engine

HERE = Path(__file__).resolve().parent
TIMES = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "proof" else 8


@pytest.mark.parametrize("kind", ["backup", "restore", "tables", "prune"])
def test_a_kill_at_any_moment_leaves_nothing_half(kind: str, tmp_path: Path) -> None:
    kill(kind, tmp_path)


def test_a_kill_of_a_restore_to_d1_leaves_nothing_half_that_does_not_say_so(d1_engine: Engine, tmp_path: Path) -> None:
    d1_engine.reset()
    d1_engine.empty_database()
    kill("d1", tmp_path, **d1_engine.environment())


def kill(kind: str, folder: Path, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), kind, str(TIMES), str(folder)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == [], done.stderr
    assert found["killed"] == TIMES
