"""The pages on which staff act at Stripe."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from billing import stripe_api
from billing.models import UserBattery, UserSubscription
from billing.stripe_api import stripe_of_settings
from billing.stripe_events import Needs, carry_out
from chat.models import User as Account
from console.models import StaffEvent
from database.models import AuditLog
from standins.stripe import StripeServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices", "at_once")]
Visitor = Callable[[str], Client]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_api, "_pause", lambda tried, headers: 0.0)


def login(role: str) -> Client:
    user = User.objects.create_user(role.lower(), password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def alice(stripe: StripeServer) -> dict[str, Any]:
    """Alice has a subscription, as OmniChat knows."""
    Account.objects.create(id="user_alice", email="alice@example.com", tier="free")
    customer = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    sub = stripe.subscribe(customer, "starter")
    carry_out(stripe_of_settings(), Needs(customer["id"], subscriptions=True, invoices={sub["latest_invoice"]}))
    return sub


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, (answer.status_code, getattr(answer, "url", ""))
    return str(answer.content.decode())


def fields(page: str) -> dict[str, str]:
    """The hidden fields of the page's own form."""
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return {name: value.replace("&#x27;", "'") for name, value in found.items() if name != "csrfmiddlewaretoken"}


def actions() -> list[str]:
    return list(StaffEvent.objects.filter(action__startswith="stripe.").order_by("id").values_list("action", flat=True))


def test_billing_goes_from_the_row_to_the_subscription_and_cancels_it_once(stripe: StripeServer, alice: Any):
    client = login("Billing")
    url = f"/admin/stripe/{alice['id']}/"
    row = UserSubscription.objects.get()
    assert url in text(client.get(f"/admin/billing/usersubscription/{row.pk}/change/", follow=True))
    assert url in text(client.get("/admin/account/user_alice/"))
    page = text(client.get(url))
    assert f"{url}cancel/" in page
    assert re.search(r">alice@example\.com</a>.*<time datetime=", page, re.DOTALL)
    page = text(client.get(f"{url}cancel/"))
    assert "nothing is paid back" in page
    form = fields(page)
    for _ in range(2):
        assert client.post(f"{url}cancel/", form).status_code == 302
    assert actions() == ["stripe.cancel", "stripe.cancel.done"]
    decided = StaffEvent.objects.get(action="stripe.cancel")
    assert (decided.subject, decided.staff.get_username()) == ("user_alice", "billing")
    assert "nothing is paid back" in decided.detail["cost"]
    page = text(client.get(url))
    assert "was sent before" in page
    assert re.search(r"period&#x27;s end\.<br>user_subscriptions .*: cancel_at – → 20", page)
    assert f"{url}resume/" in page
    assert UserSubscription.objects.get().cancel_at is not None
    form = fields(text(client.get(f"{url}resume/")))
    assert client.post(f"{url}resume/", form).status_code == 302
    assert UserSubscription.objects.get().cancel_at is None
    assert "stripe.cancel.done" in text(client.get("/admin/account/user_alice/timeline/"))


@pytest.mark.parametrize("role", ["Support", "Auditor", "Operator"])
def test_who_may_not_sees_no_button_and_is_refused(alice: Any, role: str):
    client, url = login(role), f"/admin/stripe/{alice['id']}/"
    row = UserSubscription.objects.get()
    assert url not in text(client.get(f"/admin/billing/usersubscription/{row.pk}/change/", follow=True))
    assert url not in text(client.get("/admin/account/user_alice/"))
    for path in (url, f"{url}cancel/", f"{url}cancel-now/", f"{url}resume/"):
        assert client.get(path).status_code == 403
    assert client.post(f"{url}cancel/", {}).status_code == 403
    assert actions() == []


def test_what_changed_meanwhile_is_shown_again_and_not_done(stripe: StripeServer, alice: Any):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/cancel-now/"
    form = fields(text(client.get(url)))
    stripe.upgrade(alice, "power")
    assert "changed at Stripe meanwhile" in text(client.post(url, form), 400)
    assert stripe.get(alice)["status"] == "active"
    assert actions() == []


def test_the_form_of_one_subscription_does_nothing_to_another(stripe: StripeServer, alice: Any):
    client = login("Billing")
    other = stripe.subscribe(alice["customer"], "starter")
    form = fields(text(client.get(f"/admin/stripe/{alice['id']}/cancel-now/")))
    assert "look again" in text(client.post(f"/admin/stripe/{other['id']}/cancel-now/", form), 400)
    assert stripe.get(other)["status"] == "active"
    assert actions() == []


