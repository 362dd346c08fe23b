"""Arrivals that come at once: one write, and each is told of its own end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError

from console.inbox_arrivals import Arrival
from database.gathering import MOST, Gathering


def arrival(id: str) -> Arrival:
    return Arrival("stripe", id, "x", "", None, "", "{}", None, "received")


def at_once(gathering: Gathering, ids: list[str]) -> dict[str, str]:
    told: dict[str, str] = {}

    def run(id: str) -> None:
        try:
            gathering.write(arrival(id))
            told[id] = "kept"
        except BaseException as error:
            told[id] = str(error)

    threads = [threading.Thread(target=run, args=[id]) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return told


def written_with_five_behind(write: Callable[[list[Arrival]], None]) -> dict[str, str]:
    """The first of six is held up until the others wait."""
    begun, go_on, told = threading.Event(), threading.Event(), {}

    def held_up(arrivals: list[Arrival]) -> None:
        if arrivals[0].event_id == "first":
            begun.set()
            assert go_on.wait(60)
        write(arrivals)

    gathering = Gathering(held_up)
    first = threading.Thread(target=gathering.write, args=[arrival("first")])
    first.start()
    assert begun.wait(60)
    others = threading.Thread(target=lambda: told.update(at_once(gathering, [str(n) for n in range(5)])))
    others.start()
    while len(gathering._queue) < 5:
        pass
    go_on.set()
    for thread in (first, others):
        thread.join(60)
    return told


def test_those_that_come_while_one_is_written_are_written_together():
    writes: list[list[str]] = []
    written_with_five_behind(lambda arrivals: writes.append([each.event_id for each in arrivals]))
    assert writes[0] == ["first"]
    assert sorted(writes[1]) == [str(n) for n in range(5)]
    assert len(writes) == 2


def test_what_fails_together_is_tried_by_each_alone():
    asked: list[int] = []

    def write(arrivals: list[Arrival]) -> None:
        asked.append(len(arrivals))
        if len(arrivals) > 1:
            raise OperationalError("database is locked")

    assert set(written_with_five_behind(write).values()) == {"kept"}
    assert asked == [1, 5, 1, 1, 1, 1, 1]


def test_one_that_the_database_refuses_takes_none_along():
    kept: list[str] = []

    def write(arrivals: list[Arrival]) -> None:
        if any(each.event_id == "bad" for each in arrivals):
            raise DatabaseError("no such thing")
        kept.extend(each.event_id for each in arrivals)

    told = at_once(Gathering(write), ["bad", *map(str, range(20))])
    assert told.pop("bad") == "no such thing"
    assert set(told.values()) == {"kept"}
    assert sorted(kept) == sorted(told)


def test_nobody_waits_for_ever_where_the_writer_is_struck_down():
    def write(arrivals: list[Any]) -> None:
        if len(arrivals) > 1:
            raise SystemExit("struck down")

    assert sorted(written_with_five_behind(write).values()) == [*["kept"] * 4, "struck down"]


def test_many_more_than_one_write_takes_are_all_kept():
    sizes: list[int] = []
    gathering = Gathering(lambda arrivals: sizes.append(len(arrivals)))
    assert set(at_once(gathering, [str(n) for n in range(2 * MOST)]).values()) == {"kept"}
    assert sum(sizes) == 2 * MOST
    assert max(sizes) <= MOST


def test_an_error_is_told_once_and_the_next_is_kept():
    fails = [True]

    def write(arrivals: list[Arrival]) -> None:
        if fails.pop():
            raise DatabaseError("the disk is full")

    gathering = Gathering(write)
    with pytest.raises(DatabaseError, match="disk"):
        gathering.write(arrival("1"))
    fails.append(False)
    gathering.write(arrival("2"))
