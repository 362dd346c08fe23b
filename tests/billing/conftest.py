"""What the tests of this room share."""

from tests.stripe_account import files, prices, stripe

__all__ = ["files", "prices", "stripe"]
