"""Keys and secrets of Stripe and Clerk, read from the environment. What is wrong with one is told, never the value."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from omniops.environment import secret_url


def stripe_key(text: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", text):
        raise ValueError("it is no secret key of Stripe; these begin with sk_test_, sk_live_, rk_test_ or rk_live_.")
    return text


def clerk_key(text: str) -> str:
    if not re.fullmatch(r"sk_(test|live)_[!-~]+", text):
        raise ValueError("it is no secret key of Clerk; these begin with sk_test_ or sk_live_.")
    return text


def stripe_base(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("give the scheme and host alone, as in https://api.stripe.com.")
    return secret_url(text)


def signing_secrets(text: str) -> list[str]:
    """One or several, so that an old and a new one are both good while they are changed."""
    secrets = [each.strip() for each in text.split(",") if each.strip()]
    if not secrets or not all(re.fullmatch(r"whsec_[!-~]+", each) for each in secrets):
        raise ValueError("a signing secret begins with whsec_; give one, or several with commas between.")
    return secrets


def svix_secrets(text: str) -> list[str]:
    """As `signing_secrets`; what follows the beginning is base64."""
    secrets = signing_secrets(text)
    for each in secrets:
        try:
            base64.b64decode(each.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("a signing secret of Clerk is whsec_ and base64; copy it anew.") from None
    return secrets
