"""Where the actions at Stripe are offered: on the pages of users and subscriptions. `console/apps.py` imports it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.causes import stripe_url
from billing.stripe_actions import Held
from billing.stripe_state import moment
from chat.models import User
from console.stripe_decisions import Done
from database import cells
from database.identifiers import is_id
from database.object_actions import ObjectAction, offer

#: Whoever has it cancels, resumes and changes plans.
CHANGE = "billing.change_usersubscription"
#: Whoever has it gives money back.
REFUND = "billing.refund_batterytransaction"


def subscription_url(id: str) -> str:
    return reverse("stripe_subscription", args=(id,))


def action_url(id: str, name: str) -> str:
    return reverse("stripe_action", args=(id, name))


def payments_url(user_id: str) -> str:
    return reverse("stripe_payments", args=(quote(user_id),))


def refund_url(intent: str) -> str:
    return reverse("stripe_refund", args=(intent,))


def told(done: Done, words: str) -> list[tuple[int, str]]:
    """Levels and texts of what came of an action: a line for each thing that was written."""
    lines = [line.removesuffix(", posted") for line in done.lines if not line.endswith(", repeated")]
    found: list[tuple[int, str]] = [(messages.SUCCESS, format_html_join(mark_safe("<br>"), "{}", zip([words, *lines])))]
    if done.problem:
        late = gettext("OmniChat's rows could not follow yet: %s. They do with Stripe's event, or by a resync.")
        found.append((messages.WARNING, late % done.problem.rstrip(".")))
    return found


def money(cents: int, currency: str) -> str:
    """Of a currency with hundredths, as all of OmniChat's prices are."""
    sign, amount = "-" if cents < 0 else "", f"{abs(cents) // 100:,}.{abs(cents) % 100:02}"
    return f"{sign}${amount}" if currency == "usd" else f"{sign}{amount} {currency.upper()}"


def day(at: int | None) -> str:
    """A moment of Stripe's as text, in UTC."""
    return (moment(at) or "–")[:16].replace("T", " ") + (" UTC" if at else "")


def moment_cell(at: int | None) -> cells.Shown:
    """A moment of Stripe's for a page, which shows it in the zone of whoever looks."""
    return cells.unix_seconds(at) or cells.EMPTY


def user_cell(user_id: str) -> cells.Shown:
    """A link to the user by their email: whoever acts sees for whom. One request to OmniChat's database."""
    email = User.objects.filter(pk=user_id).values_list("email", flat=True).first()
    return cells.row_link(User, user_id, email or user_id)


def cost_of(held: Held, name: str) -> str:
    """What an action will cost, in a sentence or two."""
    price, end = money(held.price_cents, held.currency), day(held.ends_at or held.period_end)
    if name == "cancel":
        words = gettext("Nothing is charged and nothing is paid back. The plan stays until %(end)s, then it ends.")
    elif name == "cancel-now":
        words = gettext(
            "The plan ends at once. Nothing is charged, and nothing is paid back for the time until %(end)s: "
            "refund the payment for that. Units in the battery stay."
        )
    elif held.status == "paused":
        words = gettext("A new period begins now, and %(price)s is charged for it at once, before discounts and taxes.")
    elif held.ends_at:
        words = gettext("Nothing is charged now. From %(end)s on it goes on for %(price)s, before discounts and taxes.")
    else:
        words = gettext("Nothing is charged now. The next invoice, on %(end)s, is collected again: %(price)s.")
    return words % {"end": end, "price": price}


def _subscription(request: HttpRequest, id: Any) -> Iterable[ObjectAction]:
    if id and is_id("sub", id) and request.user.has_perm(CHANGE):
        yield ObjectAction(_("Subscription at Stripe"), subscription_url(id))


def _payments(request: HttpRequest, user_id: Any) -> Iterable[ObjectAction]:
    if user_id and request.user.has_perm(REFUND):
        yield ObjectAction(_("Payments and refunds"), payments_url(str(user_id)))


def _of_user(request: HttpRequest, user: Any) -> Iterable[ObjectAction]:
    yield from _subscription(request, user.subscription_id)
    if user.stripe_customer_id:
        yield from _payments(request, user.pk)


def _of_subscription(request: HttpRequest, row: Any) -> Iterable[ObjectAction]:
    yield from _subscription(request, row.stripe_subscription_id)
    yield from _payments(request, row.user_id)
    if row.stripe_subscription_id and (url := stripe_url(row.stripe_subscription_id)):
        yield ObjectAction(_("Open in Stripe"), url)


offer("chat.user", _of_user)
offer("billing.usersubscription", _of_subscription)
