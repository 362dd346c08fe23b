"""What /v1 does beyond lists and looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from standins.stripe import (
    checkout,
    collection,
    credit_notes,
    customers,
    invoices,
    merchant,
    previews,
    refunds,
    searching,
    standing,
    subscriptions,
)
from standins.stripe.account import Account
from standins.stripe.errors import StripeError, declined, invalid
from standins.stripe.parameters import boolean, integer, known, required
from standins.stripe.store import Thing

_CUSTOMER = {*customers.FIELDS, "metadata", "balance", "invoice_settings", "payment_method", "source", "shipping"}


def _create_customer(account: Account, given: Thing, id: str) -> Thing:
    known(given, _CUSTOMER)
    return customers.create(account, given)


def _update_customer(account: Account, given: Thing, id: str) -> Thing:
    known(given, _CUSTOMER)
    return customers.update(account, account.store["customer"].get(id), given)


def _delete_customer(account: Account, given: Thing, id: str) -> Thing:
    return customers.delete(account, account.store["customer"].get(id))


def _customer(account: Account, given: Thing) -> Thing:
    return account.store["customer"].get(required(given, "customer"), param="customer", status=400)


def _coupon(given: Thing) -> str | None:
    found = given.get("discounts") or []
    return found[0].get("coupon") if found else None


def _create_subscription(account: Account, given: Thing, id: str) -> Thing:
    known(given, {
        "customer", "items", "metadata", "trial_period_days", "discounts", "payment_behavior", "trial_settings",
        "default_payment_method", "collection_method", "off_session", "payment_settings", "cancel_at_period_end",
    })  # fmt: skip
    price = account.store["price"].get(
        required(given, "items")[0].get("price", ""), param="items[0][price]", status=400
    )
    behavior = given.get("payment_behavior", "allow_incomplete")
    customer = _customer(account, given)
    trial_days = integer(given, "trial_period_days", 0) or 0
    if behavior == "error_if_incomplete" and not trial_days and not collection.can_pay(account, customer["id"]):
        raise declined()
    end = (given.get("trial_settings") or {}).get("end_behavior", {})
    sub, first = subscriptions.begin(
        account, customer, price, trial_days=trial_days, coupon=_coupon(given), metadata=given.get("metadata") or {},
        missing_payment_method=end.get("missing_payment_method", "create_invoice"),
    )  # fmt: skip
    if behavior == "default_incomplete" and not trial_days:
        invoices.finalize(account, first)
        hours = collection.INCOMPLETE_HOURS * 3600
        account.clock.plan(account.clock.now() + hours, "expire", sub["id"])
    else:
        subscriptions.start(account, sub, first)
    return sub


_UPDATE = {
    "items", "metadata", "cancel_at_period_end", "cancel_at", "pause_collection", "proration_behavior",
    "proration_date", "payment_behavior", "cancellation_details", "default_payment_method", "description",
    "billing_cycle_anchor", "trial_end", "off_session",
}  # fmt: skip


def _update_subscription(account: Account, given: Thing, id: str) -> Thing:
    known(given, _UPDATE)
    sub = account.store["subscription"].get(id)
    if sub["status"] in standing.ENDED and set(given) - {"metadata", "cancellation_details"}:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if given.get("items"):
        _change_item(account, sub, given)
    if "metadata" in given:
        metadata = customers.merged(sub["metadata"], given["metadata"])
        account.change(sub, "customer.subscription.updated", metadata=metadata)
    if "pause_collection" in given:
        _pause_collection(account, sub, given["pause_collection"])
    _cancellation(account, sub, given)
    return sub


def _change_item(account: Account, sub: Thing, given: Thing) -> None:
    wanted = given["items"][0]
    item = sub["items"]["data"][0]
    if wanted.get("id") != item["id"]:
        raise invalid("You cannot add a second item here: name the present one by items[0][id].", "items[0][id]")
    price = account.store["price"].get(wanted.get("price", ""), param="items[0][price]", status=400)
    if price["id"] == item["price"]["id"]:
        return
    subscriptions.set_price(
        account, sub, price, behavior=given.get("proration_behavior", "create_prorations"),
        at=integer(given, "proration_date"), insist=given.get("payment_behavior") == "error_if_incomplete",
    )  # fmt: skip


def _pause_collection(account: Account, sub: Thing, wanted: Any) -> None:
    if wanted == "":
        account.change(sub, "customer.subscription.updated", pause_collection=None)
    else:
        subscriptions.pause(account, sub, required(wanted, "behavior"), integer(wanted, "resumes_at"))


def _cancellation(account: Account, sub: Thing, given: Thing) -> None:
    flag = boolean(given, "cancel_at_period_end")
    if given.get("cancel_at"):
        standing.cancel_later(account, sub, at=integer(given, "cancel_at"))
    elif flag:
        standing.cancel_later(account, sub)
    elif flag is False or given.get("cancel_at") == "":
        standing.keep(account, sub)


def _cancel_subscription(account: Account, given: Thing, id: str) -> Thing:
    known(given, {"invoice_now", "prorate", "cancellation_details"})
    sub = account.store["subscription"].get(id)
    if sub["status"] in standing.ENDED:
        raise StripeError(f"No such subscription: '{id}'", status=404, code="resource_missing", param="id")
    standing.end(account, sub)
    return sub


def _resume_subscription(account: Account, given: Thing, id: str) -> Thing:
    known(given, {"billing_cycle_anchor", "proration_behavior", "proration_date", "payment_behavior"})
    sub = account.store["subscription"].get(id)
    subscriptions.resume(account, sub)
    return sub


def _pause_subscription(account: Account, given: Thing, id: str) -> Thing:
    sub = account.store["subscription"].get(id)
    if sub["status"] not in ("active", "trialing", "past_due"):
        raise invalid(f"Subscription {id} cannot be paused in the status {sub['status']}.")
    subscriptions.stop(account, sub)
    return sub


def _pay_invoice(account: Account, given: Thing, id: str) -> Thing:
    known(given, {"paid_out_of_band", "off_session", "payment_method"})
    invoice = account.store["invoice"].get(id)
    if invoice["status"] == "paid":
        raise StripeError("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("open", "draft"):
        raise invalid(f"Invoice {id} is {invoice['status']} and cannot be paid.")
    if boolean(given, "paid_out_of_band"):
        collection.settle_out_of_band(account, invoice)
    elif not (
        collection.settle(account, invoice) if invoice["status"] == "draft" else collection.collect(account, invoice)
    ):
        raise declined()
    return invoice


def _void_invoice(account: Account, given: Thing, id: str) -> Thing:
    invoice = account.store["invoice"].get(id)
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid("You can only pass in open or uncollectible invoices. This invoice is not open.")
    invoices.void(account, invoice)
    return invoice


def _finalize_invoice(account: Account, given: Thing, id: str) -> Thing:
    invoice = account.store["invoice"].get(id)
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized.", code="invoice_not_editable")
    invoices.finalize(account, invoice)
    return invoice


def _create_refund(account: Account, given: Thing, id: str) -> Thing:
    known(given, {"payment_intent", "charge", "amount", "reason", "metadata"})
    if given.get("payment_intent"):
        intent = account.store["payment_intent"].get(given["payment_intent"], param="payment_intent", status=400)
        charge = refunds.charge_of(account, intent)
    else:
        charge = account.store["charge"].get(required(given, "charge"), param="charge", status=400)
    reason = given.get("reason") or None
    if reason not in (None, "duplicate", "fraudulent", "requested_by_customer"):
        raise invalid("Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer", "reason")
    return refunds.create(
        account, charge, integer(given, "amount"), reason=reason, metadata=given.get("metadata") or {}
    )


def _create_credit_note(account: Account, given: Thing, id: str) -> Thing:
    amounts = ("amount", "refund_amount", "credit_amount", "out_of_band_amount")
    known(given, {"invoice", "reason", "metadata", "memo", *amounts})
    invoice = account.store["invoice"].get(required(given, "invoice"), param="invoice", status=400)
    cents, refund, credit, out_of_band = (integer(given, name, 0) or 0 for name in amounts)
    return credit_notes.create(
        account, invoice, cents, refund=refund, credit=credit, out_of_band=out_of_band,
        reason=given.get("reason") or None, metadata=given.get("metadata") or {},
    )  # fmt: skip


def _void_credit_note(account: Account, given: Thing, id: str) -> Thing:
    note = account.store["credit_note"].get(id)
    credit_notes.void(account, note)
    return note


def _credit_note_lines(account: Account, given: Thing, id: str) -> Thing:
    return account.store["credit_note"].get(id)["lines"]  # type: ignore[no-any-return]


def _line_items(account: Account, given: Thing, id: str) -> Thing:
    account.store["checkout.session"].get(id)
    lines = account.session_lines.get(id, [])
    return {"object": "list", "data": lines, "has_more": False, "url": f"/v1/checkout/sessions/{id}/line_items"}


def _invoice_lines(account: Account, given: Thing, id: str) -> Thing:
    return account.store["invoice"].get(id)["lines"]  # type: ignore[no-any-return]


def _expire_session(account: Account, given: Thing, id: str) -> Thing:
    session = account.store["checkout.session"].get(id)
    checkout.expire(account, session)
    return session


def _items(account: Account, given: Thing, id: str) -> Thing:
    sub = account.store["subscription"].get(required(given, "subscription"), param="subscription", status=400)
    return sub["items"]  # type: ignore[no-any-return]


def _search(kind: str, path: str) -> Callable[[Account, Thing, str], Thing]:
    return lambda account, given, id: searching.search(account, kind, given, f"/v1/{path}/search")


def _features(account: Account, given: Thing, id: str) -> Thing:
    """A product here has none."""
    product = account.store["product"].get(id)
    return {"object": "list", "data": [], "has_more": False, "url": f"/v1/products/{product['id']}/features"}


def _balance(account: Account, given: Thing, id: str) -> Thing:
    cents = sum(each["net"] for each in account.store["balance_transaction"].all())
    available = [{"amount": cents, "currency": "usd", "source_types": {"card": cents}}]
    pending = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return {"object": "balance", "available": available, "livemode": account.livemode, "pending": pending}


ROUTES: list[tuple[str, str, Callable[[Account, Thing, str], Thing]]] = [
    ("POST", "customers", _create_customer),
    ("POST", "customers/{id}", _update_customer),
    ("DELETE", "customers/{id}", _delete_customer),
    ("POST", "subscriptions", _create_subscription),
    ("POST", "subscriptions/{id}", _update_subscription),
    ("DELETE", "subscriptions/{id}", _cancel_subscription),
    ("POST", "subscriptions/{id}/resume", _resume_subscription),
    ("POST", "subscriptions/{id}/pause", _pause_subscription),
    ("GET", "subscription_items", _items),
    ("POST", "invoices/create_preview", previews.create),
    ("POST", "invoices/{id}/pay", _pay_invoice),
    ("POST", "invoices/{id}/void", _void_invoice),
    ("POST", "invoices/{id}/finalize", _finalize_invoice),
    ("GET", "invoices/{id}/lines", _invoice_lines),
    ("POST", "refunds", _create_refund),
    ("POST", "credit_notes", _create_credit_note),
    ("POST", "credit_notes/{id}/void", _void_credit_note),
    ("GET", "credit_notes/{id}/lines", _credit_note_lines),
    ("POST", "checkout/sessions/{id}/expire", _expire_session),
    ("GET", "checkout/sessions/{id}/line_items", _line_items),
    ("GET", "products/{id}/features", _features),
    ("GET", "balance", _balance),
    ("GET", "customers/search", _search("customer", "customers")),
    ("GET", "payment_intents/search", _search("payment_intent", "payment_intents")),
    ("GET", "account", merchant.own),
    ("GET", "accounts", merchant.connected),
    ("GET", "accounts/{id}", merchant.own),
    ("GET", "customers/{id}/sources", merchant.sources),
]
