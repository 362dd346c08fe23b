"""`manage.py` in processes of their own that begin with the libraries of others imported already.

Half of the time of a short command goes into importing Django and what else the project stands on. A process that did
so waits here, and forks for each command. It imports none of the project's own modules, and reads no setting.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

LIBRARIES = (
    "asyncio", "cryptography.x509", "csp", "django.contrib.admin.utils", "django.core.management",
    "django.core.serializers.json", "django.db.models", "django.forms", "django.template", "django.views.debug",
    "django.views.generic", "django.views.i18n", "environ", "fido2.server", "import_export.formats.base_formats", "jwt",
    "openpyxl", "orjson", "prometheus_client", "psycopg", "pyrage", "requests", "rich.console", "rich.pretty",
    "rich.progress", "sqlite3", "stripe", "structlog", "structlog.dev", "svix.webhooks", "tablib", "urllib3",
    "whitenoise", "wsgiref.simple_server", "yaml", "zstandard",
)  # fmt: skip


class Forks:
    """Runs `manage.py` as `subprocess.run` would, one command at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder, self._turn = process, folder, threading.Lock()

    def run(self, words: list[str], cwd: Path, env: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
        """A command that takes more than `timeout` seconds is killed, which its code tells (-9)."""
        out, err = self._folder / "out", self._folder / "err"
        with self._turn:
            asked = {"words": words, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            too_long = threading.Timer(timeout, os.kill, [self._answer(), signal.SIGKILL])
            too_long.start()
            code = self._answer()
            too_long.cancel()
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    def _answer(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def forks(root: Path) -> Iterator[Forks]:
    command = [sys.executable, "-m", "tests.forks"]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        yield Forks(process, Path(folder))
        assert process.stdin
        process.stdin.close()


def serve(asked: IO[str], answers: IO[str]) -> None:
    """For each line fork; say the process's id, and how it ended. Returns in the children alone, or at the end."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in asked:
        command = json.loads(line)
        if not (child := os.fork()):
            become(**command)
            return
        print(child, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def become(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    """This process is now `manage.py WORDS`."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, _WRITE), (2, err, _WRITE)):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv[:] = ["manage.py", *words]
    runpy.run_path("manage.py", run_name="__main__")


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
