"""An event as it arrives: verified over the raw body, read, and rid of what nobody here needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from django.views.decorators.debug import sensitive_variables

from billing import clerk_events, stripe_events
from billing import stripe_shapes as shapes
from console.models.inbox import InboxSource, InboxState

#: A signature may be so old, in seconds, as Stripe and Svix have it.
TOLERANCE = 300
#: The `object` of events without the object that they are about: https://docs.stripe.com/event-destinations#thin-events
THIN = "v2.core.event"
# Who has these could pay or act as somebody else. No handler reads them.
_SECRET = frozenset(("client_secret", "secret", "ephemeral_key"))
# Where Stripe lets in whoever has the address.
_OPEN_DOORS = ("billing_portal.session", "identity.verification_session")
_SECRET_NAMES = (b"secret", b"ephemeral_key", *(name.encode() for name in _OPEN_DOORS))


class Refused(Exception):
    """Nothing is kept. The text is a sentence for whoever set up the endpoint."""


@dataclass(frozen=True)
class Arrival:
    """The cells of a row of the inbox."""

    source: str
    event_id: str
    type: str
    api_version: str
    livemode: bool | None
    subject: str
    payload: str
    happened_at: datetime | None
    state: str


@sensitive_variables()
def verify_stripe(body: bytes, header: str, secrets: list[str]) -> None:
    """Raises Refused unless the body was signed by one of the secrets within the last five minutes."""
    import stripe  # Slow, and no page but this one needs it.

    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE)
        except (stripe.SignatureVerificationError, UnicodeDecodeError, TypeError):  # Of a header that is not ASCII.
            continue
        return
    raise Refused("The signature is missing, wrong or too old: look at STRIPE_WEBHOOK_SECRET and at the clock.")


@sensitive_variables()
def verify_clerk(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> None:
    """As `verify_stripe`, by Svix."""
    from svix.webhooks import Webhook, WebhookVerificationError

    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers))
        except (WebhookVerificationError, UnicodeDecodeError, ValueError):
            continue
        return
    raise Refused("The signature is missing, wrong or too old: look at CLERK_WEBHOOK_SECRET and at the clock.")


def read(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Refused."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("The body is no JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise Refused("The body is no JSON object.")
    return found


def arrival_of_stripe(event: Mapping[str, Any]) -> Arrival:
    """Raises Refused where it is no event of Stripe's."""
    id, kind, thing = event.get("id"), event.get("type"), shapes.dig(event, "data", "object")
    is_thin = event.get("object") == THIN
    if not _is_name(id, 255) or not _is_name(kind, 100) or not (is_thin or isinstance(thing, Mapping)):
        raise Refused("The body is no event of Stripe's.")
    handled = (str(kind).removeprefix("v1.") if is_thin else kind) in stripe_events.HANDLERS
    needs = stripe_events.needs_of(event)
    livemode = event.get("livemode")
    return Arrival(
        InboxSource.STRIPE,
        str(id),
        str(kind),
        _text(event.get("api_version"), 50),
        livemode if isinstance(livemode, bool) else None,
        _text(needs.subject, 255),
        _kept(event),
        _moment(event.get("created")),
        InboxState.RECEIVED if handled else InboxState.IGNORED,
    )


def arrival_of_clerk(event: Mapping[str, Any], id: str) -> Arrival:
    """`id` is that of the delivery, which stays the same when it is sent again. Raises Refused."""
    kind, data = event.get("type"), event.get("data")
    if not _is_name(id, 255) or not _is_name(kind, 100) or not isinstance(data, Mapping):
        raise Refused("The body is no event of Clerk's.")
    handled = kind in clerk_events.HANDLED
    return Arrival(
        InboxSource.CLERK,
        id,
        str(kind),
        "",
        None,
        _text(data.get("id"), 255) if handled else "",
        # Others hold the codes by which somebody signs in.
        _kept(event if handled else {**event, "data": {"id": data.get("id")}}),
        _moment(data.get("updated_at")) or _moment(event.get("timestamp")),
        InboxState.RECEIVED if handled else InboxState.IGNORED,
    )


def _is_name(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _text(value: Any, longest: int) -> str:
    """PostgreSQL keeps no NUL."""
    return str(value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[:longest]


def _kept(event: Mapping[str, Any]) -> str:
    try:
        text = orjson.dumps(event)
        if any(name in text for name in _SECRET_NAMES):
            text = orjson.dumps(without_secrets(event))
        return text.decode()
    except (RecursionError, orjson.JSONEncodeError):
        raise Refused("The body is nested too deeply.") from None


def without_secrets(value: Any) -> Any:
    """The same without what would let somebody pay or act as somebody else."""
    if isinstance(value, Mapping):
        secret = _SECRET | {"url"} if value.get("object") in _OPEN_DOORS else _SECRET
        return {key: without_secrets(each) for key, each in value.items() if key not in secret}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


def _moment(at: Any) -> datetime | None:
    """From Unix seconds or milliseconds."""
    if not isinstance(at, int) or isinstance(at, bool) or not 0 < at < 10**14:
        return None
    return datetime.fromtimestamp(at / 1000 if at > 10**11 else at, UTC)
