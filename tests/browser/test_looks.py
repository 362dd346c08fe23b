"""Each page, in each look: nothing wider than the screen, nothing that axe-core finds serious, no complaint."""

from __future__ import annotations

from collections.abc import Callable

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


#: The pages of which the documentation has a picture in each look.
PICTURED = {"/admin/": "home", "/admin/chat/user/": "users"}
#: What axe-core looks for in each look: all its rules in the first; colours in the dark; labels as cards have them.
RULES: dict[str, tuple[str, ...]] = {"light": (), "dark": ("color-contrast",), "phone": ("label", "list", "link-name")}


@pytest.mark.parametrize("look", RULES)
@pytest.mark.parametrize("address", [*OTHERS, *LISTS])
def test_it_fits_the_screen_and_hinders_nobody(
    enter: Callable[..., Page],
    axe: Callable[..., list[str]],
    picture: Callable[[Page, str], None],
    address: str,
    look: str,
) -> None:
    page = enter("admin", look)
    page.goto(address)
    if address in PICTURED:
        picture(page, f"{PICTURED[address]}-{look}")
    row = page.locator("#result_list tbody th a").first
    # All forms are made of the same parts: in the dark and on a phone the richest are enough.
    opened = row.count() and (look == "light" or address in ("/admin/chat/user/", "/admin/billing/usersubscription/"))
    for each in [address, *([row.get_attribute("href")] if opened else [])]:
        if each != address:
            page.goto(each)
        assert page.locator("h1").count() == 1, each
        page.evaluate("document.querySelectorAll('[role=tabpanel]').forEach(section => { section.hidden = false; })")
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), each
        assert axe(page, *RULES[look]) == [], each


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_page_of_the_login_does_too(enter: Callable[..., Page], axe: Callable[..., list[str]], look: str) -> None:
    page = enter(None, look)
    page.goto("/admin/login/")
    assert axe(page) == []
