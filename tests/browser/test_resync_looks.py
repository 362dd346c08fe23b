"""A resync from its form to a finding that is worked off, and how its pages look."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Site

RUNS, FINDINGS = "/admin/console/resyncrun/", "/admin/console/finding/"
UNSETTLED = f"{FINDINGS}?state=unsettled"
SPOILED = """UPDATE users SET tier = 'free' WHERE id =
    (SELECT user_id FROM user_subscriptions WHERE status = 'active' ORDER BY id DESC LIMIT 1)"""


def a_finding(enter: Callable[..., Page], site: Site) -> Page:
    """The list of findings that wait, filled by a resync that only looks."""
    page = enter("admin")
    page.goto(UNSETTLED)
    if not page.locator("#result_list tbody tr").count():
        # Another test's resync may have mended all that the demo plants.
        with closing(sqlite3.connect(site.omnichat, timeout=30)) as database:
            database.execute(SPOILED)
            database.commit()
        page.goto(f"{RUNS}add/")
        page.get_by_label("Only look").check()
        page.get_by_role("button", name="Resync", exact=True).click()
        expect(page.get_by_role("heading", name="Result")).to_be_visible()
        page.goto(UNSETTLED)
    return page


def test_the_pages_of_resyncs_fit_the_screen_and_hinder_nobody(
    enter: Callable[..., Page], site: Site, fits: Callable[..., None]
) -> None:
    page = a_finding(enter, site)
    fits(page)
    page.locator("#result_list tbody th a").first.click()
    fits(page)
    for address in (RUNS, f"{RUNS}add/"):
        page.goto(address)
        fits(page)
    page.goto(RUNS)
    page.locator("#result_list tbody th a").first.click()
    fits(page)


def test_a_finding_is_marked_as_done_with_a_note(enter: Callable[..., Page], site: Site) -> None:
    page = a_finding(enter, site)
    page.locator("#result_list tbody th a").first.click()
    page.get_by_label("What was done").fill("Looked at it with the customer.")
    page.get_by_role("button", name="Mark as done").click()
    expect(page.get_by_text("It is done.")).to_be_visible()
