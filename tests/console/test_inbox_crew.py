"""The threads that work off events: their connections, and what one of them raises."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from console.inbox_crew import Crew


def test_connections_stay_open_from_turn_to_turn_and_are_closed_in_the_end(files: Path) -> None:
    crew, seen = Crew(1), []

    def turn() -> None:
        connections["omnichat"].ensure_connection()
        seen.append((connections["omnichat"], connections["omnichat"].connection))

    crew.run(turn, 1)
    crew.run(turn, 1)
    assert seen[0] == seen[1]
    crew.disband()
    assert seen[0][0].connection is None


def test_what_one_thread_raises_is_told_when_the_others_have_ended() -> None:
    crew, both, ended = Crew(2), threading.Barrier(2, timeout=60), []

    def turn() -> Any:
        if both.wait() == 0:
            raise ValueError("struck down")
        ended.append(True)

    with pytest.raises(ValueError, match="struck down"):
        crew.run(turn, 2)
    assert ended == [True]
    crew.disband()
