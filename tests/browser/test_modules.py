"""The ES modules: what each makes handier, and that the pages work without them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Site

Enter = Callable[..., Page]


@pytest.fixture
def page_of_a_user(site: Site) -> str:
    with sqlite3.connect(site.omnichat) as database:
        key = database.execute("SELECT id FROM users ORDER BY id LIMIT 1").fetchone()[0]
    return f"/admin/chat/user/{key.replace('_', '_5F')}/change/"


def test_the_box_is_reached_by_slash_and_by_control_k(enter: Enter) -> None:
    page = enter("support")
    page.goto("/admin/chat/message/")
    box = page.get_by_role("searchbox", name=re.compile("Find by email"))
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("a/b")
    expect(box).to_have_value("a/b")
    page.locator("h1").click()
    page.keyboard.press("Control+k")
    expect(box).to_be_focused()


def test_the_keyboard_alone_reaches_the_content_and_closes_menus(enter: Enter) -> None:
    page = enter("support")
    page.goto("/admin/chat/user/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    chip = page.locator("[data-filter-title=tier]")
    chip.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(chip.get_by_role("link", name="paid")).to_be_visible()
    page.keyboard.press("Escape")
    expect(chip.get_by_role("link", name="paid")).to_be_hidden()
    expect(chip.locator("summary")).to_be_focused()


def test_sections_are_tabs_that_arrows_turn(enter: Enter, page_of_a_user: str) -> None:
    page = enter("support")
    page.goto(page_of_a_user)
    tabs = page.get_by_role("tab")
    expect(tabs.first).to_have_attribute("aria-selected", "true")
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    expect(tabs.nth(1)).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Subscription")).to_be_visible()
    expect(page.get_by_role("main").get_by_label("Email")).to_be_hidden()


def test_a_tab_with_a_mistake_is_the_one_that_opens(enter: Enter, page_of_a_user: str) -> None:
    page = enter("support")
    page.goto(page_of_a_user)
    page.get_by_role("tab", name="Subscription").click()
    page.get_by_role("main").get_by_label("Stripe customer").fill("no customer")
    page.get_by_role("tab", name="Profile").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("tab", name="Subscription")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".errorlist:visible").first).to_be_visible()


def test_moments_stand_in_the_readers_zone_with_utc_on_hover(enter: Enter) -> None:
    page = enter("support", timezone_id="Pacific/Auckland")
    page.goto("/admin/chat/message/")
    moment = page.locator("#result_list tbody time").first
    there = page.evaluate(
        "at => new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit'}).format(new Date(at))",
        moment.get_attribute("datetime"),
    )
    assert there in moment.inner_text()
    stored = (moment.get_attribute("datetime") or "")[:19].replace("T", " ")
    assert moment.get_attribute("title") == f"{stored} UTC"


def test_an_id_is_copied_by_its_button(enter: Enter, page_of_a_user: str) -> None:
    page = enter("support", permissions=["clipboard-read", "clipboard-write"])
    page.goto(page_of_a_user)
    code = page.locator(".facts code.id")
    page.locator(".facts .copy").click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == code.inner_text()


def test_the_chosen_theme_is_kept(enter: Enter) -> None:
    page = enter("support", reduced_motion="reduce")
    page.goto("/admin/")
    page.get_by_role("button", name=re.compile("Toggle theme")).click()
    page.goto("/admin/chat/user/")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(16, 18, 22)"


def test_on_a_phone_the_menu_slides_in_and_rows_are_cards(enter: Enter) -> None:
    page = enter("support", "phone")
    page.goto("/admin/")
    expect(page.locator("#sidebar")).to_be_hidden()
    page.get_by_role("link", name="Open the menu").click()
    page.get_by_role("navigation", name="Lists").get_by_role("link", name="Messages").click()
    page.wait_for_url("**/admin/chat/message/")
    cell = page.locator("#result_list tbody td[data-label=Role]").first
    assert page.evaluate("cell => getComputedStyle(cell, '::before').content", cell.element_handle()) == '"Role"'


def test_without_javascript_nothing_is_out_of_reach(enter: Enter, page_of_a_user: str) -> None:
    page = enter("support")
    page = enter("support", java_script_enabled=False)
    page.goto(page_of_a_user)
    expect(page.get_by_role("main").get_by_label("Email")).to_be_visible()
    expect(page.get_by_role("main").get_by_label("Stripe customer")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Saved Without Scripts")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    page.locator("[data-filter-title=tier] summary").click()
    page.locator("[data-filter-title=tier]").get_by_role("link", name="paid").click()
    expect(page).to_have_url(re.compile("tier=paid"))
