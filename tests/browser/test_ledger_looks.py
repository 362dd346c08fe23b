"""The page of a ledger in each look, and the way to it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect


def test_the_ledger_fits_the_screen_and_hinders_nobody(enter: Callable[..., Page], fits: Callable[..., None]) -> None:
    page = enter("admin")
    page.goto("/admin/billing/batterytransaction/")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="Ledger").first.click()
    page.wait_for_url("**/ledger/**")
    expect(page.get_by_role("img", name="Balance at the end of each day")).to_be_visible()
    fits(page, "ledger")
    page.get_by_text("As a table").click()
    expect(page.get_by_role("table", name="Days on which the balance changed")).to_be_visible()
    fits(page)
