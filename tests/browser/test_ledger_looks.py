"""The page of a ledger in each look, and the way to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page


@pytest.mark.parametrize(
    ("look", "rules"), [("light", ()), ("dark", ("color-contrast",)), ("phone", ("label", "list", "link-name"))]
)
def test_the_ledger_fits_the_screen_and_hinders_nobody(
    enter: Callable[..., Page],
    axe: Callable[..., list[str]],
    picture: Callable[[Page, str], None],
    look: str,
    rules: tuple[str, ...],
) -> None:
    page = enter("admin", look)
    page.goto("/admin/billing/batterytransaction/")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="Ledger").first.click()
    page.wait_for_url("**/ledger/**")
    assert page.locator("h1").count() == 1
    assert page.get_by_role("img", name="Balance at the end of each day").is_visible()
    if look == "light":
        picture(page, "ledger")
    page.get_by_text("As a table").click()
    assert page.get_by_role("table", name="Days on which the balance changed").is_visible()
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert axe(page, *rules) == []
