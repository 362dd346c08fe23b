"""Whose account it is: what GET /v1/account tells. It has no connected accounts, and its customers no sources."""

from __future__ import annotations

from typing import Any

from standins.stripe import lists
from standins.stripe.account import Account
from standins.stripe.clock import DAY
from standins.stripe.errors import StripeError
from standins.stripe.parameters import known
from standins.stripe.shapes import ADDRESS
from standins.stripe.store import Thing, copy

ID = "acct_1Standin00000000"
_REQUIREMENTS: Thing = {
    "alternatives": [], "current_deadline": None, "currently_due": [], "disabled_reason": None, "errors": [],
    "eventually_due": [], "past_due": [], "pending_verification": [],
}  # fmt: skip
_PROFILE: Thing = {
    "annual_revenue": {"amount": None, "currency": None, "fiscal_year_end": None}, "estimated_worker_count": None,
    "mcc": None, "minority_owned_business_designation": None, "name": "OmniChat", "product_description": None,
    "support_address": ADDRESS, "support_email": None, "support_phone": None, "support_url": None, "url": None,
}  # fmt: skip
_SETTINGS: Thing = {
    "bacs_debit_payments": {"display_name": None, "service_user_number": None},
    "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
    "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
    "card_payments": {
        "decline_on": {"avs_failure": True, "cvc_failure": True}, "statement_descriptor_prefix": None,
        "statement_descriptor_prefix_kana": None, "statement_descriptor_prefix_kanji": None,
    },
    "dashboard": {"display_name": "OmniChat", "timezone": "Etc/UTC"},
    "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": None},
    "payments": {
        "statement_descriptor": "OMNICHAT", "statement_descriptor_kana": None, "statement_descriptor_kanji": None,
        "statement_descriptor_prefix_kana": None, "statement_descriptor_prefix_kanji": None,
    },
    "payouts": {
        "debit_negative_balances": True, "schedule": {"delay_days": 2, "interval": "daily"},
        "statement_descriptor": None,
    },
    "sepa_debit_payments": {},
}  # fmt: skip


def own(account: Account, given: Thing, id: str) -> Thing:
    known(given, set())
    if id not in ("", ID):
        raise StripeError(
            f"The provided key does not have access to account '{id}' (or that account does not exist).",
            status=403, code="account_invalid",
        )  # fmt: skip
    return copy(  # type: ignore[no-any-return]
        {
            "id": ID, "object": "account", "business_profile": _PROFILE, "business_type": None,
            "capabilities": {"card_payments": "active", "transfers": "active"}, "charges_enabled": True,
            "controller": {"type": "account"}, "country": "US", "created": account.clock.now() - 365 * DAY,
            "default_currency": "usd", "details_submitted": True, "email": "owner@omnichat.example",
            "external_accounts": _none(f"/v1/accounts/{ID}/external_accounts"), "future_requirements": _REQUIREMENTS,
            "metadata": {}, "payouts_enabled": True, "requirements": _REQUIREMENTS, "settings": _SETTINGS,
            "tos_acceptance": {"date": None, "ip": None, "user_agent": None}, "type": "standard",
        }
    )  # fmt: skip


def connected(account: Account, given: Thing, id: str) -> Thing:
    known(given, lists.PAGING)
    return _none("/v1/accounts")


def sources(account: Account, given: Thing, id: str) -> Thing:
    """Cards and bank accounts of the days before payment methods."""
    known(given, lists.PAGING | {"object"})
    return _none(f"/v1/customers/{account.store['customer'].get(id)['id']}/sources")


def _none(url: str) -> dict[str, Any]:
    return {"object": "list", "data": [], "has_more": False, "url": url}
