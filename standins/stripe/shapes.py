"""What an object of each kind looks like when it is new, in the shape of 2026-10-28.endive.

The keys are those of Stripe's published examples; a test holds them to that.
"""

from __future__ import annotations

from typing import Any

import orjson

from standins.stripe.store import Thing

ADDRESS: Thing = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
BILLING: Thing = {"address": ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}
CARD: Thing = {
    "brand": "visa", "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
    "country": "US", "exp_month": 8, "exp_year": 2034, "fingerprint": "AOB934RVNwzk6xtn", "funding": "credit",
    "last4": "4242", "wallet": None, "regulated_status": "unregulated",
}  # fmt: skip
CUSTOMER: Thing = {
    "address": None, "balance": 0, "currency": None, "customer_account": None, "default_source": None,
    "delinquent": False, "description": None, "discount": None, "email": None, "invoice_prefix": "",
    "invoice_settings": {
        "custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None,
    },
    "metadata": {}, "name": None, "next_invoice_sequence": 1, "phone": None, "preferred_locales": [],
    "shipping": None, "tax_exempt": "none", "test_clock": None,
}  # fmt: skip
PRODUCT: Thing = {
    "active": True, "default_price": None, "description": None, "images": [], "marketing_features": [],
    "metadata": {}, "name": "", "package_dimensions": None, "shippable": None, "statement_descriptor": None,
    "tax_code": None, "type": "service", "unit_label": None, "updated": 0, "url": None,
}  # fmt: skip
PRICE: Thing = {
    "active": True, "billing_scheme": "per_unit", "currency": "usd", "custom_unit_amount": None, "lookup_key": None,
    "metadata": {}, "nickname": None, "product": "", "recurring": None, "tax_behavior": "unspecified",
    "tiers_mode": None, "transform_quantity": None, "type": "one_time", "unit_amount": 0, "unit_amount_decimal": "0",
}  # fmt: skip
RECURRING: Thing = {
    "interval": "month", "interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed",
}  # fmt: skip
COUPON: Thing = {
    "amount_off": None, "currency": None, "duration": "once", "duration_in_months": None, "max_redemptions": None,
    "metadata": {}, "name": None, "percent_off": None, "redeem_by": None, "times_redeemed": 0, "valid": True,
}  # fmt: skip
DISCOUNT: Thing = {
    "checkout_session": None, "customer": None, "customer_account": None, "end": None, "invoice": None,
    "invoice_item": None, "promotion_code": None, "source": {"coupon": None, "type": "coupon"}, "start": 0,
    "subscription": None, "subscription_item": None,
}  # fmt: skip
SUBSCRIPTION: Thing = {
    "application": None, "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None}, "billing_cycle_anchor": 0,
    "billing_cycle_anchor_config": None, "billing_mode": {"flexible": {"proration_discounts": "included"},
    "type": "flexible"}, "billing_schedules": [], "billing_thresholds": None, "cancel_at": None,
    "cancel_at_period_end": False, "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically", "currency": "usd", "customer": "", "customer_account": None,
    "days_until_due": None, "default_payment_method": None, "default_source": None, "default_tax_rates": [],
    "description": None, "discounts": [], "ended_at": None,
    "invoice_settings": {
        "account_tax_ids": None, "custom_fields": None, "description": None, "footer": None,
        "issuer": {"type": "self"},
    },
    "items": {"object": "list", "data": [], "has_more": False, "url": ""}, "latest_invoice": None,
    "managed_payments": {"enabled": False}, "metadata": {}, "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None, "pause_collection": None,
    "payment_settings": {
        "payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off",
    },
    "pending_invoice_item_interval": None, "pending_setup_intent": None, "pending_update": None, "schedule": None,
    "start_date": 0, "status": "active", "test_clock": None, "transfer_data": None, "trial_end": None,
    "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}}, "trial_start": None,
}  # fmt: skip
ITEM: Thing = {
    "billing_thresholds": None, "current_period_end": 0, "current_period_start": 0, "discounts": [], "metadata": {},
    "price": {}, "plan": {}, "quantity": 1, "subscription": "", "tax_rates": [],
}  # fmt: skip
PLAN: Thing = {
    "active": True, "amount": 0, "amount_decimal": "0", "billing_scheme": "per_unit", "currency": "usd",
    "interval": "month", "interval_count": 1, "metadata": {}, "meter": None, "nickname": None, "product": "",
    "tiers_mode": None, "transform_usage": None, "trial_period_days": None, "usage_type": "licensed",
}  # fmt: skip
INVOICE: Thing = {
    "account_country": "US", "account_name": "OmniChat", "account_tax_ids": None, "amount_due": 0,
    "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": 0, "amount_shipping": 0, "application": None,
    "attempt_count": 0, "attempted": False, "auto_advance": True,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
    "automatically_finalizes_at": None, "billing_reason": "manual", "collection_method": "charge_automatically",
    "currency": "usd", "custom_fields": None, "customer": "", "customer_account": None, "customer_address": None,
    "customer_email": None, "customer_name": None, "customer_phone": None, "customer_shipping": None,
    "customer_tax_exempt": "none", "customer_tax_ids": [], "default_payment_method": None, "default_source": None,
    "default_tax_rates": [], "description": None, "discounts": [], "due_date": None, "effective_at": None,
    "ending_balance": None, "footer": None, "from_invoice": None, "hosted_invoice_url": None, "invoice_pdf": None,
    "issuer": {"type": "self"}, "last_finalization_error": None, "latest_revision": None,
    "lines": {"object": "list", "data": [], "has_more": False, "url": ""}, "metadata": {},
    "next_payment_attempt": None, "number": None, "on_behalf_of": None, "parent": None,
    "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
    "period_end": 0, "period_start": 0, "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0,
    "receipt_number": None, "rendering": None, "shipping_cost": None, "shipping_details": None, "starting_balance": 0,
    "statement_descriptor": None, "status": "draft",
    "status_transitions": {
        "finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None,
    },
    "subtotal": 0, "subtotal_excluding_tax": 0, "test_clock": None, "total": 0, "total_discount_amounts": [],
    "total_excluding_tax": 0, "total_pretax_credit_amounts": [], "total_taxes": [], "webhooks_delivered_at": None,
}  # fmt: skip
LINE: Thing = {
    "amount": 0, "currency": "usd", "description": None, "discount_amounts": [], "discountable": True,
    "discounts": [], "invoice": "", "metadata": {}, "parent": None, "period": {}, "pretax_credit_amounts": [],
    "pricing": None, "quantity": 1, "quantity_decimal": "1", "subtotal": 0, "taxes": [],
}  # fmt: skip
INVOICE_PAYMENT: Thing = {
    "amount_paid": None, "amount_requested": 0, "currency": "usd", "invoice": "", "is_default": True,
    "payment": {"type": "payment_intent"}, "status": "open",
    "status_transitions": {"canceled_at": None, "paid_at": None},
}  # fmt: skip
INVOICEITEM: Thing = {
    "amount": 0, "currency": "usd", "customer": "", "customer_account": None, "date": 0, "description": None,
    "discountable": True, "discounts": [], "invoice": None, "metadata": {}, "net_amount": 0, "parent": None,
    "period": {}, "pricing": None, "proration": False, "quantity": 1, "quantity_decimal": "1", "tax_rates": [],
    "test_clock": None,
}  # fmt: skip
PAYMENT_INTENT: Thing = {
    "amount": 0, "amount_capturable": 0, "amount_details": {"tip": {}}, "amount_received": 0, "application": None,
    "application_fee_amount": None, "automatic_payment_methods": None, "canceled_at": None,
    "cancellation_reason": None, "capture_method": "automatic", "client_secret": "",
    "confirmation_method": "automatic", "currency": "usd", "customer": None, "customer_account": None,
    "description": None, "excluded_payment_method_types": None, "last_payment_error": None, "latest_charge": None,
    "managed_payments": {"enabled": False}, "metadata": {}, "next_action": None, "on_behalf_of": None,
    "payment_method": None, "payment_method_configuration_details": None, "payment_method_options": {},
    "payment_method_types": ["card"], "processing": None, "receipt_email": None, "review": None,
    "setup_future_usage": None, "shipping": None, "source": None, "statement_descriptor": None,
    "statement_descriptor_suffix": None, "status": "requires_payment_method", "transfer_data": None,
    "transfer_group": None,
}  # fmt: skip
CHARGE: Thing = {
    "amount": 0, "amount_captured": 0, "amount_refunded": 0, "application": None, "application_fee": None,
    "application_fee_amount": None, "balance_transaction": None, "billing_details": BILLING,
    "calculated_statement_descriptor": "OMNICHAT", "captured": True, "currency": "usd", "customer": None,
    "description": None, "disputed": False, "failure_balance_transaction": None, "failure_code": None,
    "failure_message": None, "fraud_details": {}, "metadata": {}, "on_behalf_of": None,
    "outcome": {
        "advice_code": None, "network_advice_code": None, "network_decline_code": None,
        "network_status": "approved_by_network", "reason": None, "seller_message": "Payment complete.",
        "type": "authorized",
    },
    "paid": True, "payment_intent": None, "payment_method": None,
    "payment_method_details": {"card": CARD | {"network": "visa", "mandate": None}, "type": "card"},
    "receipt_email": None, "receipt_number": None, "receipt_url": None, "refunded": False, "review": None,
    "shipping": None, "source": None, "source_transfer": None, "statement_descriptor": None,
    "statement_descriptor_suffix": None, "status": "succeeded", "transfer_data": None, "transfer_group": None,
}  # fmt: skip
REFUND: Thing = {
    "amount": 0, "balance_transaction": None, "charge": None, "currency": "usd", "customer": None,
    "customer_account": None, "destination_details": {"card": {"type": "refund"}, "type": "card"}, "metadata": {},
    "payment_intent": None, "payment_method": None, "reason": None, "receipt_number": None,
    "source_transfer_reversal": None, "status": "succeeded", "transfer_reversal": None,
}  # fmt: skip
CREDIT_NOTE: Thing = {
    "amount": 0, "amount_shipping": 0, "currency": "usd", "customer": "", "customer_account": None,
    "customer_balance_transaction": None, "discount_amount": 0, "discount_amounts": [], "effective_at": None,
    "invoice": "", "lines": {"object": "list", "data": [], "has_more": False, "url": ""}, "memo": None,
    "metadata": {}, "number": "", "out_of_band_amount": None, "pdf": "", "post_payment_amount": 0,
    "pre_payment_amount": 0, "pretax_credit_amounts": [], "reason": None, "refunds": [], "shipping_cost": None,
    "status": "issued", "subtotal": 0, "subtotal_excluding_tax": 0, "total": 0, "total_excluding_tax": 0,
    "total_taxes": [], "type": "post_payment", "voided_at": None,
}  # fmt: skip
CREDIT_NOTE_LINE: Thing = {
    "amount": 0, "description": None, "discount_amount": 0, "discount_amounts": [], "invoice_line_item": "",
    "metadata": {}, "pretax_credit_amounts": [], "quantity": 1, "tax_rates": [], "taxes": [],
    "type": "invoice_line_item", "unit_amount": None, "unit_amount_decimal": None,
}  # fmt: skip
EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation", "duplicate_charge_explanation",
    "duplicate_charge_id", "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address", "shipping_carrier",
    "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file",
    "uncategorized_text",
)  # fmt: skip
DISPUTE: Thing = {
    "amount": 0, "balance_transactions": [], "charge": "", "currency": "usd", "enhanced_eligibility_types": [],
    "evidence": dict.fromkeys(EVIDENCE) | {"enhanced_evidence": {}},
    "evidence_details": {
        "due_by": 0, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False, "submission_count": 0,
    },
    "is_charge_refundable": False, "metadata": {}, "payment_intent": None,
    "payment_method_details": {
        "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
        "type": "card",
    },
    "reason": "fraudulent", "status": "needs_response",
}  # fmt: skip
SESSION: Thing = {
    "adaptive_pricing": None, "after_expiration": None, "allow_promotion_codes": None, "amount_subtotal": 0,
    "amount_total": 0, "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "billing_address_collection": None, "cancel_url": None, "client_reference_id": None, "client_secret": None,
    "collected_information": None, "consent": None, "consent_collection": None, "currency": "usd",
    "currency_conversion": None, "custom_fields": [],
    "custom_text": {
        "after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None,
    },
    "customer": None, "customer_account": None, "customer_creation": None, "customer_details": None,
    "customer_email": None, "discounts": [], "expires_at": 0, "integration_identifier": None, "invoice": None,
    "invoice_creation": None, "locale": None, "managed_payments": {"enabled": False}, "metadata": {},
    "mode": "payment", "origin_context": None, "payment_intent": None, "payment_link": None,
    "payment_method_collection": "if_required", "payment_method_configuration_details": None,
    "payment_method_options": {}, "payment_method_types": ["card"], "payment_status": "unpaid", "permissions": None,
    "phone_number_collection": {"enabled": False}, "recovered_from": None, "saved_payment_method_options": None,
    "setup_intent": None, "shipping_address_collection": None, "shipping_cost": None, "shipping_options": [],
    "status": "open", "submit_type": None, "subscription": None, "success_url": "https://omnichat.example/success",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted_page",
    "url": None, "wallet_options": None,
}  # fmt: skip
BALANCE_TRANSACTION: Thing = {
    "amount": 0, "available_on": 0, "balance_type": "payments", "currency": "usd", "description": None,
    "exchange_rate": None, "fee": 0, "fee_details": [], "net": 0, "reporting_category": "charge", "source": None,
    "status": "available", "type": "charge",
}  # fmt: skip
PAYMENT_METHOD: Thing = {
    "allow_redisplay": "unspecified", "billing_details": BILLING,
    "card": CARD | {
        "display_brand": "visa", "generated_from": None, "networks": {"available": ["visa"], "preferred": None},
        "three_d_secure_usage": {"supported": True},
    },
    "customer": None, "customer_account": None, "metadata": {}, "type": "card",
}  # fmt: skip
EVENT: Thing = {
    "api_version": None,
    "data": {},
    "pending_webhooks": 0,
    "request": {"id": None, "idempotency_key": None},
}

