"""What a run of the tests says of parts that the machine lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("ci", "code", "told"), [("true", 1, "ERROR"), ("", 0, "SKIPPED")])
def test_a_test_whose_part_is_missing_is_skipped_or_fails_where_ci_is_true(ci: str, code: int, told: str) -> None:
    one = "tests/standins/test_d1_engine.py::test_booleans_are_numbers_and_blobs_travel_as_arrays"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", one],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nowhere", "CI": ci},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"{told} " in done.stdout
    assert "missing: node is not installed" in done.stdout
