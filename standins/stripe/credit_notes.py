"""Credit notes: less to pay of an open invoice; of a paid one money back, or towards the next invoices."""

from __future__ import annotations

from standins.stripe import collection, invoices, refunds
from standins.stripe.account import Account
from standins.stripe.errors import invalid
from standins.stripe.store import Thing


def create(
    account: Account, invoice: Thing, cents: int, *, refund: int = 0, credit: int = 0, out_of_band: int = 0,
    reason: str | None = None, metadata: dict[str, str] | None = None,
) -> Thing:  # fmt: skip
    """What is left to pay is taken off first; the rest of `cents` goes back as refund, credit and out of band.

    Raises:
        StripeError: the invoice is neither open nor paid, less is left of it, or the three are not the rest.
    """
    before = _unpaid_part(account, invoice, cents)
    after = cents - before
    if refund + credit + out_of_band != after:
        raise invalid(f"The sum of refund, credit and out of band amounts must equal {after}.", "refund_amount")
    made = refunds.create(account, _charge(account, invoice), refund, reason=None) if refund else None
    note = account.new(
        "credit_note", invoice=invoice["id"], customer=invoice["customer"], amount=cents, subtotal=cents, total=cents,
        subtotal_excluding_tax=cents, total_excluding_tax=cents, pre_payment_amount=before, post_payment_amount=after,
        type="mixed" if before and after else "pre_payment" if before else "post_payment", reason=reason,
        out_of_band_amount=out_of_band or None, metadata=metadata or {}, effective_at=account.clock.now(),
        refunds=[{"amount_refunded": refund, "payment_record_refund": None, "refund": made["id"], "type": "refund"}]
        if made else [],
    )  # fmt: skip
    _describe(account, note, invoice)
    if credit:
        customer = account.store["customer"].get(invoice["customer"])
        note["customer_balance_transaction"] = account.new_id("customer_balance_transaction")
        account.change(customer, "customer.updated", balance=customer["balance"] - credit)
    account.emit("credit_note.created", note)
    _lower(account, invoice, before, after)
    return note


def void(account: Account, note: Thing) -> None:
    """Raises StripeError where money went back, or the invoice is paid since."""
    invoice = account.store["invoice"].get(note["invoice"])
    if note["status"] == "void" or invoice["status"] != "open":
        raise invalid("You can only void a credit note of an open invoice, and only once.")
    note |= {"status": "void", "voided_at": account.clock.now()}
    account.emit("credit_note.voided", note)
    _lower(account, invoice, -note["pre_payment_amount"], 0)


def _unpaid_part(account: Account, invoice: Thing, cents: int) -> int:
    if invoice["status"] not in ("open", "paid"):
        raise invalid("You can only create credit notes for open or paid invoices.", "invoice")
    unpaid = invoice["amount_remaining"]
    left = unpaid + invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]
    if not 0 < cents <= left:
        raise invalid(f"The credit note is over what is left of the invoice, {left}.", "amount")
    return min(cents, unpaid)  # type: ignore[no-any-return]


def _charge(account: Account, invoice: Thing) -> Thing:
    intent = invoices.intent_of(account, invoice)
    if intent is None:
        raise invalid("Nothing of this invoice was paid that could be refunded.", "refund_amount")
    return refunds.charge_of(account, intent)


def _describe(account: Account, note: Thing, invoice: Thing) -> None:
    earlier = len(account.store["credit_note"].of("invoice", invoice["id"]))
    note["number"] = f"{invoice['number']}-CN-{earlier:02d}"
    note["pdf"] = f"https://pay.stripe.com/credit_notes/{note['id']}/pdf"
    credited = invoice["lines"]["data"][0]
    line = account.part(
        "credit_note_line_item", amount=note["amount"], description=credited["description"],
        invoice_line_item=credited["id"],
    )  # fmt: skip
    note["lines"] = {"object": "list", "data": [line], "has_more": False, "url": f"/v1/credit_notes/{note['id']}/lines"}


def _lower(account: Account, invoice: Thing, before: int, after: int) -> None:
    """By cents that were not paid yet, and cents that were. An open invoice of which nothing is left is paid."""
    account.change(
        invoice, "invoice.updated", amount_due=invoice["amount_due"] - before,
        amount_remaining=invoice["amount_remaining"] - before,
        pre_payment_credit_notes_amount=invoice["pre_payment_credit_notes_amount"] + before,
        post_payment_credit_notes_amount=invoice["post_payment_credit_notes_amount"] + after,
    )  # fmt: skip
    payment, intent = invoices.payment_of(account, invoice), invoices.intent_of(account, invoice)
    if not before or payment is None or intent is None:
        return
    payment["amount_requested"] -= before
    intent["amount"] -= before
    if not invoice["amount_remaining"]:
        collection.settle_out_of_band(account, invoice)
