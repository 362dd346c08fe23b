"""A resync from its form to a finding that is worked off, and how its pages look."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Site

RUNS, FINDINGS = "/admin/console/resyncrun/", "/admin/console/finding/"


def looked_at(page: Page, axe: Callable[..., list[str]]) -> None:
    assert page.locator("h1").count() == 1, page.url
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert axe(page) == [], page.url


UNSETTLED = f"{FINDINGS}?state=unsettled"
SPOILED = """UPDATE users SET tier = 'free' WHERE id =
    (SELECT user_id FROM user_subscriptions WHERE status = 'active' ORDER BY id DESC LIMIT 1)"""


def a_finding(enter: Callable[..., Page], site: Site, look: str) -> Page:
    """The list of findings that wait, filled by a resync that only looks."""
    page = enter("admin", look)
    page.goto(UNSETTLED)
    if not page.locator("#result_list tbody tr").count():
        # Another test's resync may have mended all that the demo plants.
        with closing(sqlite3.connect(site.omnichat, timeout=30)) as database:
            database.execute(SPOILED)
            database.commit()
        page.goto(f"{RUNS}add/")
        page.get_by_label("Only look").check()
        page.get_by_role("button", name="Resync", exact=True).click()
        expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=60_000)
        page.goto(UNSETTLED)
    return page


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_pages_of_resyncs_fit_the_screen_and_hinder_nobody(
    enter: Callable[..., Page], site: Site, axe: Callable[..., list[str]], look: str
) -> None:
    page = a_finding(enter, site, look)
    looked_at(page, axe)
    page.locator("#result_list tbody th a").first.click()
    looked_at(page, axe)
    for address in (RUNS, f"{RUNS}add/"):
        page.goto(address)
        looked_at(page, axe)
    page.goto(RUNS)
    page.locator("#result_list tbody th a").first.click()
    looked_at(page, axe)


def test_a_finding_is_marked_as_done_with_a_note(enter: Callable[..., Page], site: Site) -> None:
    page = a_finding(enter, site, "light")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_label("What was done").fill("Looked at it with the customer.")
    page.get_by_role("button", name="Mark as done").click()
    expect(page.get_by_text("It is done.")).to_be_visible()
