"""A process with two kinds of jobs of its own, for the tests of workers: `python worker_process.py WHAT [WORD ...]`.

`command NAME ...` is manage.py; `queue KIND N` starts jobs; `embedded` serves until the queue is empty, `forked` does
so in a child. At its end each prints what became of all. With ALONE set, jobs of the dead are taken up at once.
"""

# ruff: noqa: E402  Django is set up before models are loaded.

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "omniops.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import connection

from billing.ledger import Entry, post
from billing.models import BatteryTransaction, TransactionType
from chat.models import User
from console import jobs, worker
from console.job_queue import reap
from console.models import Job
from console.worker import embed

STEPS = 60
#: From here on a step takes its time, so that whoever reads of it can end this process in the midst.
LINGERS_FROM = int(os.environ.get("LINGERS_FROM", STEPS))
worker.EMBEDDED_AFTER = timedelta(seconds=0.2)


@jobs.kind("test.steps", title="Sixty keyed entries")
def steps(run: jobs.Run) -> dict[str, Any]:
    for step in range(run.cursor or 0, STEPS):
        give(f"step:{run.job.pk}:{step}")
        run.advance(step + 1, total=STEPS, cursor=step + 1)
        print(f"step {step}", flush=True)
        if step >= LINGERS_FROM:
            time.sleep(0.5)
    return {"steps": STEPS}


@jobs.kind("test.once", title="An entry whose id is never the same")
def once(run: jobs.Run) -> dict[str, Any]:
    give(f"once:{run.job.pk}:{uuid4()}")
    return {}


def give(entry: str) -> None:
    post([Entry(entry, "user_1", TransactionType.BONUS, 1)], by="test")


def states() -> dict[str, Any]:
    entries = BatteryTransaction.objects.filter(user_id="user_1")
    return {
        "jobs": list(Job.objects.order_by("pk").values_list("state", "cursor", "error")),
        "entries": sorted(entries.values_list("id", flat=True)),
        "balance": entries.order_by("-balance_after").values_list("balance_after", flat=True).first(),
    }


def wait_for_the_queue() -> None:
    until = time.monotonic() + 600
    while Job.objects.exclude(state="done").exists() and time.monotonic() < until:
        time.sleep(0.05)


def names() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def serve_forked() -> None:
    import omniops.wsgi

    assert omniops.wsgi.application
    connection.close()
    if child := os.fork():
        embedded = worker._embedded
        assert embedded is not None
        assert os.waitpid(child, 0)[1] == 0
        assert embedded.join(timedelta(seconds=600)), names()
        assert Job.objects.filter(state="done").exists()
        return
    wait_for_the_queue()
    os._exit(0 if names().count("rounds") else 1)


def main(what: str, *words: str) -> None:
    if os.environ.get("ALONE"):
        jobs.periodic("jobs of killed workers", 15, lambda: reap(timedelta(0)))
    if what == "command":
        call_command(words[0], *words[1:])
    elif what == "queue":
        User.objects.get_or_create(id="user_1", email="alice@example.com")
        for _ in range(int(words[1])):
            jobs.start(words[0], {}, by=None)
    elif what == "embedded":
        import omniops.wsgi

        assert omniops.wsgi.application
        embed()
        assert names().count("rounds") == 1, names()
        wait_for_the_queue()
    elif what == "forked":
        serve_forked()
    print(json.dumps(states(), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
