"""Stripe's errors: the HTTP status and what stands in the envelope's `error`."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """An answer that is an error. `code` and `param` are left out of the envelope where they are None."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.code, self.param = status, type, code, param
        self.message, self.headers, self.more = message, headers or {}, more

    def envelope(self) -> dict[str, Any]:
        error: dict[str, Any] = {"type": self.type, "message": self.message, **self.more}
        if self.code:
            error |= {"code": self.code, "doc_url": DOCUMENTATION + self.code.replace("_", "-")}
        if self.param:
            error["param"] = self.param
        return {"error": error}


def missing(kind: str, id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """`No such customer: 'cus_x'`: 404 for the object of a path, 400 for one that a parameter names."""
    name = {"checkout.session": "checkout session", "payment_intent": "payment_intent"}.get(kind, kind)
    return StripeError(f"No such {name}: '{id}'", status=status, code="resource_missing", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(message, param=param, code=code)


def unknown_path(method: str, path: str) -> StripeError:
    return StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)


def bad_key(shown: str) -> StripeError:
    message = f"Invalid API Key provided: {shown}" if shown else "You did not provide an API key."
    return StripeError(message, status=401)


def declined() -> StripeError:
    more: dict[str, Any] = {"decline_code": "generic_decline"}
    return StripeError("Your card was declined.", status=402, type="card_error", code="card_declined", **more)