# As bytes, since a deep copy is made of one for each new object.
_SHAPES = {
    kind: orjson.dumps(shape)
    for kind, shape in {
        "customer": CUSTOMER, "product": PRODUCT, "price": PRICE, "coupon": COUPON, "discount": DISCOUNT,
        "subscription": SUBSCRIPTION, "subscription_item": ITEM, "plan": PLAN, "invoice": INVOICE, "line_item": LINE,
        "invoice_payment": INVOICE_PAYMENT, "invoiceitem": INVOICEITEM, "payment_intent": PAYMENT_INTENT,
        "charge": CHARGE, "refund": REFUND, "dispute": DISPUTE, "credit_note": CREDIT_NOTE,
        "credit_note_line_item": CREDIT_NOTE_LINE, "checkout.session": SESSION,
        "balance_transaction": BALANCE_TRANSACTION, "payment_method": PAYMENT_METHOD, "event": EVENT,
    }.items()
}  # fmt: skip
# Objects that Stripe gives no `livemode` or no `created` of their own.
_NO_LIVEMODE = {"refund", "balance_transaction", "discount", "subscription_item"}
_NO_CREATED = {"line_item", "discount", "invoiceitem", "credit_note_line_item"}


def shape(kind: str, id: str, created: int, livemode: bool, /, **values: Any) -> Thing:
    """A new object; `values` over the defaults."""
    thing: Thing = {"id": id, "object": kind} | orjson.loads(_SHAPES[kind])
    if kind not in _NO_LIVEMODE:
        thing["livemode"] = livemode
    if kind not in _NO_CREATED:
        thing["created"] = created
    return thing | values
