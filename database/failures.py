"""What a person is told when a database cannot be used: what is wrong with which file, and the way out."""

from __future__ import annotations

import re
from traceback import walk_tb
from typing import Any
from urllib.parse import unquote

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper

from d1.errors import RateLimited

# Text of SQLite's error, and the sentence. https://www.sqlite.org/rescode.html
_SENTENCES = (
    ("file is not a database", "{file} is no SQLite database: name another file, or move this one away."),
    ("database disk image is malformed", "{file} is damaged: restore a backup of it."),
    ("database is locked", "Another program is writing to {file} and does not end: try again when it has."),
    ("database table is locked", "Another program is writing to {file} and does not end: try again when it has."),
    ("unable to open database file", "{file} cannot be opened: its folder is missing, or may not be written to."),
    ("readonly database", "{file} may not be written to: give this user the right to write to it and to its folder."),
    ("disk is full", "There is no room left on the disk of {file}: free some, then run the command again."),
    ("disk I/O error", "The disk of {file} does not answer rightly: look at the machine, then run the command again."),
)

# Text of d1's error, and the sentence. docs/production.md tells more of each, under its first words.
_D1_SENTENCES = (
    (
        "D1 DB is overloaded",
        "D1 is overloaded and did not take the request, also when it was sent again. Try again in a minute. If it "
        "stays so, look for a long query, migration or import, for D1 does one thing at a time.",
    ),
    (
        "Currently processing a long-running export",
        "D1 is being exported, takes no request until that has ended, and did not take this one. Try again in some "
        "minutes.",
    ),
    (
        "Cannot resolve D1 DB",
        "Cloudflare does not find the database at this moment and did not take the request. Try again in a minute.",
    ),
    (
        "No connection to D1",
        "Cloudflare cannot be reached: look at the network and at CLOUDFLARE_API_BASE. Nothing was sent; try again "
        "when it can.",
    ),
    ("D1 did not answer", "D1 did not answer in time, also when it was asked again: try again in a minute."),
    ("The connection to D1 was lost", "The connection to Cloudflare was lost while it answered: try again."),
    (
        "Cloudflare refused the API token",
        "Cloudflare refused the API token: it has expired, or lacks a permission. Make one in Cloudflare's dashboard, "
        "with D1 Edit for CLOUDFLARE_API_TOKEN or D1 Read for CLOUDFLARE_API_READ_TOKEN, set it, and start this anew.",
    ),
    (
        "characters that none has",
        "An API token has characters that none has: set CLOUDFLARE_API_TOKEN and CLOUDFLARE_API_READ_TOKEN anew.",
    ),
    (
        "Cloudflare knows no such",
        "Cloudflare knows no such D1 database: look for the account's and the database's id in OMNICHAT_DATABASE_URL.",
    ),
    (
        "D1 answered 5",
        "Cloudflare answers with an error of its own, also when it was asked again. Look at "
        "https://www.cloudflarestatus.com, and try again in some minutes.",
    ),
)
# The last is Django's, where it is asked for the columns of a table that is not there.
_ABSENT = re.compile(r"no such (table|column): (\S+)|has no (column) named (\S+)|(Table) (\S+) does not exist")
_LIMIT = "The limit counts all that uses the tokens of this Cloudflare user: look for what else does."
# What d1 says in whole sentences, with the way out.
_TOLD_BY_D1 = ("The rate limit of", "The outcome is unknown")


def absent(error: Exception) -> str:
    """The table or column that the database lacks, as `column users.tier`; "" where it is another error."""
    found = _ABSENT.search(str(error))
    kind, name = filter(None, found.groups()) if found else ("", "")
    return f"{kind.lower()} {name}".strip().rstrip(":")


def _refused_by(error: Exception, otherwise: BaseDatabaseWrapper | Any) -> BaseDatabaseWrapper | Any:
    """The connection in whose calls Django met the error: the console's own database may be the one in trouble."""
    for frame, _ in walk_tb(error.__traceback__):
        caller = frame.f_locals.get("self")
        if isinstance(caller, DatabaseErrorWrapper):
            return getattr(caller, "wrapper", otherwise)
    return otherwise


def sentence(error: Exception, connection: BaseDatabaseWrapper | Any) -> str:
    """The sentence for an error, of this connection unless it is another's; else the database's own words."""
    settings = _refused_by(error, connection).settings_dict
    if settings["ENGINE"].endswith("sqlite3"):
        for text, found in _SENTENCES:
            if text in str(error):
                return found.format(file=unquote(str(settings["NAME"]).removeprefix("file:").removesuffix("?mode=ro")))
    if isinstance(error, RateLimited):
        return f"{error} {_LIMIT}"
    # First, for its words hold those of what made the answer be lost.
    if str(error).startswith(_TOLD_BY_D1):
        return str(error)
    for text, found in _D1_SENTENCES:
        if text in str(error):
            return found
    if what := absent(error):
        return f"There is no {what}: run manage.py setup_database, which makes what is missing."
    return f"The database says: {error}"
