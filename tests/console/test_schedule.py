"""The schedule: what is due starts once, whatever the number of workers, and what was missed is made up for once."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from console import job_run, schedule
from console.models import Job, JobState, ScheduleEntry
from console.schedule import begin_due, next_run

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.sqlite_only(reason="the schedule is in the console's own database"),
]
REGISTERED = schedule.SCHEDULED
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def allowance() -> schedule.Scheduled:
    return REGISTERED["allowance"]


@pytest.fixture(autouse=True)
def backup(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry: a backup each day at two, and nothing else."""
    monkeypatch.setitem(job_run.KINDS, "test.backup", job_run.Kind("test.backup", "Backup", lambda run: {}, ""))
    monkeypatch.setattr(schedule, "SCHEDULED", {})
    schedule.register("backup", "Backup", "test.backup", at=time(2, 0), arguments=lambda now: {"day": str(now.date())})


def entry() -> ScheduleEntry:
    return ScheduleEntry.objects.get(name="backup")


def ended() -> None:
    Job.objects.update(state=JobState.DONE)


def test_an_entry_starts_at_its_time_and_once() -> None:
    assert begin_due(NOON) == 0
    assert entry().next_at == datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    assert begin_due(NOON + timedelta(hours=15)) == 1
    assert begin_due(NOON + timedelta(hours=15)) == 0
    job = Job.objects.get()
    assert (job.key, job.arguments) == ("schedule:backup:2026-11-23T02:00:00Z", {"day": "2026-11-23"})
    assert (entry().last_at, entry().last_job) == (datetime(2026, 11, 23, 2, 0, tzinfo=UTC), job)
    assert entry().next_at == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def test_two_workers_that_saw_the_same_time_start_one_job() -> None:
    schedule.make_entries(NOON)
    due = list(ScheduleEntry.objects.select_related("last_job"))
    later = NOON + timedelta(days=1)
    assert [schedule._begin(each, later) for each in (*due, *due)] == [True, False]
    assert Job.objects.count() == 1


def test_what_was_missed_for_days_runs_once() -> None:
    schedule.make_entries(NOON)
    assert begin_due(NOON + timedelta(days=5)) == 1
    assert entry().next_at == datetime(2026, 11, 28, 2, 0, tzinfo=UTC)


def test_what_is_switched_off_does_not_run_and_is_not_made_up_for() -> None:
    schedule.make_entries(NOON)
    schedule.change(entry(), is_enabled=False, at=time(2, 0), every_seconds=None)
    assert begin_due(NOON + timedelta(days=5)) == 0
    schedule.change(entry(), is_enabled=True, at=time(2, 0), every_seconds=None)
    assert entry().next_at > datetime.now(UTC)


def test_the_next_is_left_out_while_the_one_before_runs() -> None:
    schedule.make_entries(NOON)
    begun = [begin_due(NOON + timedelta(days=day)) for day in (1, 2)]
    ended()
    assert [*begun, begin_due(NOON + timedelta(days=3))] == [1, 0, 1]


def test_an_interval_keeps_its_beat() -> None:
    each = ScheduleEntry(every_seconds=3600, next_at=NOON)
    assert next_run(each, NOON + timedelta(minutes=10)) == NOON + timedelta(hours=1)
    assert next_run(each, NOON + timedelta(hours=5)) == NOON + timedelta(hours=6)
    assert next_run(ScheduleEntry(every_seconds=3600), NOON) == NOON + timedelta(hours=1)


def test_an_entry_that_the_code_no_longer_has_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule.make_entries(NOON)
    monkeypatch.setattr(schedule, "SCHEDULED", {})
    assert begin_due(NOON + timedelta(days=2)) == 0
    with pytest.raises(schedule.NotStarted, match="no longer"):
        schedule.begin_now(entry(), by=None)


def test_an_entry_without_its_kind_does_not_keep_the_others_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule.register("aaa", "Broken", "test.gone", at=time(1, 0))
    schedule.make_entries(NOON)
    assert begin_due(NOON + timedelta(days=1)) == 1
    assert Job.objects.get().kind == "test.backup"


def test_the_daily_allowance_is_on_at_five_past_midnight(allowance: schedule.Scheduled) -> None:
    assert (allowance.at, allowance.enabled, allowance.kind) == (time(0, 5), True, "battery.allowance")
    # West of Greenwich the day is still the one before.
    assert allowance.arguments(datetime.fromisoformat("2026-11-22T19:05:00-05:00")) == {"date": "2026-11-23"}
