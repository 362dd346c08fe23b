"""A stand-in of Stripe over real HTTP, for tests and the demo: see README.md beside this."""

from standins.stripe.remote import RemoteError, RemoteStripe, StripeProcess
from standins.stripe.server import KEY, StripeServer
from standins.stripe.versions import LATEST

__all__ = ["KEY", "LATEST", "RemoteError", "RemoteStripe", "StripeProcess", "StripeServer"]
