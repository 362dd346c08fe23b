"""Each page, in each look: nothing wider than the screen, nothing that axe-core finds serious, no complaint."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

LISTS = (
    "/admin/chat/user/",
    "/admin/chat/conversation/",
    "/admin/chat/message/",
    "/admin/billing/subscriptionplan/",
    "/admin/billing/usersubscription/",
    "/admin/billing/userbattery/",
    "/admin/billing/batterytransaction/",
    "/admin/chat/apiusage/",
    "/admin/chat/dailyusagesummary/",
    "/admin/database/auditlog/",
    "/admin/database/schemaversion/",
    "/admin/console/staffevent/",
    "/admin/auth/user/",
    "/admin/auth/group/",
)
OTHERS = ("/admin/", "/admin/password_change/", "/admin/chat/user/?q=nobody-at-all", "/admin/chat/user/?tier=paid")


def pages_of_a_list(page: Page, address: str) -> Iterator[str]:
    yield address
    page.goto(address)
    row = page.locator("#result_list tbody th a").first
    if row.count():
        yield row.get_attribute("href") or ""


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize("address", [*OTHERS, *LISTS])
def test_it_fits_the_screen_and_hinders_nobody(
    enter: Callable[..., Page], axe: Callable[[Page], list[str]], address: str, look: str
) -> None:
    page = enter("admin", look)
    for each in pages_of_a_list(page, address):
        page.goto(each)
        assert page.locator("h1").count() == 1, each
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), each
        assert axe(page) == [], each


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_page_of_the_login_does_too(
    enter: Callable[..., Page], axe: Callable[[Page], list[str]], picture: Callable[[Page, str], None], look: str
) -> None:
    page = enter(None, look)
    page.goto("/admin/login/")
    assert axe(page) == []
    picture(page, f"login-{look}")
