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


LOOKS = ("light", "dark", "phone")
#: The pages of which the documentation has a picture in each look.
PICTURED = {"/admin/": "home", "/admin/chat/user/": "users"}


@pytest.mark.parametrize("address", [*OTHERS, *LISTS])
def test_it_fits_the_screen_and_hinders_nobody(
    enter: Callable[..., Page], fits: Callable[..., None], address: str
) -> None:
    page = enter("admin")
    page.goto(address)
    fits(page, PICTURED.get(address, ""), in_each=True)
    row = page.locator("#result_list tbody th a").first
    if row.count():
        page.goto(str(row.get_attribute("href")))
        page.evaluate("document.querySelectorAll('[role=tabpanel]').forEach(section => { section.hidden = false; })")
        # All forms are made of the same parts: in the dark and on a phone the richest are enough.
        fits(page, looks=LOOKS if address in ("/admin/chat/user/", "/admin/billing/usersubscription/") else ["light"])


def test_the_page_of_the_login_does_too(enter: Callable[..., Page], fits: Callable[..., None]) -> None:
    page = enter(None)
    page.goto("/admin/login/")
    fits(page)
