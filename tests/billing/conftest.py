"""What the tests of this room share."""

from tests.stripe_account import files, prices, set_up, stripe

__all__ = ["files", "prices", "set_up", "stripe"]
