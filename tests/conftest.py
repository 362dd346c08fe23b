"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.test import TestCase, override_settings
from hypothesis import HealthCheck
from hypothesis import settings as Profile

from billing.models import SubscriptionPlan
from console.models import StaffEvent, Summary
from d1.rate import budget
from database.backup import backup_done
from database.migrations import read_migrations
from database.migrator import Migrator
from omniops.variables import NAMES
from standins.d1 import Engine, missing_reason
from tests.forks import Forks, forks

MISSING = "missing:"
ROOT = Path(__file__).resolve().parent.parent
ON_D1 = settings.DATABASES["omnichat"]["ENGINE"] == "d1"

# On D1 each query of an example is a request. `make proof` takes its time, and other examples each time.
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
Profile.register_profile("test", max_examples=10 if ON_D1 else 50, derandomize=True, database=None, **QUIET)
Profile.register_profile("proof", max_examples=200 if ON_D1 else 1000, **QUIET)
Profile.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


@pytest.fixture(autouse=True, scope="session")
def quick_passwords() -> Iterator[None]:
    """Argon2 is slow on purpose, which a login a test has no use for."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


#: Children before their parents, so that each can be emptied with the foreign keys on.
TABLES = (
    "audit_logs",
    "daily_usage_summary",
    "api_usage",
    "battery_transactions",
    "user_battery",
    "user_subscriptions",
    "messages",
    "conversations",
    "users",
)


#: Fixtures whose databases are files of SQLite, whatever the engine of the tests is.
ON_FILES = {"manage", "files", "command"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that names a database has both, and runs on both engines unless it says why not."""
    marker = item.get_closest_marker("django_db")
    if marker:
        if not item.get_closest_marker("sqlite_only") and not ON_FILES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("both_engines")
        options = {"databases": ["default", "omnichat"], **marker.kwargs}
        item.add_marker(pytest.mark.django_db(**options), append=False)


def pytest_configure() -> None:
    """What a shell starts in the background passes over Ctrl-C, and so would the processes that tests send it to.

    A proxy of the machine has no business between tests and what they serve on loopback.
    """
    os.environ["no_proxy"] = "127.0.0.1,localhost"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where `CI` is true no part may be missing: what would be skipped for it fails."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and f"{MISSING} " in str(report.longrepr):
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix(django_db_modify_db_settings_xdist_suffix: None) -> Iterator[None]:
    """On D1 the second of two processes starts an engine of its own: faults that a test plants are of an engine."""
    with ExitStack() as stack:
        described = settings.DATABASES["omnichat"]
        if ON_D1 and os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
            engine = stack.enter_context(Engine())
            described["NAME"], described["OPTIONS"]["api_base"] = engine.database, engine.base
            os.environ.update(engine.environment())
        if ON_D1:
            described["TEST"]["NAME"] = described["NAME"]
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """OmniChat's tables come from the SQL migrations, in tests as anywhere."""
    with django_db_blocker.unblock():
        apply_sql_migrations()


def apply_sql_migrations() -> None:
    outcome = Migrator(connections["omnichat"], read_migrations(settings.SQL_MIGRATIONS_DIR)).migrate()
    assert outcome.error is None, outcome.error


def schema() -> list[tuple[str, str]]:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT GLOB '_cf_*'")
        return sorted(cursor.fetchall())


@pytest.fixture(autouse=True)
def within_a_day() -> None:
    """A test that would begin shortly before midnight begins after it, for many ask twice what day it is."""
    if (left := 86_400 - time.time() % 86_400) < 60:
        time.sleep(left)


@pytest.fixture(autouse=True)
def untouched_by_others(request: pytest.FixtureRequest) -> None:
    """What tests without a transaction left is not there; and content types have the numbers that they have.

    A test before may have made content types anew and rolled them back, while Django remembers their numbers.
    """
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("_django_db_helper")
        for model in (StaffEvent, Summary):
            model._default_manager.using("default").all()._raw_delete("default")
        ContentType.objects.clear_cache()
        ContentType.objects.get_for_models(*apps.get_models(), for_concrete_models=False)


@pytest.fixture(autouse=True)
def unrecorded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups of tests outside of a transaction leave no staff events to the tests that come after."""
    if not request.node.get_closest_marker("django_db"):
        monkeypatch.setattr(backup_done, "receivers", [])
        backup_done.sender_receivers_cache.clear()


@pytest.fixture(autouse=True, scope="session")
def unlimited() -> Iterator[None]:
    """The engine of the tests limits no rate: a command in a process that sent many requests does not wait for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "limit", 10**9)
        yield


