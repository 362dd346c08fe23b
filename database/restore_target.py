"""A database that a command names by its URL, for this run alone."""

from __future__ import annotations

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

ALIAS = "restored"


def connect_to(url: str) -> BaseDatabaseWrapper:
    """A connection to `sqlite:///FILE` or `d1://ACCOUNT/DATABASE`. ValueError for any other text.

    D1 is spoken to with the tokens of the environment.
    """
    database = settings.PARSE_OMNICHAT_URL(url)
    if database["ENGINE"] == "d1" and not database["PASSWORD"]:
        raise ValueError("CLOUDFLARE_API_TOKEN is not set, and D1 answers nothing without one.")
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: database})[ALIAS]
    if ALIAS in connections:
        connections[ALIAS].close()
        del connections[ALIAS]
    return connections[ALIAS]
