"""Which columns of a list are shown, as its address says: `?columns=email,tier`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

PARAMETER = "columns"


def chosen(request: HttpRequest, offered: Sequence[Any]) -> list[Any]:
    """The columns that are asked for, in the order of the list; all where none of those it offers is asked for.

    The first one always stays: it leads to the row.
    """
    asked = set(request.GET.get(PARAMETER, "").split(","))
    if not asked.intersection(map(str, offered)):
        return list(offered)
    return [column for number, column in enumerate(offered) if number == 0 or str(column) in asked]
