"""The clients under measurement, each in a process of its own, and the environment of the one that is foreign."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RIVAL = ROOT / "var" / "bench-d1" / "venv"


class Worker:
    """A client in a process. Its methods are the client's, and give what it measured, in seconds.

    `cpu` is what the last call took of a processor in that process, in seconds.
    """

    cpu = 0.0

    def __init__(self, client: str, python: str, environment: dict[str, str]) -> None:
        self.client = client
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), client],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    def __call__(self, method: str, *arguments: Any) -> Any:
        self._input.write(json.dumps([method, *arguments]) + "\n")
        self._input.flush()
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"{self.client} ended in {method}(); what it said stands above.")
        answer, self.cpu = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._process.wait(timeout=30)
        self._output.close()


def rival_python() -> str:
    """The interpreter that has sqlalchemy-cloudflare-d1; installed on first use and when the lock changes."""
    lock, stamp = HERE / "requirements.txt", RIVAL / ".installed"
    python = str(RIVAL / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        print("Installing sqlalchemy-cloudflare-d1 into var/bench-d1/ ...", file=sys.stderr)
        venv.create(RIVAL, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(lock)], check=True)
        stamp.write_text(lock.read_text())
    return python