@pytest.fixture(scope="session")
def d1_engine() -> Iterator[Engine]:
    """One engine for all tests of a process that ask for one; each begins by `reset` and `empty_database`."""
    if reason := missing_reason():
        pytest.skip(f"{MISSING} {reason}")
    with Engine() as engine:
        yield engine


@pytest.fixture(autouse=ON_D1)
def emptied_after(request: pytest.FixtureRequest) -> Iterator[None]:
    """On D1 no test runs in a block that is rolled back: what it left is emptied after it."""
    if not request.node.get_closest_marker("django_db"):
        yield
        return
    request.getfixturevalue("_django_db_helper")
    connection = connections["omnichat"]
    plans, made = list(SubscriptionPlan.objects.all()), schema()
    yield
    connection.close()
    if schema() != made:
        connection.creation.empty()
        apply_sql_migrations()
        return
    with transaction.atomic(using="omnichat"), connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f'DELETE FROM "{table}"')
        cursor.execute('DELETE FROM "subscription_plans"')
        SubscriptionPlan.objects.bulk_create(plans)


@pytest.fixture(autouse=ON_D1, scope="session")
def uncovered_by_a_block() -> Iterator[None]:
    """Django isolates a test by a block around it, in which D1 cannot read its own writes: `omnichat` gets none."""

    def enter(cls: type[TestCase]) -> dict[str, transaction.Atomic]:
        atomics = {name: transaction.atomic(using=name) for name in cls._databases_names() if name != "omnichat"}
        for atomic in atomics.values():
            atomic._from_testcase = True  # type: ignore[attr-defined]
            atomic.__enter__()
        return atomics

    def roll_back(cls: type[TestCase], atomics: dict[str, transaction.Atomic]) -> None:
        for name, atomic in reversed(atomics.items()):
            transaction.set_rollback(True, using=name)
            atomic.__exit__(None, None, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestCase, "_databases_support_transactions", classmethod(lambda cls: True))
        patch.setattr(TestCase, "_enter_atomics", classmethod(enter))
        patch.setattr(TestCase, "_rollback_atomics", classmethod(roll_back))
        yield


@pytest.fixture(scope="session")
def forked() -> Iterator[Forks]:
    with forks(ROOT) as made:
        yield made


@pytest.fixture
def manage(tmp_path: Path, forked: Forks) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`manage("verify_database", "--json", OMNICHAT_DATABASE_URL=...)` in a process of its own.

    Both databases are files in `tmp_path` unless the call says otherwise, and no other variable of omniops is set.
    """

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
        urls = {
            "CONSOLE_DATABASE_URL": f"sqlite:///{tmp_path / 'console.sqlite3'}",
            "OMNICHAT_DATABASE_URL": f"sqlite:///{tmp_path / 'omnichat.sqlite3'}",
        }
        return forked.run([*words], cwd=ROOT, env={**bare, **urls, **variables}, timeout=600)

    return run


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("missing: postgresql (apt-get install postgresql)")
    return found[-1].parent


def _started(start: Callable[[str], None], attempts: int = 5) -> int:
    """The port of the server. Where another program takes a free one before the server does, it gets another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    try:
        start(f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off")
    except subprocess.CalledProcessError:
        if attempts == 1:
            raise
        return _started(start, attempts - 1)
    return port


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server of its own on a free port of loopback. It refuses to run as root, so root lends it a user."""
    programs = _postgresql_programs()
    folder = Path(tempfile.mkdtemp(prefix="omniops-postgresql-"))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
    data = folder / "data"

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [*as_user, str(programs / program), "-D", str(data), *words], check=True, capture_output=True, cwd=folder
        )

    run("initdb", "-U", "console", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
    port = _started(lambda options: run("pg_ctl", "-w", "-t", "300", "-l", str(folder / "log"), "-o", options, "start"))
    try:
        yield f"postgres://console@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_url: str) -> Callable[..., str]:
    """Makes a database on that server, empty or as another of its URLs is, and gives its URL."""

    def make(like: str = "template1") -> str:
        name = f"console_{uuid4().hex}"
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like.rpartition('/')[2]}")  # type: ignore[arg-type]
        return postgresql_url.removesuffix("postgres") + name

    return make
