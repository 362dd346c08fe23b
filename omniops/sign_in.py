"""The variables of sign-in by OpenID Connect and by Cloudflare Access. Those that belong together are set together."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from omniops.environment import PROBLEMS, read, secret_url

#: What the issuer is called in addresses: the callback is /admin/sign-in/oidc/callback/.
PROVIDER = "oidc"
#: An issuer is told that a sign-in may be so old (seconds), which makes it tell how old it is.
MAX_AGE = 8 * 60 * 60


def issuer_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "/.well-known/" in parts.path:
        raise ValueError("give the issuer as its own documents do, as in https://accounts.example.com.")
    return secret_url(text)


def one_word(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("it has spaces or characters that are no part of it; copy it anew.")
    return text


def access_team(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", text):
        raise ValueError("give the name of the team alone, the part of NAME.cloudflareaccess.com before the point.")
    return text


def access_audience(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("it is no audience tag of Access, which has 64 characters of 0-9 and a-f.")
    return text


def together(*values: tuple[str, str]) -> bool:
    """Whether all of these (name, value) are set. Some of them set and others not is a problem of each that is not."""
    missing = [name for name, value in values if not value]
    if missing and len(missing) < len(values):
        others = ", ".join(name for name, value in values if value)
        problem = f"{others} is set and this is not; set all of them, or none."
        # What is set and wrong has been told of already.
        PROBLEMS.extend((name, problem) for name in missing if name not in dict(PROBLEMS))
    return not missing


def openid_connect() -> tuple[str, dict[str, Any]]:
    """The issuer, "" for none, and allauth's SOCIALACCOUNT_PROVIDERS for it."""
    issuer = read("OIDC_ISSUER", issuer_url, "")
    client = read("OIDC_CLIENT_ID", one_word, "")
    secret = read("OIDC_CLIENT_SECRET", one_word, "")
    whole = together(("OIDC_ISSUER", issuer), ("OIDC_CLIENT_ID", client), ("OIDC_CLIENT_SECRET", secret))
    return (issuer, provider(issuer, client, secret)) if whole else ("", {})


def provider(issuer: str, client: str, secret: str) -> dict[str, Any]:
    """`max_age` makes an issuer tell `auth_time` (OpenID Connect Core, 3.1.2.1)."""
    settings = {"server_url": issuer, "oauth_pkce_enabled": True, "auth_params": {"max_age": str(MAX_AGE)}}
    app = {"provider_id": PROVIDER, "name": "OpenID Connect", "client_id": client, "secret": secret}
    return {"openid_connect": {"APPS": [{**app, "settings": settings}]}}


def cloudflare_access() -> tuple[str, str]:
    """The team and the audience, both "" for none."""
    team = read("CLOUDFLARE_ACCESS_TEAM", access_team, "")
    audience = read("CLOUDFLARE_ACCESS_AUD", access_audience, "")
    whole = together(("CLOUDFLARE_ACCESS_TEAM", team), ("CLOUDFLARE_ACCESS_AUD", audience))
    return (team, audience) if whole else ("", "")
