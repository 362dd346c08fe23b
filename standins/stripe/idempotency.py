"""Idempotency keys: the same key with the same parameters is the same answer."""

from __future__ import annotations

from dataclasses import dataclass

from standins.stripe.errors import StripeError


@dataclass
class Kept:
    """What was asked and what was answered."""

    asked: tuple[str, str, str]
    status: int
    body: bytes
    request: str


class Idempotency:
    """The answers by key. What failed before it began (a 400 of the parameters, a 429) is not kept."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def find(self, key: str, asked: tuple[str, str, str]) -> Kept | None:
        """The answer of the first time.

        Raises:
            StripeError: the key was used for something else.
        """
        kept = self._kept.get(key)
        if kept is None or kept.asked == asked:
            return kept
        if kept.asked[:2] != asked[:2]:
            said = f"the endpoint accessed ('{asked[1]}' vs '{kept.asked[1]}')"
        else:
            said = "the same parameters they were first used with"
        message = (
            f"Keys for idempotent requests can only be used with {said}. "
            f"Try using a key other than '{key}' if you meant to execute a different request."
        )
        raise StripeError(message, type="idempotency_error")

    def keep(self, key: str, kept: Kept) -> None:
        self._kept[key] = kept
