"""Serves dj-stripe by the server of the console's demo; prints where its webhook is, and serves until it is killed.

It works each event off while it answers, so that an answer of 200 means that the effect is in its database.
"""

import os

import django

django.setup()

from djstripe.models import api  # noqa: E402

# The stand-in's key is shorter than Stripe's.
api.API_KEY_REGEX = r"^(pk|sk|rk)_(test|live)_[a-zA-Z0-9]+$"

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: E402

from console import demo_server  # noqa: E402


def endpoint() -> WebhookEndpoint:
    """Where events go; with all tables, made by the first process."""
    call_command("migrate", verbosity=0)
    if found := WebhookEndpoint.objects.first():
        return found
    # Whose the key is, which it would ask at each event where it did not know.
    owner = Account.objects.create(id="acct_bench", livemode=False, metadata={})
    APIKey.objects.create(
        id="key_bench", type="secret", secret=os.environ["RIVAL_KEY"], livemode=False, djstripe_owner_account=owner
    )
    return WebhookEndpoint.objects.create(
        id="we_bench", secret=os.environ["RIVAL_SECRET"], livemode=False, url="http://127.0.0.1/",
        enabled_events=["*"], status="enabled", api_version=os.environ["RIVAL_VERSION"], metadata={},
    )  # fmt: skip


def main() -> None:
    uuid = endpoint().djstripe_uuid
    connection.close()
    with demo_server.listening(0) as server:
        print(f"http://127.0.0.1:{server.server_port}/stripe/webhook/{uuid}/", flush=True)
        demo_server.serve(server)


main()
