"""dj-stripe's own sync in its own process and database; tells how long it took, and of what it made how many rows."""

import io
import json
import os
import resource
import sys
import time

import django

django.setup()

from djstripe.models import api  # noqa: E402

# The stand-in's key is shorter than Stripe's.
api.API_KEY_REGEX = r"^(pk|sk|rk)_(test|live)_[a-zA-Z0-9]+$"

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402


def main() -> None:
    # Its tables are made without waiting for the disk.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")
        call_command("migrate", verbosity=0)
        cursor.execute("PRAGMA synchronous=FULL")
    models = sys.argv[1:]
    errors = io.StringIO()
    began, cpu = time.perf_counter(), time.process_time()
    with open(os.devnull, "w") as nowhere:
        call_command("djstripe_sync_models", *models, stdout=nowhere, stderr=errors)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    rows = {name: apps.get_model("djstripe", name).objects.count() for name in models}
    told = errors.getvalue().splitlines()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "rows": rows, "errors": told[:5]}))


main()
