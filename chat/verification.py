"""What a verification checks of chat's tables."""

from __future__ import annotations

from chat.clerk import verify_users
from database.oddities import register_ids
from database.verification import register_check


def register() -> None:
    register_ids("users", id="user", stripeCustomerId="cus", subscriptionId="sub")
    register_check("clerk", verify_users, on_request=True)
