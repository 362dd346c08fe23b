"""The ids that other services give: Clerk's of users, Stripe's of customers, subscriptions and prices."""

from __future__ import annotations

import re

from django.core.validators import RegexValidator

#: What an id is called, by its prefix.
KINDS = {
    "user": "a Clerk user id",
    "cus": "a Stripe customer id",
    "sub": "a Stripe subscription id",
    "price": "a Stripe price id",
    "pi": "a Stripe payment intent id",
}


def is_id(prefix: str, text: object) -> bool:
    """Whether a text has the form of such an id: `user_2abC`, `cus_N1`. Whether it exists is another question."""
    return isinstance(text, str) and bool(re.fullmatch(_pattern(prefix), text))


def id_validator(prefix: str) -> RegexValidator:
    """The validator of a field that holds ids of one kind."""
    return RegexValidator(
        rf"\A{_pattern(prefix)}\Z", f"“%(value)s” is not {KINDS[prefix]}: these look like {prefix}_1AbC.", "id"
    )


def _pattern(prefix: str) -> str:
    return rf"{prefix}_[A-Za-z0-9_]+"
