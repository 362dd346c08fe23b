"""The names of what may differ, and what each means. docs/resync.md has the same table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from billing.ledger import Entry
from billing.models import StoredStatus
from billing.resync.scratch import Difference
from billing.stripe_accounts import Changes, RowChange
from chat.models import SubscriptionStatus

REPAIR, LEAVE = "repair", "leave"
REPAIRED, LEFT, GONE, FOUND = "repaired", "left", "gone", "found"

NEVER_TAKEN = "A resync takes no battery away: replay Stripe's event (Webhooks), or take back what is owed by hand."

#: What each kind is, in a sentence.
KINDS: dict[str, str] = {
    "credited_twice": "One payment was credited more than once.",
    "pack_not_credited": "A battery pack was paid and not credited.",
    "first_period_not_credited": "The first payment of a subscription was not credited.",
    "renewal_not_credited": "A renewal was paid and not credited.",
    "upgrade_not_credited": "An upgrade was paid and not credited.",
    "units_not_given_back": "A dispute was won or a refund failed, and the units that it took are not given back.",
    "past_due_missed": "A payment is overdue at Stripe, and OmniChat does not say so.",
    "tier_left_paid": "The tier is paid, and the subscription at Stripe is not in force any more.",
    "tier_taken_down": "A subscription is in force, and the tier is free.",
    "paid_without_subscription": "The tier is paid, and there never was a subscription at Stripe.",
    "status_not_allowed": "A status is stored that the column must not hold.",
    "status_differs": "The status is not the one at Stripe.",
    "plan_differs": "The plan is not that of the price at Stripe.",
    "price_unknown": "The subscription's price belongs to no plan.",
    "period_differs": "The period is not the one at Stripe.",
    "cancellation_differs": "The dates of its end or its trial are not those at Stripe.",
    "allowance_differs": "The daily allowance is not that of the plan in force.",
    "subscription_differs": "The user's row names another subscription than the one that counts.",
    "subscription_missing": "Stripe has a subscription that OmniChat lacks.",
    "subscription_unknown_to_stripe": "OmniChat has a subscription that Stripe does not have.",
    "subscription_of_other_user": "A subscription stands with another user than its customer's.",
    "two_subscriptions": "One person has several subscriptions in force, and may pay twice.",
    "refund_ignored": "Money was refunded, and the units were not taken back.",
    "dispute_ignored": "A payment is disputed or lost, and its units were not held.",
    "balance_without_ledger": "There is a balance, and no entry of the ledger tells where it is from.",
    "ledger_broken": "The entries of the ledger do not lead to the balance.",
    "battery_missing": "There are entries in the ledger, and no battery.",
    "customer_not_linked": "Stripe's customer names the user, and the user's row does not name the customer.",
    "customer_missing_in_stripe": "The user's customer is not at Stripe, or deleted there.",
    "customer_unknown_here": "A customer at Stripe belongs to no user of OmniChat.",
    "customer_shared": "Several users have one customer.",
    "customer_of_other_user": "The customer's metadata name another user.",
    "two_customers": "One person has several customers at Stripe.",
    "email_differs": "The email at Stripe is not the user's.",
    "account_unclear": "Stripe's objects contradict each other.",
    "plan_price_missing": "A plan's price is not at Stripe.",
    "plan_amount_differs": "A plan's price is another amount at Stripe.",
    "plan_interval_differs": "A plan's price is for another interval at Stripe.",
    "plan_currency_differs": "A plan's price is in another currency than US dollars.",
    "plan_price_inactive": "A plan's price is not active at Stripe.",
    "plan_units_hardcoded": "A plan's units are not those that the OmniChat app credits, whatever the table says.",
}

_ALLOWED = {"user_subscriptions": set(StoredStatus.values), "users": set(SubscriptionStatus.values)}
_CELLS = {
    "plan_id": "plan_differs",
    "user_id": "subscription_of_other_user",
    "current_period_start": "period_differs",
    "current_period_end": "period_differs",
    "cancel_at": "cancellation_differs",
    "canceled_at": "cancellation_differs",
    "trial_end": "cancellation_differs",
    "stripe_customer_id": "subscription_of_other_user",
    "stripeCustomerId": "customer_not_linked",
    "subscriptionId": "subscription_differs",
    "daily_allowance": "allowance_differs",
}
_REASONS = {
    "subscription_create": "first_period_not_credited",
    "subscription_cycle": "renewal_not_credited",
    "subscription_update": "upgrade_not_credited",
}


def named(changes: Changes) -> Iterator[Difference]:
    """What would be written, by name: a difference for each cell, each row that is missing, and each entry."""
    for row in changes.rows:
        yield from _row(row)
    credited = {entry.id for entry in changes.entries if entry.amount > 0}
    for entry in changes.entries:
        yield of_entry(entry, with_credit=str(entry.metadata.get("reverses")) in credited)


def _row(row: RowChange) -> Iterator[Difference]:
    if row.before is None:
        if row.table == "user_subscriptions":
            subject = str(row.after["stripe_subscription_id"])
            said = {name: row.after[name] for name in ("plan_id", "status", "current_period_end")}
            yield Difference("subscription_missing", row.user_id, subject, said, None, REPAIR)
        elif row.after.get("daily_allowance"):
            yield Difference("allowance_differs", row.user_id, row.key, row.after["daily_allowance"], None, REPAIR)
        return
    for name, wanted in row.after.items():
        found = row.before.get(name)
        kind = _kind(row.table, name, found, wanted)
        yield Difference(kind, row.user_id, f"{row.table}.{name} {row.key}", wanted, found, REPAIR)


def _kind(table: str, name: str, found: Any, wanted: Any) -> str:
    if name in ("status", "subscriptionStatus"):
        if found not in _ALLOWED[table] and found not in (None, ""):
            return "status_not_allowed"
        return "past_due_missed" if wanted == "past_due" else "status_differs"
    if name == "tier":
        return "tier_left_paid" if wanted == "free" else "tier_taken_down"
    return _CELLS[name]


def of_entry(entry: Entry, *, with_credit: bool = False) -> Difference:
    """An entry that is missing. What takes units away is left, but where it goes with a credit that is missing, too."""
    prefix = entry.id.partition(":")[0]
    if entry.amount > 0 and prefix in ("refund", "dispute"):
        return Difference("units_not_given_back", entry.user_id, entry.id, entry.amount, 0, REPAIR)
    if entry.amount > 0:
        reason = str(entry.metadata.get("billing_reason"))
        kind = _REASONS.get(reason, "pack_not_credited") if prefix == "invoice" else "pack_not_credited"
        paid_at = entry.settlement.paid_at.isoformat() if entry.settlement and entry.settlement.paid_at else None
        return Difference(kind, entry.user_id, entry.id, entry.amount, 0, REPAIR, paid_at=paid_at)
    kind = "dispute_ignored" if prefix == "dispute" else "refund_ignored"
    if with_credit:
        return Difference(kind, entry.user_id, entry.id, entry.amount, 0, REPAIR)
    return Difference(kind, entry.user_id, entry.id, entry.amount, 0, LEAVE, NEVER_TAKEN)
