"""What a person is told when a database cannot be used: what is wrong with which file, and the way out."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from django.db.backends.base.base import BaseDatabaseWrapper

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

# The beginning of d1's error, and the sentence.
_D1_SENTENCES = (
    ("No connection to D1", "Cloudflare cannot be reached: look at the network and at CLOUDFLARE_API_BASE."),
    ("D1 did not answer", "D1 did not answer in time: try again in a minute."),
    ("The connection to D1 was lost", "The connection to Cloudflare was lost while it answered: try again."),
)
_ABSENT = re.compile(r"no such (table|column): (\S+)")
# What d1 says in whole sentences, with the way out.
_TOLD_BY_D1 = ("Cloudflare refused", "Cloudflare knows no such", "The rate limit of", "The outcome is unknown")


def sentence(error: Exception, connection: BaseDatabaseWrapper | Any) -> str:
    """The sentence for an error of this connection; the database's own words where there is none."""
    settings = connection.settings_dict
    if settings["ENGINE"].endswith("sqlite3"):
        for text, found in _SENTENCES:
            if text in str(error):
                return found.format(file=unquote(str(settings["NAME"]).removeprefix("file:").removesuffix("?mode=ro")))
    for beginning, found in _D1_SENTENCES:
        if str(error).startswith(beginning):
            return found
    if absent := _ABSENT.search(str(error)):
        what = f"{absent[1]} {absent[2].rstrip(':')}"
        return f"There is no {what}: run manage.py setup_database, which makes what is missing."
    return str(error) if str(error).startswith(_TOLD_BY_D1) else f"The database says: {error}"
