"""A Django database backend for Cloudflare D1 over its REST API. See README.md in this folder."""

from d1.errors import GuardFailed, OutcomeUnknown, RateLimited
from d1.rate import background

__all__ = ["GuardFailed", "OutcomeUnknown", "RateLimited", "background"]
