"""The ledger under processes at once, kills and lost answers: no unit lost, none doubled.

`make test` runs a sample of each, `make proof` the whole. What is done stands in works.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

PLACES = pytest.mark.parametrize("name", ["SQLite", "D1"])
Places = Callable[[str], Any]
Size = Callable[[int, int], int]
WORKS = ("bulk", "reset", "import", "grant", "grant file", "grant job", "take back")


def race(place: Any, processes: int, entries: int) -> None:
    """Each process posts its share, and a fifth of the next one's as well."""
    share = entries // processes
    begun = [
        place.start("race", number, number * share, min((number + 1) * share + share // 5, entries))
        for number in range(processes)
    ]
    ended = [place.told(process) for process in begun]
    found = place.run("check")
    assert (found["books"], found["drift"]) == ([], [])
    posted = Counter(id for one in ended for id in one["posted"])
    assert set(posted.values()) == {1}, "two were told that they had posted the same cause"
    assert sorted(posted) == found["posted"], "what was told is not what is there"
    print(found["rows"], "entries:", [one["states"] for one in ended])
    states = sum((Counter(one["states"]) for one in ended), Counter[str]())
    assert states["repeated"] > 0
    assert set(states) <= {"posted", "repeated", "nothing"}, states
    assert found["allowances"][0] == found["allowances"][1]


@PLACES
def test_processes_at_once_post_each_cause_once(place: Places, full: Size, name: str) -> None:
    race(place(name), full(2, 8), full(400, 10_000))


def test_processes_at_once_with_lost_answers_do_too(place: Places, full: Size) -> None:
    d1 = place("D1")
    d1.engine.fault("cut_after", probability=0.2, match="INSERT INTO battery_transactions")
    race(d1, full(2, 8), full(400, 10_000))


@PLACES
def test_a_kill_at_any_moment_loses_and_doubles_nothing(place: Places, full: Size, name: str) -> None:
    report = place(name).run("kill", full(2, 40), 1, *WORKS)
    assert report["killed"] == full(2, 40) * len(WORKS)
    print(name, report)


def test_answers_lost_after_the_commit_lose_and_double_nothing(place: Places, full: Size) -> None:
    d1 = place("D1")
    d1.engine.fault("cut_after", probability=0.2, match="INSERT INTO")
    again = d1.run("lose", full(2, 40), *WORKS)["again"]
    assert set(again) == set(WORKS)
    print("done again, for nobody knew:", again)
