"""What staff do each day, as each role that does it; docs/tour.md goes through it with these pictures."""

from __future__ import annotations

import re
import sqlite3
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from conftest import Site

#: Each is walked through on a screen and on a phone; what is shown on the way is looked at in each look.
LOOKS = ("light", "phone")
Enter = Callable[..., Page]


@pytest.fixture
def shown(fits: Callable[..., None], request: pytest.FixtureRequest) -> Callable[..., None]:
    """Look at a page and keep the picture of this name, in the walk on a screen."""
    return fits if request.node.callspec.params["look"] == "light" else lambda page, name="": None


@pytest.fixture
def person(site: Site, request: pytest.FixtureRequest) -> dict[str, str]:
    """Somebody who pays, another in each look, since what one look does another would find."""
    number = LOOKS.index(request.node.callspec.params["look"]) + 20
    with sqlite3.connect(site.omnichat) as database:
        row = database.execute(
            "SELECT id, email, stripeCustomerId FROM users WHERE tier = 'paid' AND stripeCustomerId NOT NULL "
            "ORDER BY id LIMIT 1 OFFSET ?",
            [number],
        ).fetchone()
    return dict(zip(("id", "email", "customer"), row, strict=True))


@pytest.fixture
def free_person(site: Site, request: pytest.FixtureRequest) -> str:
    """The email of somebody who never paid, and has written something."""
    number = LOOKS.index(request.node.callspec.params["look"])
    with sqlite3.connect(site.omnichat) as database:
        return database.execute(
            "SELECT email FROM users u WHERE tier = 'free' AND subscriptionStatus = 'inactive' "
            "AND EXISTS (SELECT 1 FROM conversations c WHERE c.userId = u.id) "
            "AND NOT EXISTS (SELECT 1 FROM user_subscriptions s WHERE s.user_id = u.id) ORDER BY id LIMIT 1 OFFSET ?",
            [number],
        ).fetchone()[0]


def find(page: Page, text: str) -> None:
    page.goto("/admin/")
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/admin/"))


def open_account(page: Page, email: str) -> None:
    find(page, email)
    expect(page.get_by_role("heading", level=1)).to_have_text(email)


def follow(page: Page, link: Locator) -> None:
    """Click, and wait for the page that it leads to."""
    before = page.url
    link.click()
    page.wait_for_url(lambda url: url != before)


def act(page: Page, name: str) -> None:
    """One of the actions at the head of an account."""
    follow(page, page.locator(".object-tools").get_by_role("link", name=name))


@pytest.mark.parametrize("look", LOOKS)
def test_the_day_of_support(enter: Enter, person: dict[str, str], shown: Callable[..., None], look: str) -> None:
    page = enter("support", look)
    find(page, person["email"][1:-4])
    shown(page, "tour-find")
    page.get_by_role("link", name=person["email"], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(person["email"])
    account = page.url

    act(page, "Edit profile")
    page.get_by_label("Name", exact=True).fill("Ada Corrected")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("was changed successfully")

    page.goto(account)
    expect(page.locator(".page-head")).to_contain_text("Ada Corrected")
    act(page, "Grant battery")
    page.get_by_label("Units").fill("50")
    page.get_by_label("Reason").fill("Slow answers on Sunday")
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_text("Balance after it")).to_be_visible()
    shown(page, "tour-grant")
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(page.get_by_text("50 units were granted")).to_be_visible()

    page.goto(account)
    page.get_by_label("New note").fill("Calls on Mondays.\nAsk for Ada.")
    page.get_by_label("Pin it").check()
    page.get_by_role("button", name="Keep the note").click()
    expect(page.locator(".note.pinned")).to_contain_text("Ask for Ada.")
    shown(page, "tour-account")

    page.get_by_role("link", name="Timeline", exact=True).click()
    expect(page.locator(".timeline")).to_contain_text("Note: Calls on Mondays.")
    shown(page)
    page.goto(account)
    act(page, "Ledger")
    expect(page.get_by_role("main")).to_contain_text("+50 units")


