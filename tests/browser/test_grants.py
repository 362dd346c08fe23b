"""A day of grants: Support gives and asks, Billing decides and takes back; each page in each look."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

Enter = Callable[..., Page]
Fits = Callable[..., None]


def ask(page: Page, units: int) -> None:
    page.goto("/admin/chat/user/?q=a")
    user = page.locator("#result_list tbody input.action-select").first.get_attribute("value")
    page.goto(f"/admin/console/grant/add/?user={user}")
    page.get_by_label("Units").fill(str(units))
    page.get_by_label("Reason").fill("Slow answers on Sunday")
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_text("Balance now")).to_be_visible()


def test_support_gives_and_asks_and_billing_decides_and_takes_back(enter: Enter, fits: Fits) -> None:
    support, billing = enter("support"), enter("billing")
    ask(support, 50)
    fits(support)
    support.get_by_role("button", name="Grant", exact=True).click()
    expect(support.get_by_text("50 units were granted")).to_be_visible()
    given = support.url
    ask(support, 9_000)
    support.get_by_role("button", name="Ask for it").click()
    expect(support.get_by_role("rowheader", name="Waits for a second person")).to_be_visible()

    billing.goto("/admin/console/grant/queue/")
    fits(billing)
    billing.get_by_label("9,000 units for").first.check()
    billing.get_by_role("button", name="Approve").click()
    expect(billing.get_by_text("1 grant was approved, 1 is in the battery.")).to_be_visible()
    billing.goto(given)
    billing.get_by_role("link", name="Take back").click()
    fits(billing)
    billing.get_by_label("Reason").fill("wrong user")
    billing.get_by_role("button", name="Take back").click()
    expect(billing.get_by_text("50 units were taken back.")).to_be_visible()
    for address in (given, "/admin/console/grant/", "/admin/console/grant/add/"):
        billing.goto(address)
        fits(billing)


def test_a_file_is_shown_row_by_row_and_granted_by_a_job(enter: Enter, fits: Fits) -> None:
    page = enter("support")
    page.goto("/admin/chat/user/?q=b")
    user = page.locator("#result_list tbody input.action-select").first.get_attribute("value")
    page.goto("/admin/console/grant/bulk/")
    fits(page)
    rows = f"user,units,reason\n{user},7,outage\nnobody@example.com,7,x\n{user},9000,x\n"
    page.get_by_label("File").set_input_files({"name": "outage.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_text("There is no such user.")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Grant 2 rows").click()
    expect(page.get_by_role("heading", name="Grants of outage.csv")).to_be_visible()
    expect(page.get_by_text("done").first).to_be_visible()


def test_users_that_are_marked_are_granted_together(enter: Enter, fits: Fits) -> None:
    page = enter("support")
    page.goto("/admin/chat/user/")
    for number in range(3):
        page.locator("#result_list tbody input.action-select").nth(number).check()
    page.locator("select[name=action]").select_option("grant_battery")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.get_by_text("3 users are marked.")).to_be_visible()
    fits(page)
    page.get_by_label("Units for each").fill("5")
    page.get_by_label("Reason").fill("sorry")
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_text("3 would be granted (15 units)")).to_be_visible()
