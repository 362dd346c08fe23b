"""Sign-in by Cloudflare Access: the token that Access puts on each request, verified by Access' public keys.

The header with an email is never read: anybody who reaches this server past Cloudflare can send it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from django.conf import settings
from django.http import HttpRequest

HEADER = "Cf-Access-Jwt-Assertion"
#: Keys are fetched anew after an hour, and for a key that is not known, at most so often (seconds).
LIFETIME, AGAIN = 3600, 60
_TIMEOUT = 10


class AccessRefused(ValueError):
    """The request did not come through Access, or its token is not good."""


class AccessUnreachable(Exception):
    """The keys of Access cannot be had, so no token can be verified."""


@dataclass(frozen=True)
class Identity:
    """Whom Access vouches for. `at` is when its token was issued, in Unix seconds."""

    email: str
    at: float


@dataclass
class Keys:
    """The public keys at `url`, kept by their ids."""

    url: str
    known: dict[str, Any] = field(default_factory=dict)
    fetched_at: float = 0.0

    def find(self, kid: str) -> Any:
        """The key called `kid`. Keys are rotated, so one that is not known is looked for, but not at each request."""
        age = time.monotonic() - self.fetched_at if self.fetched_at else LIFETIME
        if age >= LIFETIME or (kid not in self.known and age >= AGAIN):
            self._fetch()
        if kid not in self.known:
            raise AccessRefused("the token is signed by a key that Access does not have")
        return self.known[kid]

    def _fetch(self) -> None:
        try:
            found = jwt.PyJWKClient(self.url, cache_jwk_set=False, timeout=_TIMEOUT).get_signing_keys()
        except jwt.PyJWTError as error:
            if self.known:
                return
            raise AccessUnreachable(f"the keys at {self.url} cannot be had: {error}") from error
        self.known = {key.key_id: key.key for key in found if key.key_id}
        self.fetched_at = time.monotonic()


def is_configured() -> bool:
    return bool(settings.CLOUDFLARE_ACCESS_TEAM and settings.CLOUDFLARE_ACCESS_AUD)


@cache
def keys_at(url: str) -> Keys:
    return Keys(url)


def identity(request: HttpRequest) -> Identity:
    """Whom the token of this request stands for; AccessRefused without a good one, AccessUnreachable without keys."""
    token = request.headers.get(HEADER, "")
    if not token:
        raise AccessRefused(f"the request has no {HEADER}")
    issuer = settings.CLOUDFLARE_ACCESS_URL
    try:
        header = jwt.get_unverified_header(token)
        key = keys_at(f"{issuer}/cdn-cgi/access/certs").find(str(header.get("kid")))
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=settings.CLOUDFLARE_ACCESS_AUD,
            issuer=issuer,
            options={"require": ["exp", "iat", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        # Its words may hold a part of the token.
        raise AccessRefused(f"the token is not good ({type(error).__name__})") from error
    # A service token of Access has no email, and is nobody of the staff.
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        raise AccessRefused("the token names no person")
    return Identity(email, float(claims["iat"]))