@pytest.mark.parametrize("look", LOOKS)
def test_a_view_of_a_list_is_saved_with_its_columns(enter: Enter, shown: Callable[..., None], look: str) -> None:
    page = enter("support", look)
    page.goto("/admin/chat/user/?tier=paid")
    page.get_by_text("Columns", exact=True).click()
    for name in ("Name", "Balance", "Created", "Stripe customer"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.get_by_role("button", name="Show these columns").click()
    page.wait_for_url("**columns=**")
    page.get_by_text("Save this view", exact=True).click()
    page.get_by_label("Name of the view").fill(f"Paying, {look}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_load_state()
    page.goto("/admin/chat/user/")
    page.get_by_role("link", name=f"Paying, {look}").click()
    page.wait_for_url("**tier=paid**")
    expect(page.get_by_role("columnheader", name="Name", exact=True)).to_have_count(0)
    shown(page, "tour-view")
    page.get_by_text("Columns", exact=True).click()
    shown(page)


@pytest.mark.parametrize("look", LOOKS)
def test_the_day_of_billing(enter: Enter, person: dict[str, str], shown: Callable[..., None], look: str) -> None:
    support, page = enter("support", look), enter("billing", look)
    support.goto(f"/admin/console/grant/add/?user={person['id']}")
    support.get_by_label("Units").fill("9000")
    support.get_by_label("Reason").fill(f"Outage of a week, {look}")
    support.get_by_role("button", name="Show what will happen").click()
    support.get_by_role("button", name="Ask for it").click()
    expect(support.get_by_role("rowheader", name="Waits for a second person")).to_be_visible()

    page.goto("/admin/")
    expect(page.locator(".needs")).to_contain_text("for you")
    follow(page, page.locator(".needs").get_by_role("link", name=re.compile("grants? waits? for you")))
    shown(page, "tour-queue")
    page.get_by_role("row", name=re.compile(f"Outage of a week, {look}")).get_by_role("checkbox").check()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("1 grant was approved")).to_be_visible()

    find(page, person["customer"])
    expect(page.get_by_role("heading", level=1)).to_have_text(person["email"])
    act(page, "Export data")
    page.get_by_label("Reason").fill("They asked for it, ticket 4711")
    shown(page)
    page.get_by_role("button", name="Make the zip").click()
    link = page.get_by_role("link", name="Download the zip").first
    expect(link).to_be_visible()
    shown(page, "tour-export")
    with page.expect_download() as download:
        link.click()
    assert "omnichat/messages.csv" in zipfile.ZipFile(download.value.path()).namelist()


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_wrong_with_an_account_is_told_and_resynced(
    enter: Enter, person: dict[str, str], shown: Callable[..., None], look: str, site: Site
) -> None:
    with sqlite3.connect(site.omnichat) as database:
        database.execute("UPDATE users SET tier = 'free' WHERE id = ?", [person["id"]])
    page = enter("billing", look)
    open_account(page, person["email"])
    account = page.url
    expect(page.locator(".note.warning").first).to_contain_text("the tier is not paid")
    shown(page, "tour-wrong")
    act(page, "Resync with Stripe")
    shown(page)
    page.get_by_role("button", name="Resync", exact=True).click()
    expect(page.locator("[data-part=label]").first).to_have_text("done")
    shown(page, "tour-job")
    page.goto(account)
    expect(page.locator(".page-head .state-paid")).to_be_visible()
    expect(page.get_by_text("the tier is not paid")).to_have_count(0)


@pytest.mark.parametrize("look", LOOKS)
def test_an_event_of_stripe_is_replayed(
    enter: Enter, person: dict[str, str], shown: Callable[..., None], look: str
) -> None:
    page = enter("billing", look)
    page.goto("/admin/stripe-standin/")
    page.get_by_label("Who").fill(person["email"])
    page.get_by_role("button", name="Let it happen").click()
    page.wait_for_load_state()
    events = page.locator("#result_list tbody th a")
    page.goto("/admin/console/inboxevent/")
    while not events.count():
        page.wait_for_timeout(200)
        page.reload()
    follow(page, events.first)
    follow(page, page.get_by_role("link", name="Replay…"))
    shown(page, "tour-replay")
    follow(page, page.get_by_role("button", name="Work it off now"))
    expect(page.get_by_role("status").first).to_be_visible()
    shown(page)


def start_two_jobs(page: Page) -> None:
    """Out of their time, and see how far they are."""
    page.get_by_role("link", name="Figures of the home page").click()
    page.get_by_role("button", name=re.compile("now", re.IGNORECASE)).click()
    expect(page.locator("[data-part=label]")).to_have_text("done")
    page.goto("/admin/health/")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("schema is as the migrations make it")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS)
def test_the_day_of_an_operator(enter: Enter, free_person: str, shown: Callable[..., None], look: str) -> None:
    page = enter("operator", look)
    page.goto("/admin/console/scheduleentry/")
    shown(page)
    if look == "light":
        start_two_jobs(page)
    page.goto("/admin/health/")
    shown(page, "tour-health")

    open_account(page, free_person)
    account = page.url
    act(page, "Delete person")
    shown(page, "tour-delete")
    page.get_by_label(re.compile("to confirm")).fill(free_person)
    page.get_by_role("button", name="Delete this person").click()
    expect(page.get_by_text("This person is deleted.")).to_be_visible()
    page.goto(account)
    expect(page.get_by_text("This person was deleted.")).to_be_visible()
    shown(page, "tour-deleted")
