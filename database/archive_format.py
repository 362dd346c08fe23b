"""What a backup file is made of.

`omnichat-YYYYMMDDTHHMMSSZ.tar.zst`, with `.age` behind it when encrypted, holds in this order: `manifest.json`,
`schema.sql`, `tables/NAME.jsonl`, `console/NAME.jsonl`. docs/backups.md tells each key of the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

#: The version of this form. A reader refuses a greater one.
FORMAT = 1
MANIFEST, SCHEMA = "manifest.json", "schema.sql"
SUFFIX, ENCRYPTED_SUFFIX = ".tar.zst", ".tar.zst.age"
#: Kinds of a member that holds rows. A sequence is sqlite_sequence, restored over what the rows left there; the rows
#: of a virtual table are those that it shows.
TABLE, VIRTUAL, SEQUENCE, CONSOLE = "table", "virtual", "sequence", "console"
_NAME = re.compile(r"omnichat-(\d{8}T\d{6}Z)\.tar\.zst(\.age)?", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", re.ASCII)
_LONGEST = 60


@dataclass
class Member:
    """A file within the backup. `name` is the table's, or the console's model as `app.Model`.

    `columns` are those of each row, in order. `rowid`, `_rowid_` or `oid` leads them where the numbers of the rows are
    not 1, 2, 3 ... and so have to be kept; an INSERT that names it as a column stores it. `bytes` and `sha256` are of
    the lines as they are when unpacked.
    """

    member: str
    name: str = ""
    kind: str = ""
    columns: list[str] | None = None
    rows: int = 0
    bytes: int = 0
    sha256: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


def member_of(table: str, taken: Collection[str] = (), folder: str = "tables") -> str:
    """The member's name for a table: `tables/NAME.jsonl`; an odd name is spelled with percent signs and a number."""
    if _PLAIN.fullmatch(table):
        return f"{folder}/{table}.jsonl"
    spelled = quote(table, safe="", errors="surrogatepass")[:_LONGEST]
    return f"{folder}/{spelled}.{len(taken) + 1}.jsonl"


def file_name(moment: datetime, *, encrypted: bool) -> str:
    suffix = ENCRYPTED_SUFFIX if encrypted else SUFFIX
    return f"omnichat-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}{suffix}"


def moment_of(name: str) -> datetime | None:
    """When the backup of this file name was made; None where the name is not one of ours."""
    found = _NAME.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S%z") if found else None
    except ValueError:
        return None