def test_a_lost_answer_keeps_the_forms_key_and_is_looked_up_when_it_is_sent_again(stripe: StripeServer, alice: Any):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/cancel/"
    form = fields(text(client.get(url)))
    stripe.faults.plan("cut", path="/v1/subscriptions/", method="POST", times=99)
    page = text(client.post(url, form), 400)
    assert "Whether it is done is not known" in page
    assert fields(page) == form
    assert actions() == ["stripe.cancel"]
    stripe.faults.clear()
    other = fields(text(client.get(url)))
    assert "is at it right now" in text(client.post(url, other), 400)
    assert client.post(url, form).status_code == 302
    assert actions() == ["stripe.cancel", "stripe.cancel.done"]
    assert stripe.get(alice)["cancel_at_period_end"] is True


def test_a_process_that_died_after_stripes_answer_is_finished_by_the_same_form(
    stripe: StripeServer, alice: Any, monkeypatch: pytest.MonkeyPatch
):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/cancel-now/"
    form = fields(text(client.get(url)))

    def die(*args: Any, **words: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("console.stripe_decisions.follow", die)
        with pytest.raises(KeyboardInterrupt):
            client.post(url, form)
    assert stripe.get(alice)["status"] == "canceled"
    assert UserSubscription.objects.get().status == "active"
    assert client.post(url, form).status_code == 302
    assert UserSubscription.objects.get().status == "canceled"
    assert actions() == ["stripe.cancel-now", "stripe.cancel-now.done"]


def test_without_a_key_or_with_effects_observed_the_page_says_what_to_do(alice: Any, settings: Any):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/"
    form = fields(text(client.get(f"{url}cancel/")))
    settings.STRIPE_EFFECTS = "observe"
    assert "STRIPE_EFFECTS is observe" in text(client.get(url))
    assert "STRIPE_EFFECTS is observe" in text(client.post(f"{url}cancel/", form), 400)
    settings.STRIPE_EFFECTS, settings.STRIPE_SECRET_KEY = "apply", ""
    assert "STRIPE_SECRET_KEY is not set" in text(client.get(url))
    assert "STRIPE_SECRET_KEY is not set" in text(client.post(f"{url}cancel/", form), 400)
    assert actions() == []


def test_a_hostile_address_or_form_is_an_answer_and_no_error(stripe: StripeServer, alice: Any):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/"
    for path in ("/admin/stripe/x/", "/admin/stripe/sub_%00/", f"{url}nonsense/", "/admin/stripe/sub_1%2Fx/"):
        assert client.get(path).status_code == 404
    assert "Stripe knows no subscription" in text(client.get("/admin/stripe/sub_none/"))
    for form in ({}, {"key": "x"}, {"key": "\0"}):
        assert "lacks its key" in text(client.post(f"{url}cancel/", form), 400)
    assert "nothing to do" in text(client.get(f"{url}resume/"))
    assert client.delete(url).status_code == 405
    assert actions() == []


def test_stripe_down_is_a_sentence(stripe: StripeServer, alice: Any):
    client, url = login("Billing"), f"/admin/stripe/{alice['id']}/"
    stripe.faults.plan("500", times=99)
    assert "answers with status 500" in text(client.get(url))
    assert "answers with status 500" in text(client.post(f"{url}cancel/", {"key": "x"}), 400)
    assert actions() == []


@pytest.fixture
def pack(stripe: StripeServer, alice: Any) -> str:
    """Alice bought 1,000 units for 10 dollars. The address of its refund."""
    intent = stripe.get(stripe.buy_pack(alice["customer"], 1000, 1000))["payment_intent"]
    carry_out(stripe_of_settings(), Needs(alice["customer"], payments={intent}))
    return f"/admin/stripe-refund/{intent}/"


def wish(client: Client, url: str, **words: str) -> dict[str, str]:
    """The form of a refund, filled in."""
    shown = fields(text(client.get(url)))
    return {**shown, "amount": "4", "units": "take", "reason": "duplicate", "text": "Paid twice.", **words}


def balance() -> int:
    return int(UserBattery.objects.get().total_balance)


def test_billing_refunds_a_part_after_seeing_what_it_costs(stripe: StripeServer, pack: str):
    client = login("Billing")
    payments = "/admin/stripe-payments/user_5Falice/"
    assert payments in text(client.get("/admin/account/user_alice/"))
    page = text(client.get(payments))
    assert pack in page
    assert "as of now" in page
    form = wish(client, pack)
    shown = text(client.post(pack, form))
    assert "$4.00 go back to the customer. 400 units are taken" in shown
    assert stripe.all("refund") == []
    assert 'value="4"' in text(client.post(pack, {**form, "step": "edit"}))
    for _ in range(2):
        assert client.post(pack, {**form, "step": "refund"}).status_code == 302
    assert [(each["amount"], each["reason"]) for each in stripe.all("refund")] == [(400, "duplicate")]
    assert balance() == 6_600
    assert actions() == ["stripe.refund", "stripe.refund.done"]
    decided = StaffEvent.objects.get(action="stripe.refund").detail
    assert (decided["asked"]["cents"], decided["reason"]) == (400, "Paid twice.")
    assert AuditLog.objects.filter(metadata__contains='"username":"billing"').count() == 1
    page = text(client.get(payments))
    assert "was sent before" in page
    assert "$6.00" in page


def test_a_refund_without_units_leaves_the_battery(stripe: StripeServer, pack: str):
    client = login("Billing")
    form = wish(client, pack, units="keep", amount="10.00")
    assert "No units are taken" in text(client.post(pack, form))
    assert client.post(pack, {**form, "step": "refund"}).status_code == 302
    assert (balance(), stripe.all("refund")[0]["amount"]) == (7_000, 1000)
    assert "refunded already" in text(client.get(pack))


@pytest.mark.parametrize(
    "amount", ["0", "-1", "10.01", "1e9", "1e0", "1_0", "+4", "４", "0x4", "4,00", ".5", "-0", "NaN", "1.005", ""]
)
def test_a_wrong_amount_is_told_and_nothing_is_refunded(stripe: StripeServer, pack: str, amount: str):
    client = login("Billing")
    form = wish(client, pack, amount=amount, step="refund")
    assert "errorlist" in text(client.post(pack, form), 400)
    assert (stripe.all("refund"), actions()) == ([], [])


def test_a_second_refund_of_the_same_sight_is_told(stripe: StripeServer, pack: str):
    client = login("Billing")
    one, other = wish(client, pack), wish(client, pack)
    assert client.post(pack, {**one, "step": "refund"}).status_code == 302
    assert "changed at Stripe meanwhile" in text(client.post(pack, {**other, "step": "refund"}), 400)
    assert len(stripe.all("refund")) == 1


def test_a_form_that_was_sent_is_not_sent_again_with_other_words(stripe: StripeServer, pack: str):
    client = login("Billing")
    form = wish(client, pack, step="refund")
    stripe.faults.plan("cut", path="/v1/refunds", method="POST", times=99)
    assert "Whether it is done is not known" in text(client.post(pack, form), 400)
    stripe.faults.clear()
    assert client.post(pack, {**form, "amount": "5"}).status_code == 302
    assert stripe.all("refund") == []
    assert client.post(pack, form).status_code == 302
    assert [each["amount"] for each in stripe.all("refund")] == [400]
    assert balance() == 6_600


def test_a_disputed_payment_is_not_refunded_and_stripes_sentence_is_shown(stripe: StripeServer, pack: str):
    client = login("Billing")
    stripe.dispute(pack.split("/")[-2])
    form = wish(client, pack, step="refund")
    assert "has been charged back" in text(client.post(pack, form), 400)
    assert actions() == ["stripe.refund", "stripe.refund.refused"]


@pytest.mark.parametrize("role", ["Support", "Auditor", "Operator"])
def test_who_may_not_refund_is_refused(pack: str, role: str):
    client = login(role)
    assert "stripe-payments" not in text(client.get("/admin/account/user_alice/"))
    assert client.get("/admin/stripe-payments/user_5Falice/").status_code == 403
    assert client.get(pack).status_code == 403
    assert client.post(pack, {"step": "refund"}).status_code == 403


def test_a_refund_asks_for_a_fresh_sign_in(pack: str, stripe: StripeServer, monkeypatch: pytest.MonkeyPatch):
    client = login("Billing")
    form = wish(client, pack, step="refund")
    monkeypatch.setattr("console.signin.fresh.is_fresh", lambda request: False)
    for answer in (client.get(pack), client.post(pack, form)):
        assert (answer.status_code, "next=" in answer.url) == (302, True)
    assert stripe.all("refund") == []


def test_payments_of_strangers_are_an_answer_and_no_error(stripe: StripeServer, alice: Any):
    client = login("Billing")
    Account.objects.create(id="user_bob", email="bob@example.com")
    assert "no Stripe customer" in text(client.get("/admin/stripe-payments/user_5Fbob/"))
    assert "no Stripe customer" in text(client.get("/admin/stripe-payments/no%00body/"))
    assert "Stripe knows no payment" in text(client.get("/admin/stripe-refund/pi_none/"))
    assert client.get("/admin/stripe-refund/x/").status_code == 404


def plan_form(client: Client, stripe: StripeServer, alice: Any, plan: str) -> tuple[str, str, dict[str, str]]:
    """The address, the page with the preview, and its form."""
    url = f"/admin/stripe/{alice['id']}/plan/"
    page = text(client.get(url, {"price": stripe.prices[plan, "month"]}))
    return url, page, fields(page)


def test_an_upgrade_costs_what_its_preview_said_and_credits_the_difference_once(stripe: StripeServer, alice: Any):
    client = login("Billing")
    stripe.advance(days=10)
    assert stripe.prices["power", "month"] in text(client.get(f"/admin/stripe/{alice['id']}/plan/"))
    url, page, form = plan_form(client, stripe, alice, "power")
    due = re.search(r"\$(\d+)\.(\d\d) is charged at once", page)
    assert due
    assert "Unused time" in page
    stripe.advance(seconds=600)
    for _ in range(2):
        assert client.post(url, form).status_code == 302
    paid = [each["amount_paid"] for each in stripe.all("invoice")]
    assert paid == [499, int(due[1] + due[2])]
    assert UserSubscription.objects.get().plan_id == "power"
    assert 6_000 < balance() < 45_000
    assert actions() == ["stripe.plan", "stripe.plan.done"]
    assert due[0] in StaffEvent.objects.get(action="stripe.plan").detail["cost"]


def test_a_downgrade_takes_no_units_and_is_kept_as_a_balance(stripe: StripeServer, alice: Any):
    client = login("Billing")
    stripe.upgrade(alice, "daily")
    stripe.advance(days=1)
    before = balance()
    url, page, form = plan_form(client, stripe, alice, "starter")
    assert "is kept at Stripe" in page
    assert client.post(url, form).status_code == 302
    assert UserSubscription.objects.get().plan_id == "starter"
    assert balance() == before


def test_a_refused_card_changes_nothing(stripe: StripeServer, alice: Any):
    client = login("Billing")
    url, _, form = plan_form(client, stripe, alice, "power")
    stripe.decline(alice["customer"])
    assert "The card was refused, and nothing was changed" in text(client.post(url, form), 400)
    assert UserSubscription.objects.get().plan_id == "starter"
    assert len(stripe.all("invoice")) == 1
    assert actions() == ["stripe.plan", "stripe.plan.refused"]


def test_an_old_or_changed_preview_is_shown_anew(stripe: StripeServer, alice: Any):
    client = login("Billing")
    url, _, form = plan_form(client, stripe, alice, "power")
    stripe.advance(seconds=3700)
    assert "the preview is old" in text(client.post(url, form), 400)
    assert "the preview is old" in text(client.post(url, {**form, "at": "x"}), 400)
    assert "No plan has this price" in text(client.post(url, {**form, "price": "price_x"}), 400)
    assert "This is the plan" in text(client.get(url, {"price": stripe.prices["starter", "month"]}))
    assert actions() == []


def test_a_price_that_no_plan_has_changes_nothing_at_stripe(stripe: StripeServer, alice: Any):
    """The pack's is a price at Stripe as well, the plan's own is no change."""
    client = login("Billing")
    url, _, form = plan_form(client, stripe, alice, "power")
    pack = stripe.price("pack", None, 100)["id"]
    before = stripe.get(alice["id"])
    for price in (pack, "price_x", "", "../prices", f"{form['price']}\0", stripe.prices["starter", "month"]):
        assert "errornote" in text(client.post(url, {**form, "price": price}), 400)
    assert (stripe.get(alice["id"]), actions(), stripe.calls["POST /v1/subscriptions/{id}"]) == (before, [], 0)


@pytest.mark.parametrize("after", [False, True])
def test_a_change_of_plan_whose_answer_was_lost_is_made_once(stripe: StripeServer, alice: Any, after: bool):
    client = login("Billing")
    url, _, form = plan_form(client, stripe, alice, "power")
    stripe.faults.plan("cut", path="/v1/subscriptions/", method="POST", after=after, times=3)
    client.post(url, form)
    client.post(url, form)
    assert len(stripe.all("invoice")) == 2
    assert UserSubscription.objects.get().plan_id == "power"
    assert actions() == ["stripe.plan", "stripe.plan.done"]
    assert balance() > 6_000
