"""The commands of grants, each in a process of its own as an operator runs it."""

from __future__ import annotations

import io
import json
import os
import pwd
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from billing.allowance import today
from billing.models import UserBattery
from chat.models import User as Account
from console import grant_expiry, grants
from console.models import Grant, Job
from console.roles import AUDITOR, SUPPORT
from d1.errors import OutcomeUnknown
from database.models import AuditLog

pytestmark = pytest.mark.django_db
Run = Callable[..., tuple[dict[str, Any], int]]


@pytest.fixture(autouse=True)
def people(db: Any) -> None:
    Account.objects.create(id="u1", email="u1@example.com")
    for name, role in (("alice", SUPPORT), ("erin", AUDITOR)):
        User.objects.create_user(name, is_staff=True).groups.add(Group.objects.get(name=role))


@pytest.fixture
def run() -> Run:
    def run(command: str, *words: str) -> tuple[dict[str, Any], int]:
        out = io.StringIO()
        try:
            call_command(command, *words, "--json", stdout=out, stderr=io.StringIO(), skip_checks=True)
        except SystemExit as end:
            return json.loads(out.getvalue()), int(end.code or 0)
        return json.loads(out.getvalue()), 0

    return run


def test_the_operator_grants_without_limit_and_is_named_in_the_audit(run: Run) -> None:
    said, code = run("grant_battery", "u1", "1,000,000", "--reason", "outage of Sunday", "--category", "outage")
    assert code == 0
    assert (said["state"], said["balance"]) == ("APPLIED", 1_000_000)
    grant = Grant.objects.get(pk=said["grant"])
    assert (grant.category, grant.text, grant.requested_by) == ("outage", "outage of Sunday", None)
    assert grant.operator.endswith(" (grant_battery)")
    assert AuditLog.objects.get().metadata["by"] == {"name": grant.operator}


def test_an_operator_without_a_name_is_named_by_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", MagicMock(side_effect=KeyError))
    run("grant_battery", "u1", "5", "--reason", "x")
    assert Grant.objects.get().operator == f"uid {os.getuid()} (grant_battery)"


def test_a_user_may_be_named_by_email(run: Run) -> None:
    assert run("grant_battery", "u1@example.com", "5", "--reason", "x")[0]["user"] == "u1"


def test_the_same_key_is_the_same_grant(run: Run) -> None:
    first = run("grant_battery", "u1", "50", "--reason", "x", "--key", "k")
    again = run("grant_battery", "u1", "50", "--reason", "x", "--key", "k")
    assert first == again
    assert first[1] == 0
    assert UserBattery.objects.get().total_balance == 50
    said, code = run("grant_battery", "u1", "51", "--reason", "x", "--key", "k")
    assert code == 1
    assert "used before" in said["error"]


@pytest.mark.parametrize(
    "trouble", [OutcomeUnknown("lost"), OperationalError("database is locked"), KeyboardInterrupt()]
)
def test_once_it_is_decided_it_says_that_the_grant_stands_and_a_worker_finishes_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(grants, "post", MagicMock(side_effect=trouble))
        said, code = run("grant_battery", "u1", "500", "--reason", "outage")
    assert (code, said["state"], said["grant"]) == (1, "APPROVED", str(Grant.objects.get().pk))
    assert "Do not grant them again" in said["error"]
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=2))
    assert grants.resume() == 1
    assert UserBattery.objects.get().total_balance == 500


@pytest.mark.parametrize("option", ["--key", "--ticket"])
def test_a_word_that_would_be_cut_is_refused(run: Run, option: str) -> None:
    with pytest.raises(CommandError, match="at most 100"):
        run("grant_battery", "u1", "5", "--reason", "x", option, "k" * 101)


def test_in_the_name_of_somebody_it_waits_above_their_limits(run: Run) -> None:
    said, code = run("grant_battery", "u1", "5000", "--reason", "x", "--by", "alice")
    assert (said["state"], said["balance"], code) == ("APPLIED", 5_000, 0)
    said, code = run("grant_battery", "u1", "5001", "--reason", "x", "--by", "alice", "--key", "k")
    assert (said["state"], said["balance"], code) == ("REQUESTED", 5_000, 1)
    assert "second person" in said["error"]
    assert run("grant_battery", "u1", "5001", "--reason", "x", "--by", "alice", "--key", "k") == (said, 1)


