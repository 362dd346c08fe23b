"""What a person is told when a database cannot be used: what is wrong with which file, and the way out."""

from __future__ import annotations

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


def sentence(error: Exception, connection: BaseDatabaseWrapper | Any) -> str:
    """The sentence for an error of this connection; the database's own words where there is none."""
    settings = connection.settings_dict
    if settings["ENGINE"].endswith("sqlite3"):
        for text, found in _SENTENCES:
            if text in str(error):
                return found.format(file=unquote(str(settings["NAME"]).removeprefix("file:").removesuffix("?mode=ro")))
    return f"The database says: {error}"
