"""Grants as a CSV file, piece by piece: memory does not grow with the number of grants."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from console.models.grant import Grant
from database.formulas import harmless
from database.values import instant_text

#: Rows that are read and sent together.
PORTION = 1000


def _name(person: User | None) -> str:
    return person.get_username() if person else ""


COLUMNS: dict[str, Callable[[Grant], Any]] = {
    "id": lambda grant: grant.pk,
    "state": lambda grant: grant.state,
    "user_id": lambda grant: grant.user_id,
    "email": lambda grant: grant.email,
    "units": lambda grant: grant.units,
    "category": lambda grant: grant.category,
    "reason": lambda grant: grant.text,
    "ticket": lambda grant: grant.ticket,
    "expires_on": lambda grant: grant.expires_on,
    "requested_by": lambda grant: grant.requester,
    "requested_at": lambda grant: grant.requested_at,
    "waits_because": lambda grant: grant.waits_because,
    "decided_by": lambda grant: _name(grant.decided_by),
    "decided_at": lambda grant: grant.decided_at,
    "decision": lambda grant: grant.decision,
    "applied_at": lambda grant: grant.applied_at,
    "reversed_units": lambda grant: grant.reversed_units,
    "reversed_by": lambda grant: _name(grant.reversal_by),
    "reversed_at": lambda grant: grant.reversal_at,
    "reversal_reason": lambda grant: grant.reversal_text,
    "expired_units": lambda grant: grant.expired_units,
    "expired_at": lambda grant: grant.expired_at,
    "file": lambda grant: grant.bulk.file_name if grant.bulk else "",
    "row": lambda grant: grant.bulk_row,
}


def csv_file(grants: QuerySet[Grant]) -> Iterator[bytes]:
    """UTF-8 with a mark at the start, for Excel; what a spreadsheet would take for a formula is made harmless."""
    rows = grants.select_related("requested_by", "decided_by", "reversal_by", "bulk").defer("bulk__rows")
    yield b"\xef\xbb\xbf" + _lines([list(COLUMNS)])
    found = rows.iterator(chunk_size=PORTION)
    while portion := list(islice(found, PORTION)):
        yield _lines([[_cell(read(grant)) for read in COLUMNS.values()] for grant in portion])


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant_text(value)
    return harmless(value) if isinstance(value, str) else value


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")