@pytest.mark.parametrize("name", ["erin", "nobody"])
def test_in_the_name_of_who_may_not_it_is_refused(run: Run, name: str) -> None:
    said, code = run("grant_battery", "u1", "5", "--reason", "x", "--by", name)
    assert code == 1
    assert name in said["error"]
    assert not Grant.objects.exists()


def test_an_unknown_user_is_told_and_leaves_no_grant(run: Run) -> None:
    said, code = run("grant_battery", "u9", "5", "--reason", "x")
    assert code == 1
    assert "no user u9" in said["error"]
    assert not Grant.objects.exists()


def test_a_balance_that_cannot_be_read_is_told(run: Run) -> None:
    UserBattery.objects.create(user_id="u1", total_balance=2**60)
    said, code = run("grant_battery", "u1", "5", "--reason", "x")
    assert code == 1
    assert "mend it" in said["error"]
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("u1", "0", "--reason", "x"),
        ("u1", "ten", "--reason", "x"),
        ("u1", "1_0", "--reason", "x"),
        ("u1", "１０", "--reason", "x"),
        ("u1", "5"),
        ("u1", "5", "--reason", " "),
        ("u1", "5", "--reason", "x", "--category", "bribe"),
        ("u1", "5", "--reason", "x", "--expires", "2020-01-01"),
    ],
)
def test_bad_usage_ends_with_2(manage: Callable[..., Any], words: tuple[str, ...]) -> None:
    done = manage("grant_battery", *words, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


def test_expired_grants_are_taken_back_once(run: Run) -> None:
    run("grant_battery", "u1", "70", "--reason", "x", "--expires", str(today()))
    assert run("expire_grants") == ({"expired": 0, "units": 0, "resumed": 0}, 0)
    Grant.objects.update(expires_on=today() - timedelta(days=1))
    assert run("expire_grants") == ({"expired": 1, "units": 70, "resumed": 0}, 0)
    assert run("expire_grants") == ({"expired": 0, "units": 0, "resumed": 0}, 0)


def test_expiry_by_the_command_is_a_job_whose_trouble_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("grant_battery", "u1", "70", "--reason", "x", "--expires", str(today()))
    Grant.objects.update(expires_on=today() - timedelta(days=1))
    with monkeypatch.context() as patch:
        patch.setattr(grant_expiry, "post", MagicMock(side_effect=OutcomeUnknown("The outcome is unknown.")))
        said, code = run("expire_grants")
    assert (code, said["expired"]) == (1, 0)
    assert "unknown" in said["error"]
    assert run("expire_grants")[0]["units"] == 70
    jobs = Job.objects.order_by("pk")
    assert [(job.state, job.in_command, job.result) for job in jobs] == [
        ("failed", True, None),
        ("done", True, {"expired": 1, "units": 70}),
    ]


def test_it_resumes_what_a_crash_left(run: Run) -> None:
    run("grant_battery", "u1", "70", "--reason", "x")
    grant = Grant.objects.get()
    Grant.objects.update(state="APPROVED", decided_at=grant.requested_at - timedelta(hours=1))
    assert run("expire_grants")[0]["resumed"] == 1
    assert UserBattery.objects.get().total_balance == 70


@pytest.mark.parametrize(
    "value",
    ["lots", "[]", '{"Support": 5}', '{"Boss": {"grant": 5}}', '{"Support": {"week": 5}}', '{"Support": {"day": -1}}'],
)
def test_wrong_limits_stop_the_start_and_are_named(manage: Callable[..., Any], value: str) -> None:
    done = manage("check", GRANT_LIMITS=value)
    assert done.returncode == 1
    assert "GRANT_LIMITS" in done.stderr
    assert "omniops.E001" in done.stderr


def test_what_the_limits_do_not_name_stays_as_it_is() -> None:
    from omniops.environment import grant_limits

    limits = grant_limits('{"Support": {"grant": 100, "recipient": null}}')
    assert limits["Support"] == {"grant": 100, "day": 20_000, "recipient": None}
    assert limits["Billing"]["grant"] == 50_000
