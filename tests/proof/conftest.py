"""The databases of the proofs, and how large they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omniops.variables import NAMES
from standins.d1 import Engine

ROOT = Path(__file__).resolve().parent.parent.parent
FULL = os.environ.get("HYPOTHESIS_PROFILE") == "proof"


def size(sample: int, full: int) -> int:
    """How many, in `make test` and in `make proof`."""
    return full if FULL else sample


@dataclass
class Place:
    """Two databases, and processes that work on them."""

    environment: dict[str, str]
    engine: Engine | None

    def start(self, *words: Any) -> subprocess.Popen[str]:
        bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.proof.works", *map(str, words)],
            cwd=ROOT, env={**bare, **self.environment}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: Any) -> dict[str, Any]:
        return self.told(self.start(*words))

    @staticmethod
    def told(process: subprocess.Popen[str]) -> dict[str, Any]:
        """The report of a process that ended well."""
        out, _ = process.communicate(timeout=size(300, 3_600))
        assert process.returncode == 0, process.args
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Place]]:
    """`place("SQLite")` or `place("D1")`: all tables, and fifty users, each with a subscription."""
    engines: list[Engine] = []

    def make(name: str) -> Place:
        made = {"CONSOLE_DATABASE_URL": f"sqlite:///{tmp_path}/console.sqlite3"}
        if name == "SQLite":
            made["OMNICHAT_DATABASE_URL"] = f"sqlite:///{tmp_path}/omnichat.sqlite3"
        else:
            engine: Engine = request.getfixturevalue("d1_engine")
            engine.reset()
            engine.empty_database()
            engines.append(engine)
            made |= engine.environment()
        found = Place(made, engines[0] if engines else None)
        found.run("prepare")
        return found

    yield make
    for engine in engines:
        engine.reset()


@pytest.fixture
def full() -> Callable[[int, int], int]:
    return size
