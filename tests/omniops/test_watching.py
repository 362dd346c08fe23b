"""Whether it is alive and ready, what Prometheus, the log and Sentry get, and that none of it tells a secret."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from console.models import InboxEvent, Job, StaffEvent
from omniops.watching import probes, sentry
from omniops.watching.probes import Kept

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "kept", Kept())


def test_it_is_alive_without_asking_a_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), django_assert_num_queries(0, using="omnichat"):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert not answer.cookies


def test_it_is_ready_when_both_databases_are(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "default": "ok", "omnichat": "ok"})


def test_a_storm_of_probes_asks_once(client: Client, django_assert_num_queries: Any) -> None:
    client.get("/readyz")
    with django_assert_num_queries(0), django_assert_num_queries(0, using="omnichat"):
        assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20


def test_it_asks_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    kept = Kept(clock=lambda: now[0])
    monkeypatch.setitem(probes.CHECKS, "omnichat", lambda: False)
    assert kept.found()["omnichat"] == "not migrated"
    monkeypatch.setitem(probes.CHECKS, "omnichat", lambda: True)
    assert kept.found()["omnichat"] == "not migrated"
    now[0] += probes.KEPT_FOR
    assert kept.found()["omnichat"] == "ok"


def test_a_database_that_does_not_answer_is_named_and_its_error_is_not(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> bool:
        raise OperationalError("postgres://console:hush@db refused")

    monkeypatch.setitem(probes.CHECKS, "default", down)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["default"]) == (503, "does not answer")
    assert "hush" not in answer.text


def test_a_database_that_hangs_keeps_no_probe_waiting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    end, asked = threading.Event(), []

    def hangs() -> bool:
        asked.append(1)
        return end.wait(60)

    monkeypatch.setattr(probes, "PATIENCE", 0.2)
    monkeypatch.setitem(probes.CHECKS, "omnichat", hangs)
    told = [client.get("/readyz").json()]
    told += [client.get("/readyz").json() for _ in range(2)]
    end.set()
    assert {each["omnichat"] for each in told} == {"does not answer"}
    assert len(asked) == 1, "each probe that waits for the same database takes a thread of the server with it"


def test_there_are_no_metrics_until_they_are_asked_for(client: Client, settings: Any) -> None:
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "a-token"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer é"}).status_code == 401


def test_metrics_tell_what_waits_and_what_is_left(
    client: Client, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.METRICS_TOKEN = "a-token"
    settings.STRIPE_SECRET_KEY = "sk_test_hush"
    Job.objects.create(kind="x", title="x")
    event = InboxEvent.objects.create(source="stripe", event_id="evt_1", type="x", payload="{}")
    InboxEvent.objects.filter(pk=event.pk).update(received_at=timezone.now() - timedelta(hours=1))
    with django_assert_num_queries(0, using="omnichat"):
        answer = client.get("/metrics", headers={"Authorization": "Bearer a-token"})
    told = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert answer.status_code == 200
    assert told['omniops_jobs{state="queued"}'] == "1.0"
    assert float(told["omniops_webhooks_oldest_seconds"]) >= 3600
    assert float(told["omniops_d1_requests_left"]) > 0
    assert "omniops_stripe_calls" in answer.text
    assert float(told["omniops_stripe_requests_left"]) == 20
    assert "hush" not in answer.text


def test_each_figure_is_explained_by_an_alarm_or_beside_one(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN, settings.STRIPE_SECRET_KEY = "a-token", "sk_test_hush"
    StaffEvent.objects.create(action="backup make")
    answer = client.get("/metrics", headers={"Authorization": "Bearer a-token"})
    names = set(re.findall(r"^# HELP (omniops_\w+)", answer.text, re.M))
    page = (Path(settings.BASE_DIR) / "docs" / "watching.md").read_text()
    assert len(names) >= 9
    assert {name for name in names if name not in page} == set()


def test_errors_are_logged_where_nobody_debugs() -> None:
    """Django's own configuration tells of them to nobody but administrators with an email address."""
    assert logging.getLogger("django.request").hasHandlers()


def test_in_public_each_line_is_json_with_the_id_of_its_request(manage: Callable) -> None:
    shown = """
from django.test import Client
Client(SERVER_NAME="ops.example.com").get("/healthz?email=hush@example.com", HTTP_AUTHORIZATION="Bearer hush")
"""
    done = manage("shell", "-v0", "-c", shown, DJANGO_ALLOWED_HOSTS="ops.example.com", DJANGO_SECRET_KEY="x" * 50)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"request_started", "request_finished"}
    assert len({line["request_id"] for line in lines}) == 1
    assert all(line["request_id"] for line in lines)
    assert "hush" not in done.stderr


def test_nobody_writes_into_the_log_who_and_which_request_it_is(manage: Callable) -> None:
    shown = """
from django.test import Client
forged = {f"HTTP_X_{name}": "forged\\r\\n{}" for name in ("REQUEST_ID", "CORRELATION_ID", "FORWARDED_FOR")}
Client(SERVER_NAME="ops.example.com").get("/healthz", REMOTE_ADDR="198.51.100.7", **forged)
"""
    done = manage("shell", "-v0", "-c", shown, DJANGO_ALLOWED_HOSTS="ops.example.com", DJANGO_SECRET_KEY="x" * 50)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["ip"] for line in lines} == {"198.51.100.7"}
    assert all(UUID(line["request_id"]) for line in lines)
    assert "forged" not in done.stderr


def test_on_this_machine_nothing_of_it_is_on(manage: Callable) -> None:
    asks = 'from django.test import Client; Client(SERVER_NAME="localhost").get("/healthz")'
    shown = f'{asks}; import sys; print("sentry_sdk" in sys.modules)'
    done = manage("shell", "-v0", "-c", shown)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_sentry_gets_no_body_no_header_and_no_variable() -> None:
    event = {
        "request": {"url": "https://ops/x", "data": "hush", "cookies": "hush", "headers": {"a": "hush"}, "env": "hush"},
        "user": {"email": "hush"},
        "extra": {"a": "hush"},
        "breadcrumbs": {"values": [{"message": "hush"}]},
        "logentry": {"message": "Of %s", "formatted": "Of hush", "params": ["hush"]},
        "exception": {
            "values": [
                {
                    "type": "E",
                    "value": "Key (email)=(hush@x.org)",
                    "stacktrace": {"frames": [{"function": "f", "vars": {"a": "hush"}}]},
                }
            ]
        },
    }
    sent = sentry.without_secrets(event)
    assert "hush" not in json.dumps(sent)
    assert sent["exception"]["values"][0]["stacktrace"]["frames"] == [{"function": "f"}]
    assert sent["logentry"] == {"message": "Of %s"}


def test_what_an_error_says_has_no_address_and_no_password_when_it_goes_to_sentry() -> None:
    told = "postgres://console:hush@db:5432/x refused hush.ho+x@example.com, then <hush@example.org>"
    sent = sentry.without_secrets({"exception": {"values": [{"value": told}]}, "message": told})
    assert "hush" not in json.dumps(sent)
    assert "refused" in sent["message"]
