"""What staff do each day, walked through as they do it."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Site, Watch

Enter = Callable[..., Page]
Picture = Callable[[Page, str], None]


@pytest.fixture
def account(site: Site) -> tuple[str, str]:
    """The Clerk id and the email of an account."""
    with sqlite3.connect(site.omnichat) as database:
        return database.execute("SELECT id, email FROM users WHERE tier = 'paid' ORDER BY id LIMIT 1").fetchone()


def open_account(page: Page, email: str) -> None:
    """As staff do: `/`, the beginning of the email, Enter, the user, and the form."""
    page.goto("/admin/")
    page.keyboard.press("/")
    page.keyboard.type(email[:-4])
    page.keyboard.press("Enter")
    page.get_by_role("link", name=email, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(email)
    page.get_by_role("link", name=re.compile("^(Edit profile|Profile)$")).click()
    page.wait_for_url("**/chat/user/**")


def test_support_finds_an_account_and_corrects_its_name(
    enter: Enter, account: tuple[str, str], picture: Picture
) -> None:
    page = enter("support")
    open_account(page, account[1])
    picture(page, "user")
    page.get_by_label("Name", exact=True).fill("Alice Corrected")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("was changed successfully")
    page.goto(f"/admin/database/auditlog/?user={account[0]}")
    expect(page.locator("#result_list tbody tr").first).to_contain_text("support")


def test_the_second_of_two_editors_is_told_and_overwrites_nothing(
    enter: Enter, account: tuple[str, str], watch: Watch
) -> None:
    first, second = enter("support"), enter("support")
    for page in (first, second):
        open_account(page, account[1])
    first.get_by_label("Name", exact=True).fill("The First")
    first.get_by_role("button", name="Save", exact=True).click()
    expect(first.get_by_role("status").first).to_contain_text("was changed successfully")
    second.get_by_label("Name", exact=True).fill("The Second")
    second.get_by_role("button", name="Save", exact=True).click()
    expect(second.locator("#content")).to_contain_text("Somebody else has changed this row")
    watch.expect_status(409)
    open_account(second, account[1])
    expect(second.get_by_label("Name", exact=True)).to_have_value("The First")


def test_a_list_is_turned_page_by_page(enter: Enter, picture: Picture) -> None:
    page = enter("auditor")
    page.goto("/admin/billing/batterytransaction/")
    first_row = page.locator("#result_list tbody tr").first.inner_text()
    page.get_by_role("link", name="Next", exact=True).click()
    page.wait_for_load_state()
    expect(page.get_by_role("link", name="Previous", exact=True)).to_be_visible()
    assert page.locator("#result_list tbody tr").first.inner_text() != first_row
    page.get_by_role("link", name="First", exact=True).click()
    page.wait_for_load_state()
    expect(page.get_by_role("link", name="Previous", exact=True)).to_have_count(0)
    assert page.locator("#result_list tbody tr").first.inner_text() == first_row
    picture(page, "transactions")


def test_a_filter_shows_what_is_set_and_is_cleared_by_itself(enter: Enter, account: tuple[str, str]) -> None:
    page = enter("billing")
    page.goto(f"/admin/billing/batterytransaction/?user={account[0]}")
    chip = page.locator("[data-filter-title=type]")
    chip.locator("summary").click()
    chip.get_by_role("link", name="subscription").click()
    expect(chip.locator("summary strong")).to_have_text("subscription")
    page.wait_for_load_state()
    states = page.locator("#result_list .state")
    assert set(states.all_inner_texts()) == {"subscription"}
    page.get_by_role("link", name="Clear the filter type").click()
    expect(chip.locator("summary strong")).to_have_count(0)
    assert f"user={account[0]}" in page.url, "the other filter stays"
    page.get_by_role("link", name="Clear all filters").click()
    expect(page).not_to_have_url(re.compile("user="))


def test_a_list_goes_to_a_day(enter: Enter) -> None:
    page = enter("auditor")
    page.goto("/admin/chat/message/")
    page.get_by_role("link", name="Last", exact=True).click()
    page.wait_for_url("**last=1**")
    oldest = page.locator("#result_list tbody time").last.get_attribute("datetime") or ""
    page.goto("/admin/chat/message/")
    page.get_by_text("Go to day").click()
    page.get_by_label("Day (UTC)").fill(oldest[:10])
    page.get_by_role("button", name="Go", exact=True).click()
    page.wait_for_url(f"**at={oldest[:10]}**")
    days = [each.get_attribute("datetime") or "" for each in page.locator("#result_list tbody time").all()]
    assert days
    assert all(day[:10] <= oldest[:10] for day in days)


def test_an_export_holds_the_rows_of_the_list(enter: Enter) -> None:
    page = enter("support")
    page.goto("/admin/chat/user/?tier=paid")
    counted = page.locator(".count").inner_text().split()[0]
    page.get_by_role("link", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert len(rows) == int(counted.replace(",", ""))
    assert {row["tier"] for row in rows} == {"paid"}


def test_an_import_is_shown_before_it_is_made(
    enter: Enter, account: tuple[str, str], tmp_path: Path, picture: Picture
) -> None:
    file = tmp_path / "names.csv"
    file.write_text(f"id,name\n{account[0]},Imported Name\n")
    page = enter("support")
    page.goto("/admin/chat/user/import/")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Show the changes").click()
    expect(page.locator(".changes ins")).to_have_text("Imported Name")
    picture(page, "import")
    page.get_by_role("button", name="Make these changes").click()
    expect(page.get_by_role("status").first).to_contain_text("1 row of names.csv was written")
    open_account(page, account[1])
    expect(page.get_by_label("Name", exact=True)).to_have_value("Imported Name")


def test_billing_moves_a_subscription_to_another_status(enter: Enter) -> None:
    page = enter("billing")
    page.goto("/admin/billing/usersubscription/?status=active")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_label("Status").select_option("past_due")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_role("status").first).to_contain_text("was changed successfully")
    expect(page.locator(".facts .state")).to_have_text("past due")


def test_an_auditor_reads_and_is_offered_no_change(enter: Enter, account: tuple[str, str]) -> None:
    page = enter("auditor")
    open_account(page, account[1])
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.locator("main input:not([type=hidden]):visible, main select")).to_have_count(0)


def test_an_operator_sees_staff_and_support_does_not(enter: Enter) -> None:
    seen = {}
    for role in ("operator", "support"):
        page = enter(role)
        page.goto("/admin/")
        seen[role] = page.get_by_role("navigation", name="Lists").get_by_role("link").all_inner_texts()
    assert {"Logins", "Roles", "Staff events"} <= set(seen["operator"])
    assert not {"Logins", "Roles", "Staff events"} & set(seen["support"])


def test_what_a_role_may_not_do_is_told_without_a_complaint_of_the_server(enter: Enter, watch: Watch) -> None:
    page = enter("support")
    for address, words in (("/admin/auth/user/", "Your role does not allow this"), ("/admin/nope/", "no such page")):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_contain_text(words)
    watch.expect_status(403, 404)
