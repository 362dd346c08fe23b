"""Counts in sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """`1 row`, `2,000 rows`. `many` where it is not `one` with an s: `counted(n, "entry", "entries")`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
