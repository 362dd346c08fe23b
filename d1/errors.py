"""Errors that have no counterpart in the DB-API.

They derive from Django's own classes, so that Django's error wrapper lets them through as they are: whoever catches
`IntegrityError` or `OperationalError` catches them too.
"""

from __future__ import annotations

from django.db import utils


class GuardFailed(utils.IntegrityError):
    """A guard of the block was not true at the commit, so the whole batch was rolled back. `name` is the guard's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The guard {name!r} was not met: nothing of this block was written.")
        self.name = name


class OutcomeUnknown(utils.OperationalError):
    """The answer to a write was lost. It may have been committed, whole, or not at all."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The outcome is unknown: the answer to a write was lost ({reason}). It was committed whole or not at all, "
            "and has not been sent again. Read the rows that it was to change before you repeat it."
        )
        self.reason = reason


class RateLimited(utils.OperationalError):
    """The rate limit of Cloudflare's API is used up. `retry_after` is in seconds; the request did not run."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"The rate limit of Cloudflare's API is used up: try again in {retry_after:.0f} seconds.")
        self.retry_after = retry_after
