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


def _console() -> bool:
    executor = MigrationExecutor(connections[CONSOLE])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _omnichat() -> bool:
    log = read_log(connections[OMNICHAT])
    return all(each.version in log.records for each in read_migrations(settings.SQL_MIGRATIONS_DIR))


CHECKS: dict[str, Callable[[], bool]] = {CONSOLE: _console, OMNICHAT: _omnichat}


class Kept:
    """What the checks said last. One thread asks at a time; the others wait for its answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: dict[str, str] = {}

    def found(self) -> dict[str, str]:
        with self._lock:
            if self.clock() - self._at >= KEPT_FOR:
                self._found = {name: _word(check) for name, check in CHECKS.items()}
                self._at = self.clock()
            return self._found


def _word(check: Callable[[], bool]) -> str:
    try:
        return "ok" if check() else "not migrated"
    except (DatabaseError, InterfaceError, MigrationError):
        return "does not answer"


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
