"""The pages of resyncs and findings."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from billing.models import SubscriptionPlan, UserSubscription
from billing.resync.kinds import KINDS
from billing.resync.run import Wish
from chat.models import User as Account
from console import resync
from console.account import account_of
from console.account_problems import problems
from console.dashboard import waiting
from console.jobs import work_off
from console.models import Finding, FindingState, Job, ResyncRun, ResyncState, StaffEvent
from console.timeline import timeline
from standins.stripe import StripeServer
from tests.resyncs import own_folder

__all__ = ["own_folder"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]
FINDINGS, RUNS = "/admin/console/finding/", "/admin/console/resyncrun/"


def login(role: str) -> Client:
    user = User.objects.create_user(role.lower(), password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.status_code
    return str(answer.content.decode())


@pytest.fixture
def alice(stripe: StripeServer) -> Any:
    """Alice has a subscription at Stripe that OmniChat does not know, and a tier from nowhere."""
    Account.objects.create(id="user_alice", email="alice@example.com", tier="free")
    customer = stripe.customer("alice@example.com", "Alice", user_id="user_alice")
    return stripe.subscribe(customer, "starter")


@pytest.fixture
def left(stripe: StripeServer) -> Finding:
    Account.objects.create(id="user_bob", email="bob@example.com", tier="paid")
    resync.perform(Wish(), name="test")
    return Finding.objects.get(kind="paid_without_subscription")


def test_a_resync_of_a_user_is_ordered_by_billing_and_leads_to_its_progress(alice: Any):
    client = login("Billing")
    assert "user_alice" in text(client.get(f"{RUNS}add/", {"user": "user_alice"}))
    answer = client.post(f"{RUNS}add/", {"dry_run_asked": "1", "users": "user_alice"})
    job = Job.objects.get(kind=resync.KIND)
    assert (answer.status_code, answer.url) == (302, job.get_absolute_url())
    assert StaffEvent.objects.filter(action="resync.start").count() == 1
    work_off()
    run = ResyncRun.objects.get()
    assert f'href="{run.get_absolute_url()}">What it found' in text(client.get(job.get_absolute_url()))
    page = text(client.get(run.get_absolute_url()))
    assert "first period not credited" in page
    assert KINDS["subscription_missing"] in page
    assert Account.objects.get().tier == "paid"
    assert "user_alice" in text(client.get(RUNS))


def test_who_may_not_resync_is_refused_by_the_server(alice: Any, left: Finding):
    auditor, support = login("Auditor"), login("Support")
    assert "Mark as done" not in text(auditor.get(left.get_absolute_url()))
    for client in (auditor, support):
        assert client.get(f"{RUNS}add/").status_code == 403
        assert client.post(f"{RUNS}add/", {"dry_run_asked": "1", "users": "user_alice"}).status_code == 403
        assert client.post(left.get_absolute_url(), {"note": "x"}).status_code == 403
    assert support.get(FINDINGS).status_code == 403
    assert Job.objects.filter(kind=resync.KIND).count() == 0


def test_wrong_words_are_told_and_nothing_starts(stripe: StripeServer, settings: Any):
    client = login("Operator")
    page = text(client.post(f"{RUNS}add/", {"dry_run_asked": "1", "users": "user_nobody <b>"}), 400)
    assert "There is no user" in page
    assert "&lt;b&gt;" in page
    assert client.post(f"{RUNS}add/", {"dry_run_asked": "1", "users": "a\0b", "since": "x"}).status_code == 400
    settings.STRIPE_SECRET_KEY = ""
    assert "STRIPE_SECRET_KEY is not set" in text(client.get(f"{RUNS}add/"))
    assert Job.objects.count() == 0
    for path in ("999", "x", "9" * 30):
        assert client.get(f"{RUNS}{path}/change/").status_code == 404
        assert client.get(f"{FINDINGS}{path}/change/").status_code == 404


def test_findings_are_filtered_searched_and_worked_off_with_a_note(left: Finding):
    client = login("Billing")
    assert "paid without subscription" in text(client.get(FINDINGS, {"state": "unsettled"}))
    assert "user_bob" in text(client.get(FINDINGS, {"q": "user_bob", "kind": left.kind}))
    assert "user_bob" not in text(client.get(FINDINGS, {"state": "done"}))
    assert "user_bob" in text(client.get(FINDINGS, {"run__id__exact": left.run_id}))
    assert text(client.get(FINDINGS, {"state": "nonsense", "run__id__exact": "x", "what": "ever"}, follow=True))
    page = text(client.get(left.get_absolute_url()))
    assert "Nobody pays for it at Stripe" in page
    assert "This field is required" in text(client.post(left.get_absolute_url(), {"note": " "}), 400)
    assert client.post(left.get_absolute_url(), {"note": "She is staff."}).status_code == 302
    left.refresh_from_db()
    assert (left.state, left.note, str(left.settled_by)) == (FindingState.DONE, "She is staff.", "billing")
    assert "She is staff." in text(client.get(left.get_absolute_url()))


def test_findings_are_marked_in_the_list(left: Finding):
    client = login("Billing")
    given = {"action": "mark_done", "_selected_action": [left.pk]}
    assert "1 finding is done" in text(client.post(FINDINGS, given, follow=True))
    assert Finding.objects.get(pk=left.pk).state == FindingState.DONE


def test_a_run_that_waits_is_confirmed_once(stripe: StripeServer, alice: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resync, "MANY", 1)
    run = resync.perform(Wish(), name="test")
    assert run.state == ResyncState.WAITING
    client = login("Billing")
    assert "Mend them all" in text(client.get(run.get_absolute_url()))
    assert client.get(f"{RUNS}{run.pk}/confirm/").status_code == 403
    for _ in range(2):
        assert client.post(f"{RUNS}{run.pk}/confirm/").status_code == 302
    assert Job.objects.filter(kind=resync.KIND).count() == 1
    work_off()
    assert Account.objects.get().tier == "paid"


def test_the_account_its_timeline_and_the_home_page_tell_of_findings(left: Finding):
    account = account_of("user_bob")
    assert account is not None
    assert left.kind in {each.kind for each in problems(account)}
    assert any("paid without subscription" in str(each.what) for each in timeline("user_bob", []))
    login("Billing")
    words = [str(each.words) for each in waiting(User.objects.get(username="billing"))]
    assert any("unsettled" in each for each in words)


def test_users_and_subscriptions_offer_a_resync(stripe: StripeServer, alice: Any):
    UserSubscription.objects.create(id="s1", user_id="user_alice", status="active", plan_id="starter")
    client = login("Billing")
    assert "Resync with Stripe" in text(client.get("/admin/chat/user/user_5Falice/change/"))
    assert "Resync with Stripe" in text(client.get("/admin/billing/usersubscription/s1/change/"))
    for path, key in (("/admin/chat/user/", "user_alice"), ("/admin/billing/usersubscription/", "s1")):
        page = text(client.post(path, {"action": "resync_stripe", "_selected_action": [key]}))
        assert "user_alice</textarea>" in page.replace("\r", "")


def test_the_page_of_a_plan_says_where_it_differs_from_stripe(stripe: StripeServer):
    SubscriptionPlan.objects.filter(pk="starter").update(price_monthly=599)
    resync.perform(Wish(), name="test")
    finding = Finding.objects.get(kind="plan_amount_differs")
    link = f'<a href="{finding.get_absolute_url()}"'
    client = login("Billing")
    page = text(client.get("/admin/billing/subscriptionplan/starter/change/"))
    assert link in page
    assert "Plan amount differs" in page
    assert link not in text(client.get("/admin/billing/subscriptionplan/daily/change/"))
    assert link not in text(login("Support").get("/admin/billing/subscriptionplan/starter/change/"))


def test_the_form_of_a_plan_says_that_the_app_has_units_of_its_own(stripe: StripeServer):
    assert "in its own code" in text(login("Billing").get("/admin/billing/subscriptionplan/starter/change/"))


def test_values_of_findings_have_their_unit_and_moments_their_zone(left: Finding):
    client = login("Auditor")
    for kind, value, shown in (
        ("allowance_differs", 1500, "1,500 units"),
        ("plan_amount_differs", 1299, "$12.99"),
        ("cancellation_differs", "2026-12-11T14:32:34.000Z", '<time datetime="2026-12-11T14:32:34.000Z"'),
    ):
        Finding.objects.update(kind=kind, expected=value)
        assert shown in text(client.get(FINDINGS))
        assert shown in text(client.get(left.get_absolute_url()))


def test_what_the_account_shows_itself_is_not_told_again_by_its_finding(alice: Any, left: Finding):
    for id in ("sub_1", "sub_2"):
        UserSubscription.objects.create(id=id, user_id="user_bob", status="active")
    Finding.objects.update(kind="two_subscriptions")
    told = [problem.kind for problem in problems(account_of("user_bob"))]
    assert [kind for kind in told if "two" in kind] == ["two_subscriptions"]


def test_empty_lists_say_what_to_do(stripe: StripeServer):
    client = login("Operator")
    assert "A resync fills this list" in text(client.get(FINDINGS))
    assert "start one here, or by resync_stripe" in text(client.get(RUNS))
