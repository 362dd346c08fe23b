"""A delivery as Stripe sends it: the body and its signature."""

from __future__ import annotations

import hashlib
import hmac
import time

import orjson

from standins.stripe.store import Thing


def signed(event: Thing, secret: str, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers; `at` (Unix seconds) is the signature's time, now by default, whatever Stripe's clock says."""
    body = orjson.dumps(event, option=orjson.OPT_INDENT_2)
    moment = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": f"t={moment},v1={digest}",
    }  # fmt: skip
