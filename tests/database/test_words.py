"""Counts in sentences."""

from __future__ import annotations

from database import cells
from database.words import counted


def test_a_count_of_one_is_one_thing() -> None:
    assert [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert counted(2, "entry", "entries") == "2 entries"
    assert "unit<" in str(cells.units(1))
    assert "units<" in str(cells.units(0))
