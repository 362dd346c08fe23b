"""The pages on which staff act at Stripe: how they look, and a way through them."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect


def a_subscription(page: Page) -> str:
    """The address of a subscription in force, from the list of subscriptions to the page at Stripe."""
    page.goto("/admin/billing/usersubscription/?status=active")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="Subscription at Stripe").first.click()
    expect(page.get_by_role("heading", name="From Stripe, as of now")).to_be_visible()
    return page.url


def test_each_page_fits_the_screen_and_hinders_nobody(enter: Callable[..., Page], fits: Callable[..., None]) -> None:
    page = enter("billing")
    subscription = a_subscription(page)
    fits(page)
    for name in ("cancel-now", "plan"):
        page.goto(f"{subscription}{name}/")
        fits(page)
    page.get_by_role("button", name="Show what it costs").click()
    expect(page.get_by_text("is charged at once")).to_be_visible()
    fits(page)
    page.goto(subscription)
    page.locator(".page-head .facts a").first.click()
    page.get_by_role("link", name="Payments and refunds").click()
    fits(page)


def test_a_cancellation_is_confirmed_and_taken_back(enter: Callable[..., Page]) -> None:
    page = enter("billing")
    a_subscription(page)
    page.get_by_role("link", name="Cancel at the period's end").click()
    page.get_by_role("button", name="Cancel at the period's end").click()
    expect(page.get_by_text("Done at Stripe: Cancel at the period's end.")).to_be_visible()
    page.get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Done at Stripe: Resume.")).to_be_visible()


def test_a_change_of_plan_is_paid_and_refunded(enter: Callable[..., Page], fits: Callable[..., None]) -> None:
    page = enter("billing")
    a_subscription(page)
    page.get_by_role("link", name="Change plan").click()
    page.get_by_label("New plan").select_option("ultimate, yearly")
    page.get_by_role("button", name="Show what it costs").click()
    page.get_by_role("button", name="Change plan").click()
    expect(page.get_by_text("Done at Stripe: the plan was changed.")).to_be_visible()
    page.locator(".page-head .facts a").first.click()
    page.get_by_role("link", name="Payments and refunds").click()
    page.get_by_role("link", name="Refund", exact=True).first.click()
    fits(page)
    page.get_by_label("Reason, for staff").fill("Paid twice.")
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.get_by_text("go back to the customer")).to_be_visible()
    fits(page)
    # What cannot be taken back does not look like any other button.
    expect(page.get_by_role("button", name="Refund")).to_have_css("background-color", "rgb(179, 18, 43)")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_text("Refunded: $")).to_be_visible()
