"""`/healthz`: the process answers. `/readyz`: its databases answer, and are migrated. Neither says more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from database.migration_log import read_log
from database.migrations import MigrationError, read_migrations
from database.router import CONSOLE, OMNICHAT

#: Seconds for which an answer is given again, so that no storm of probes becomes a storm of requests to D1.
KEPT_FOR = 15.0
#: Seconds that a probe waits for a database, which would itself be waited for much longer.
PATIENCE = 3.0
SILENT = "does not answer"


def _console() -> bool:
    executor = MigrationExecutor(connections[CONSOLE])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _omnichat() -> bool:
    log = read_log(connections[OMNICHAT])
    return all(each.version in log.records for each in read_migrations(settings.SQL_MIGRATIONS_DIR))


CHECKS: dict[str, Callable[[], bool]] = {CONSOLE: _console, OMNICHAT: _omnichat}


class Kept:
    """What the checks said last. Each is asked by a thread of its own, once at a time, for `PATIENCE` at the most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._at: dict[str, float] = {}
        self._found: dict[str, str] = {}
        self._asked: dict[str, threading.Thread] = {}
        self._since: dict[str, float] = {}

    def found(self) -> dict[str, str]:
        for name in CHECKS:
            self._ask(name)
        for name, asked in list(self._asked.items()):
            asked.join(max(0.0, self._since[name] + PATIENCE - time.monotonic()))
        return {name: SILENT if self._asked[name].is_alive() else self._found.get(name, SILENT) for name in CHECKS}

    def _ask(self, name: str) -> None:
        with self._lock:
            before = self._asked.get(name)
            if before and (before.is_alive() or self.clock() - self._at.get(name, float("-inf")) < KEPT_FOR):
                return
            self._since[name] = time.monotonic()
            # A daemon: a database that hangs does not keep the process from ending.
            self._asked[name] = threading.Thread(target=self._answer, args=(name,), daemon=True)
            self._asked[name].start()

    def _answer(self, name: str) -> None:
        self._found[name] = _word(CHECKS[name])
        self._at[name] = self.clock()
        connections[name].close()


def _word(check: Callable[[], bool]) -> str:
    try:
        return "ok" if check() else "not migrated"
    except (DatabaseError, InterfaceError, MigrationError):
        return SILENT


kept = Kept()


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    found = kept.found()
    ok = set(found.values()) == {"ok"}
    return JsonResponse({"ok": ok, **found}, status=200 if ok else 503)
