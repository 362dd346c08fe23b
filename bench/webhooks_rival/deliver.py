"""Delivers signed events to dj-stripe in its own process, in the order they came, and tells how long it took.

It works each off while it answers, so that an answer means that the effect is in its database.
"""

import json
import sys
import time

import django

django.setup()

from djstripe.models import api  # noqa: E402

# The stand-in's key is shorter than Stripe's.
api.API_KEY_REGEX = r"^(pk|sk|rk)_(test|live)_[a-zA-Z0-9]+$"

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from djstripe.models import Account, APIKey, Event, WebhookEndpoint, WebhookEventTrigger  # noqa: E402


def main() -> None:
    # Its tables are made without waiting for the disk, its events kept as the console's are.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")
        call_command("migrate", verbosity=0)
        cursor.execute("PRAGMA synchronous=FULL")
    given = json.load(sys.stdin)
    # Whose the key is, which it would ask at each event where it did not know.
    owner = Account.objects.create(id="acct_bench", livemode=False, metadata={})
    APIKey.objects.create(
        id="key_bench", type="secret", secret=given["key"], livemode=False, djstripe_owner_account=owner
    )
    endpoint = WebhookEndpoint.objects.create(
        id="we_bench", secret=given["secret"], livemode=False, url="http://testserver/", enabled_events=["*"],
        status="enabled", api_version=given["version"], metadata={},
    )  # fmt: skip
    client = Client(raise_request_exception=False)
    statuses: dict[int, int] = {}
    began = time.perf_counter()
    for body, headers in given["deliveries"]:
        answer = client.post(
            f"/stripe/webhook/{endpoint.djstripe_uuid}/", data=body.encode(), content_type="application/json",
            headers=headers,
        )  # fmt: skip
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    seconds = time.perf_counter() - began
    failed = WebhookEventTrigger.objects.exclude(exception="").values_list("exception", flat=True)
    print("\n".join(sorted(set(failed))[:5]), file=sys.stderr)
    print(json.dumps({"seconds": seconds, "statuses": statuses, "events": Event.objects.count()}))


main()
