"""dj-stripe's sync of the same customers, from the same stand-in, in an environment and a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any

from bench.webhooks import RIVAL_CODE, rival_python
from standins.stripe.remote import StripeProcess

#: Of what a resync reads, as dj-stripe names it.
MODELS = (
    "Product", "Price", "Customer", "Subscription", "Invoice", "PaymentIntent", "Charge", "Refund", "Dispute",
    "Session",
)  # fmt: skip


def sync(stripe: StripeProcess, *models: str) -> tuple[dict[str, Any], int] | None:
    """What it told, and the calls as the stand-in counted them; None where it cannot be installed."""
    python = rival_python()
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ, "PYTHONPATH": str(RIVAL_CODE), "DJANGO_SETTINGS_MODULE": "webhooks_rival_settings",
            "RIVAL_DATABASE": f"{folder}/rival.sqlite3", "STRIPE_API_BASE": stripe.url, "RIVAL_KEY": stripe.key,
        }  # fmt: skip
        stripe.reset_calls()
        done = subprocess.run(
            [python, str(RIVAL_CODE / "sync.py"), *models], env=env, text=True, check=True, stdout=subprocess.PIPE
        )
        return json.loads(done.stdout), stripe.calls.total()
