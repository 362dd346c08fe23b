"""Which payments of a customer OmniChat may not have dealt with, by what Stripe's lists say of them. No request."""

from __future__ import annotations

from typing import Any

from billing import stripe_shapes as shapes
from billing.ledger import Entry
from billing.resync.books import Book
from billing.resync.scratch import Scratch
from billing.stripe_credits import holds, pack_entry
from billing.stripe_state import Unknown

_MONTHS = {"year": 12, "month": 1}
_MONTH_SECONDS = 2_629_746


def needs_of_money(scratch: Scratch, customer: str, user_id: str, book: Book) -> dict[str, set[str]]:
    """Ids by what has to be asked for them: `payments`, `sessions`, `reversed`, and `invoices` (["*"] for all)."""
    needs: dict[str, set[str]] = {"payments": set(), "sessions": set(), "reversed": set(), "invoices": set()}
    _packs(scratch, customer, user_id, book, needs)
    _reversals(scratch, customer, book, needs["reversed"])
    subscriptions = scratch.objects("subscription", customer=customer)
    if any(_may_lack(each, book) for each in subscriptions) or _are_fewer(subscriptions, book):
        needs["invoices"].add("*")
    return {name: ids for name, ids in needs.items() if ids}


def _packs(scratch: Scratch, customer: str, user_id: str, book: Book, needs: dict[str, set[str]]) -> None:
    intents: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
        each["id"]: (each, None) for each in scratch.objects("intent", customer=customer)
    }
    wanted: list[Entry] = []
    for sold in scratch.objects("session", customer=customer):
        intent = shapes.id_of(sold.get("payment_intent"))
        if intent in intents:
            intents[str(intent)] = (intents[str(intent)][0], sold)
        elif shapes.is_free_sale(sold) and shapes.metadata_units(sold) and f"session:{sold['id']}" not in book.causes:
            needs["sessions"].add(str(sold["id"]))
    for thing, session in intents.values():
        units = shapes.metadata_units(thing, session)
        if units is None and _may_pay_an_invoice(thing, book):
            needs["invoices"].add("*")
        if units is None or thing.get("status") != "succeeded" or f"pi:{thing['id']}" in book.causes:
            continue
        try:
            wanted.append(pack_entry(thing, units, user_id))
        except Unknown:
            needs["payments"].add(str(thing["id"]))
    needs["payments"] |= {str(entry.payment_intent) for entry in book.missing(wanted)}


def _may_pay_an_invoice(intent: dict[str, Any], book: Book) -> bool:
    """Money that came in for no pack, and that no row of the ledger tells of."""
    if intent.get("status") != "succeeded" or any(row.intent == intent["id"] for row in book.rows):
        return False
    paid_at = shapes.cents(shapes.dig(intent, "latest_charge", "created")) or shapes.cents(intent.get("created"))
    return not any(
        row.type.startswith("subscription") and row.at is not None and abs(row.at.timestamp() - paid_at) < 86_400
        for row in book.free()
    )


def _reversals(scratch: Scratch, customer: str, book: Book, found: set[str]) -> None:
    for refund in scratch.objects("refund", customer=customer):
        intent, cause = shapes.id_of(refund.get("payment_intent")), f"refund:{refund['id']}"
        is_void = refund.get("status") in ("failed", "canceled")
        ending = f"{cause}:{refund.get('status')}"
        if intent and (ending not in book.causes and cause in book.causes if is_void else cause not in book.causes):
            found.add(intent)
    for dispute in scratch.objects("dispute", customer=customer):
        intent, cause = shapes.id_of(dispute.get("payment_intent")), f"dispute:{dispute['id']}"
        ending = f"{cause}:{dispute.get('status')}"
        is_taken = cause in book.causes
        if intent and (not is_taken if holds(dispute) else is_taken and ending not in book.causes):
            found.add(intent)


def _may_lack(subscription: dict[str, Any], book: Book) -> bool:
    """Whether the credit of the newest invoice is neither among ours nor among the app's of those days."""
    invoice = shapes.id_of(subscription.get("latest_invoice"))
    if invoice is None or f"invoice:{invoice}" in book.causes or subscription.get("status") in _UNPAID:
        return False
    start = shapes.period(subscription)[0] or 0
    return not any(
        row.type.startswith("subscription") and row.at is not None and abs(row.at.timestamp() - start) < 3 * 86_400
        for row in book.free()
    )


_UNPAID = ("incomplete", "incomplete_expired", "trialing")


def _are_fewer(subscriptions: list[dict[str, Any]], book: Book) -> bool:
    """Whether there are fewer credits than paid periods, as far as the dates tell; if so its invoices are looked at."""
    periods = sum(map(_periods, subscriptions))
    return periods > 1 and book.credits_of_periods() < periods


def _periods(subscription: dict[str, Any]) -> int:
    if subscription.get("status") in _UNPAID or subscription.get("latest_invoice") is None:
        return 0
    start = shapes.cents(subscription.get("trial_end")) or shapes.cents(subscription.get("start_date"))
    last = shapes.period(subscription)[0] or start
    prices = shapes.subscription_prices(subscription)
    months = _MONTHS.get(str(shapes.dig(prices[0], "recurring", "interval")) if prices else "", 1)
    # A tenth more: months differ in length.
    return 1 + max(0, int((last - start) / (_MONTH_SECONDS * months) + 0.1))
