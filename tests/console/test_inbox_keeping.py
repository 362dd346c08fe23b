"""Arrivals that come at once: one write, and each is told of its own end."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import DatabaseError

from console.inbox_arrivals import Arrival
from console.inbox_keeping import MOST, Keeper


def arrival(id: str) -> Arrival:
    return Arrival("stripe", id, "x", "", None, "", "{}", None, "received")


def at_once(keeper: Keeper, ids: list[str]) -> dict[str, str]:
    told: dict[str, str] = {}

    def run(id: str) -> None:
        try:
            keeper.keep(arrival(id))
            told[id] = "kept"
        except BaseException as error:
            told[id] = str(error)

    threads = [threading.Thread(target=run, args=[id]) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return told


def test_those_that_come_while_one_is_written_are_written_together():
    writes: list[list[str]] = []
    begun, go_on = threading.Event(), threading.Event()

    def write(arrivals: list[Arrival]) -> None:
        writes.append([each.event_id for each in arrivals])
        if len(writes) == 1:
            begun.set()
            assert go_on.wait(60)

    keeper = Keeper(write)
    first = threading.Thread(target=keeper.keep, args=[arrival("first")])
    first.start()
    assert begun.wait(60)
    others = [threading.Thread(target=keeper.keep, args=[arrival(str(n))]) for n in range(5)]
    for thread in others:
        thread.start()
    while len(keeper._queue) < 5:
        pass
    go_on.set()
    for thread in [first, *others]:
        thread.join(60)
    assert writes[0] == ["first"]
    assert sorted(writes[1]) == [str(n) for n in range(5)]
    assert len(writes) == 2


def test_one_that_the_database_refuses_takes_none_along():
    kept: list[str] = []

    def write(arrivals: list[Arrival]) -> None:
        if any(each.event_id == "bad" for each in arrivals):
            raise DatabaseError("no such thing")
        kept.extend(each.event_id for each in arrivals)

    told = at_once(Keeper(write), ["bad", *map(str, range(20))])
    assert told.pop("bad") == "no such thing"
    assert set(told.values()) == {"kept"}
    assert sorted(kept) == sorted(told)


def test_nobody_waits_for_ever_where_the_writer_is_struck_down():
    def write(arrivals: list[Any]) -> None:
        raise RuntimeError("struck down")

    told = at_once(Keeper(write), [str(n) for n in range(10)])
    assert len(told) == 10
    assert set(told.values()) <= {"struck down", "The events could not be kept."}


def test_many_more_than_one_write_takes_are_all_kept():
    sizes: list[int] = []
    keeper = Keeper(lambda arrivals: sizes.append(len(arrivals)))
    assert set(at_once(keeper, [str(n) for n in range(2 * MOST)]).values()) == {"kept"}
    assert sum(sizes) == 2 * MOST
    assert max(sizes) <= MOST


def test_an_error_is_told_once_and_the_next_is_kept():
    fails = [True]

    def write(arrivals: list[Arrival]) -> None:
        if fails.pop():
            raise DatabaseError("the disk is full")

    keeper = Keeper(write)
    with pytest.raises(DatabaseError, match="disk"):
        keeper.keep(arrival("1"))
    fails.append(False)
    keeper.keep(arrival("2"))
