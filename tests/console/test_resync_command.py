"""resync_stripe, its record, and its findings, on the stand-in of Stripe."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User as Login
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from billing.models import BatteryTransaction, UserBattery
from billing.resync.run import Wish
from chat.models import User
from console import resync
from console.jobs import work_off
from console.models import Finding, FindingState, JobState, ResyncRun, ResyncState, StaffEvent
from standins.stripe import StripeServer
from tests.resyncs import own_folder
from tests.stripe_deliveries import Thing, alice, deliver

__all__ = ["alice", "own_folder"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]
ROOT = Path(__file__).resolve().parent.parent.parent


def command(*words: str, code: int = 0) -> dict[str, Any]:
    out, found = io.StringIO(), 0
    try:
        call_command("resync_stripe", "--json", *words, stdout=out, stderr=io.StringIO(), skip_checks=True)
    except SystemExit as end:
        found = int(end.code or 0)
    assert found == code, out.getvalue()
    return dict(json.loads(out.getvalue()))


def bad_usage(*words: str) -> str:
    with pytest.raises(CommandError) as raised:
        call_command("resync_stripe", *words, stdout=io.StringIO(), stderr=io.StringIO(), skip_checks=True)
    return str(raised.value)


def test_a_dry_run_that_finds_differences_exits_1_and_the_resync_after_it_mends_them(
    stripe: StripeServer, alice: Thing
):
    stripe.subscribe(alice, "starter")
    dry = command("--dry-run", code=1)
    assert set(dry) >= {"calls", "compared", "differences", "applied", "error"}
    assert (dry["compared"], dry["applied"]) == (1, 0)
    assert set(dry["differences"][0]) >= {"kind", "user_id", "expected", "found", "action"}
    assert UserBattery.objects.count() == 0
    assert set(Finding.objects.values_list("state", flat=True)) == {FindingState.OPEN}
    done = command()
    assert done["applied"] == len(dry["differences"]) == len(done["differences"])
    assert {each["action"] for each in done["differences"]} == {"repaired"}
    assert set(Finding.objects.values_list("state", flat=True)) == {FindingState.REPAIRED}
    assert command("--dry-run")["differences"] == []


def test_it_says_of_which_payments_it_can_tell(stripe: StripeServer, alice: Thing):
    assert command()["payments_since"][:10] == f"{timezone.now() - timedelta(days=35):%Y-%m-%d}"
    assert command("--since", "2020-01-01")["payments_since"] == "2020-01-01T00:00:00+00:00"
    assert command("--user", "user_alice")["payments_since"] is None
    out = io.StringIO()
    call_command("resync_stripe", stdout=out, stderr=io.StringIO(), skip_checks=True)
    assert "Each payment since" in out.getvalue()


def test_a_finding_of_an_older_payment_is_not_gone_because_nobody_looked(stripe: StripeServer, alice: Thing):
    User.objects.update(stripe_customer_id=alice["id"])
    now = timezone.now()
    stripe.clock = int((now - timedelta(days=90)).timestamp())
    stripe.buy_pack(alice, 500, 3000, in_metadata_of="session")
    stripe.clock = int(now.timestamp())
    command("--since", "2020-01-01", "--dry-run", code=1)
    command()
    assert Finding.objects.get().state == FindingState.OPEN
    command("--user", "user_alice")
    assert Finding.objects.get().state == FindingState.REPAIRED


def test_a_finding_of_an_older_pack_is_gone_once_it_is_credited(stripe: StripeServer, alice: Thing):
    """The usual run looks at it, for its payment names the units."""
    User.objects.update(stripe_customer_id=alice["id"])
    now = timezone.now()
    stripe.clock = int((now - timedelta(days=90)).timestamp())
    stripe.buy_pack(alice, 500, 3000)
    stripe.clock = int(now.timestamp())
    command("--dry-run", code=1)
    deliver(stripe)
    command()
    assert Finding.objects.get().state == FindingState.GONE


def test_a_run_that_was_killed_long_ago_does_not_run_for_ever(stripe: StripeServer):
    run = ResyncRun.objects.create(started_by="x", since=timezone.now())
    ResyncRun.objects.update(started_at=timezone.now() - timedelta(days=2))
    command()
    run.refresh_from_db()
    assert (run.state, run.error) == (ResyncState.FAILED, resync._STOPPED)


def test_it_prints_a_line_for_each_difference_and_one_of_counts(stripe: StripeServer, alice: Thing):
    stripe.buy_pack(alice, 500, 3000)
    out = io.StringIO()
    call_command("resync_stripe", stdout=out, stderr=io.StringIO(), skip_checks=True)
    assert "repaired  pack_not_credited user_alice pi:" in out.getvalue()
    assert "2 mended, 0 left for a person." in out.getvalue()


def test_what_is_left_exits_1_and_is_gone_once_it_is_set_right(stripe: StripeServer, alice: Thing):
    User.objects.update(tier="paid")
    command(code=1)
    command(code=1)
    finding = Finding.objects.get(kind="paid_without_subscription")
    assert finding.state == FindingState.LEFT
    User.objects.update(tier="free")
    command()
    finding.refresh_from_db()
    assert finding.state == FindingState.GONE


def test_bad_usage_and_unknown_users_are_told(stripe: StripeServer, settings: Any):
    assert "no user user_nobody" in command("--user", "user_nobody", code=1)["error"]
    assert "no moment" in bad_usage("--since", "the other day")
    assert "has not come yet" in bad_usage("--since", "2199-11-22")
    settings.STRIPE_SECRET_KEY = ""
    assert "STRIPE_SECRET_KEY is not set" in command(code=1)["error"]


def test_some_users_by_the_command(stripe: StripeServer, alice: Thing):
    User.objects.create(id="user_bob", email="bob@example.com", tier="paid")
    stripe.subscribe(alice, "starter")
    assert command("--user", "user_alice")["compared"] == 1
    assert command("--since", "2h")["compared"] == 1
    User.objects.filter(pk="user_bob").update(updated_at=timezone.now())
    assert command("--since", "2h", code=1)["compared"] == 2


def test_more_repairs_than_many_are_asked_about_first(
    stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resync, "MANY", 2)
    stripe.subscribe(alice, "starter")
    found = command(code=1)
    assert "--no-input" in found["error"]
    assert (found["applied"], UserBattery.objects.count()) == (0, 0)
    assert ResyncRun.objects.get().state == ResyncState.WAITING
    assert command("--no-input")["applied"] > 2


def test_observing_finds_and_writes_nothing(stripe: StripeServer, alice: Thing, settings: Any):
    settings.STRIPE_EFFECTS = "observe"
    stripe.subscribe(alice, "starter")
    assert "observe" in command(code=1)["error"]
    assert User.objects.get().tier == "free"


def test_a_job_does_the_same_with_progress(stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch):
    stripe.subscribe(alice, "starter")
    job = resync.order(Wish(("user_alice",)), by=None)
    work_off()
    job.refresh_from_db()
    run = ResyncRun.objects.get()
    assert (job.state, job.result["resync"], run.job) == (JobState.DONE, run.pk, job)
    assert (run.state, run.applied, run.users) == (ResyncState.DONE, run.differences, ["user_alice"])
    assert User.objects.get().tier == "paid"
    monkeypatch.setattr(resync, "MANY", 0)
    stripe.advance(days=32)
    resync.order(Wish(), by=None)
    work_off()
    assert ResyncRun.objects.first().state == ResyncState.WAITING  # type: ignore[union-attr]
    resync.order(Wish(), by=None, confirmed=True)
    work_off()
    assert UserBattery.objects.get().total_balance == 12_000


def test_a_job_fails_with_the_sentence_of_what_is_wrong(stripe: StripeServer, settings: Any):
    settings.STRIPE_SECRET_KEY = ""
    job = resync.order(Wish(), by=None)
    work_off()
    job.refresh_from_db()
    assert (job.state, "STRIPE_SECRET_KEY" in job.error) == (JobState.FAILED, True)


def test_a_finding_is_settled_by_a_person_once(stripe: StripeServer, alice: Thing):
    User.objects.update(tier="paid")
    command(code=1)
    finding = Finding.objects.get(kind="paid_without_subscription")
    carla = Login.objects.create_user("carla")
    assert resync.settle([finding.pk], "She is staff.", by=carla) == 1
    assert resync.settle([finding.pk], "Again.", by=carla) == 0
    finding.refresh_from_db()
    assert (finding.state, finding.note, finding.settled_by) == (FindingState.DONE, "She is staff.", carla)
    assert StaffEvent.objects.get().action == "finding.done"


def test_a_run_that_goes_on_is_the_same_run(stripe: StripeServer, alice: Thing, monkeypatch: pytest.MonkeyPatch):
    stripe.subscribe(alice, "starter")

    def die(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resync.Resync, "repair", die)
        command(code=1)
    assert ResyncRun.objects.get().state == ResyncState.FAILED
    command()
    assert ResyncRun.objects.get().state == ResyncState.DONE


@pytest.mark.sqlite_only("the processes share files")
def test_a_command_that_is_killed_goes_on_where_it_stopped(
    stripe: StripeServer, files: Path, manage: Callable[..., Any]
):
    stripe.bulk(3000, user="user_{n}")
    for plan, interval in stripe.prices:
        column = f"stripe_price_id_{'monthly' if interval == 'month' else 'annual'}"
        sql(f"UPDATE subscription_plans SET {column} = %s WHERE id = %s", stripe.prices[plan, interval], plan)
    sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO users "
        "(id, email, tier, subscriptionStatus, stripeCustomerId) "
        "SELECT 'user_' || i, 'user' || i || '@example.com', 'free', 'inactive', printf('cus_%%014d', i) FROM n"
    )
    stripe.faults.latency = 0.1
    variables = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url}
    urls = {
        "CONSOLE_DATABASE_URL": f"sqlite:///{files / 'console.sqlite3'}",
        "OMNICHAT_DATABASE_URL": f"sqlite:///{files / 'omnichat.sqlite3'}",
    }
    words = [sys.executable, "manage.py", "resync_stripe", "--no-input", "--json"]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **urls, **variables}, stdout=subprocess.PIPE)
    until = time.monotonic() + 600
    while stripe.calls["GET /v1/customers"] < 12 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stripe.faults.latency = 0
    stripe.reset_calls()
    done = manage("resync_stripe", "--no-input", "--json", **urls, **variables)
    result = json.loads(done.stdout)
    assert stripe.calls["GET /v1/customers"] < 30
    assert (done.returncode, result["compared"]) == (0, 3000)
    assert User.objects.filter(tier="paid").count() == 1500
    assert BatteryTransaction.objects.count() == 0


def sql(words: str, *params: Any) -> None:
    with connections["omnichat"].cursor() as cursor:
        cursor.execute(words, list(params))
