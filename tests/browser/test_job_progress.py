"""Jobs in a browser: started, followed without a reload, stopped; and the schedule, in each look."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

Enter = Callable[..., Page]
NOW = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
#: A running job whose heart beats on, so that no worker touches it.
RUNNING = {
    "kind": "test.none", "title": "Grants of outage.csv", "arguments": '{"file": "outage.csv"}', "state": "running",
    "done": 300, "total": 1200, "message": "row 300", "log": "12:00:00 begun\n", "attempts": 1, "error": "",
    "in_command": 0, "cancel_asked": 0, "lease": "x", "attempt_done": 0, "created_at": NOW, "started_at": NOW,
    "attempt_at": NOW, "heartbeat_at": "2999-01-01 00:00:00",
}  # fmt: skip


@pytest.fixture
def console(site: Any) -> Callable[..., Any]:
    """Runs a statement on the console's own database."""

    def run(sql: str, *values: Any) -> Any:
        with closing(sqlite3.connect(site.omnichat.with_name("console.sqlite3"), timeout=60)) as connection, connection:
            cursor = connection.execute(sql, values)
            return cursor.lastrowid if sql.startswith("INSERT") else cursor.fetchall()

    return run


@pytest.fixture
def job(console: Callable[..., Any]) -> Iterator[int]:
    names, marks = ", ".join(RUNNING), ", ".join("?" * len(RUNNING))
    pk = console(f"INSERT INTO console_job ({names}) VALUES ({marks})", *RUNNING.values())
    yield pk
    console("DELETE FROM console_job WHERE id = ?", pk)


def test_progress_moves_without_a_reload(enter: Enter, console: Callable[..., Any], job: int) -> None:
    page = enter("operator")
    page.goto(f"/admin/console/job/{job}/change/")
    page.evaluate("window.untouched = true")
    expect(page.locator(".job-progress")).to_contain_text("300 of 1,200 (25%)")
    console("UPDATE console_job SET done = 900, message = 'row 900' WHERE id = ?", job)
    expect(page.locator(".job-progress")).to_contain_text("900 of 1,200 (75%)")
    expect(page.locator(".job-progress progress")).to_have_js_property("value", 75)
    assert page.evaluate("window.untouched")
    console("UPDATE console_job SET state = 'done', result = '{\"granted\": 1200}' WHERE id = ?", job)
    expect(page.locator("#result + dl")).to_contain_text("1,200")


def test_a_running_job_is_asked_to_stop_by_its_button(enter: Enter, job: int) -> None:
    page = enter("operator")
    page.goto(f"/admin/console/job/{job}/change/")
    page.get_by_role("button", name="Cancel it").click()
    expect(page.locator(".messagelist")).to_contain_text("asked to stop")
    expect(page.get_by_role("button", name="Cancel it")).to_have_count(0)


def test_what_is_scheduled_runs_now_beside_the_pages(enter: Enter) -> None:
    page = enter("operator")
    page.goto("/admin/console/scheduleentry/")
    page.get_by_role("link", name="Pruning of jobs and sessions").click()
    page.get_by_role("button", name="Run it now").click()
    page.wait_for_url("**/console/job/**")
    expect(page.locator(".job-progress [data-part=label]")).to_have_text("done")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()


def test_the_pages_of_jobs_fit_the_screen_and_hinder_nobody(enter: Enter, fits: Callable[..., None], job: int) -> None:
    page = enter("operator")
    page.goto("/admin/console/scheduleentry/")
    fits(page)
    entry = str(page.locator("#result_list tbody th a").first.get_attribute("href"))
    for address in ("/admin/console/job/", f"/admin/console/job/{job}/change/", entry):
        page.goto(address)
        fits(page)


def test_without_javascript_a_job_tells_how_far_it_is(enter: Enter, job: int) -> None:
    page = enter("operator", java_script_enabled=False)
    page.goto(f"/admin/console/job/{job}/change/")
    expect(page.locator(".job-progress")).to_contain_text("300 of 1,200 (25%)")
    expect(page.locator(".job-progress noscript p")).to_be_visible()
