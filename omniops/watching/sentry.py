"""Sentry, where SENTRY_DSN is set: errors without bodies, cookies, headers, addresses or variables of people."""

from __future__ import annotations

import re
from typing import Any

#: Parts of a request that are not sent.
_PRIVATE = ("data", "cookies", "headers", "env", "query_string")
#: An email, as databases tell it of a row; a URL with a password.
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


def without_secrets(event: dict[str, Any], hint: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is sent of an event: where it happened and what failed."""
    request = event.get("request") or {}
    kept = {name: value for name, value in request.items() if name not in _PRIVATE}
    event = {**event, "request": kept} if request else dict(event)
    event.pop("user", None)
    event.pop("extra", None)
    event["breadcrumbs"] = {"values": []}
    if "message" in event:
        event["message"] = _ADDRESS.sub("...", str(event["message"]))
    if log := event.get("logentry"):
        event["logentry"] = {"message": _ADDRESS.sub("...", str(log.get("message", "")))}
    for exception in (event.get("exception") or {}).get("values", []):
        exception["value"] = _ADDRESS.sub("...", str(exception.get("value", "")))
        for frame in (exception.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    return event


def start(dsn: str) -> None:
    """Nothing is loaded, and nothing sent, without a DSN."""
    if not dsn:
        return
    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger

    # It tells again of what failed in a request, with the address of whoever sent it.
    ignore_logger("django_structlog.middlewares.request")
    sentry_sdk.init(
        dsn=dsn,
        before_send=without_secrets,  # type: ignore[arg-type]
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        traces_sample_rate=0.0,
    )
