"""The writes of a block, which wait for its end and then go out as one batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from d1.failures import OperationalError
from d1.sqltext import all_names, named, set_names, verb, written_tables
from d1.statement import Statement, literal


def failing(name: str) -> str:
    """An SQL expression that fails, and whose error text carries the name."""
    return f"json_extract('{{}}',{literal('guard:' + name)})"


def guard(name: str, condition: str, params: list[Any]) -> Statement:
    """A statement that fails with the name unless the condition is true. `condition` is as D1 takes it."""
    # Under a CASE, or SQLite computes the constant ahead of the condition and always fails.
    return Statement(f"SELECT CASE WHEN ({condition}) THEN 1 ELSE {failing(name)} END", params)


@dataclass(eq=False)
class Write:
    """A statement that waits. `check` is sent right before it, once somebody has relied on its row count.

    `deleted` holds keys of rows that the block had seen and that this DELETE takes, as `UnitOfWork.seen` does.
    `only_adds` is the table and key column of an INSERT of rows whose keys are all in `UnitOfWork.seen`.
    """

    statement: Statement
    check: Statement | None = None
    deleted: dict[tuple[str, str], set[Any]] = field(default_factory=dict)
    only_adds: tuple[str, str] | None = None


@dataclass
class UnitOfWork:
    """What waits in a block.

    `seen` holds, for a table and key column, the keys of rows that this block has read or inserted: an UPDATE of one
    of them matches one row, without asking again. Of tables with automatic keys, `next_ids` holds the last that the
    block gave or read, `highest` the highest that it was told to write, and `unnumbered` how many rows wait without.
    """

    writes: list[Write] = field(default_factory=list)
    seen: dict[tuple[str, str], set[Any]] = field(default_factory=dict)
    next_ids: dict[str, int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    unnumbered: dict[str, int] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)
    _texts: list[str] = field(default_factory=list)

    def add(self, sql: str, statement: Statement) -> Write:
        """Let a write wait."""
        write = Write(statement)
        self.writes.append(write)
        self._texts.append(sql)
        return write

    def tables(self) -> frozenset[str]:
        """The tables that the waiting writes change."""
        return frozenset[str]().union(*map(written_tables, self._texts))

    def may_touch(self, sql: str, before: Write, place: tuple[str, str] | None) -> bool:
        """Whether a write that waits before another may change what this read gives.

        An UPDATE may not if the read does not name the columns that it sets; nor may an INSERT of other keys, where
        the read goes by the key of `place` alone.
        """
        names, columns = named(sql), all_names(sql)
        for write, text in zip(self.writes, self._texts, strict=True):
            if write is before:
                break
            if not written_tables(text) & names or (place and write.only_adds == place):
                continue
            if verb(text) != "UPDATE" or set_names(text) & columns:
                return True
        return False

    def statements(self, until: Write | None = None) -> list[Statement]:
        """What to send, in order; with `until`, what comes before that write."""
        found: list[Statement] = []
        for write in self.writes:
            if write is until:
                break
            found += [write.check, write.statement] if write.check else [write.statement]
        return found

    def mark(self, savepoint: str) -> None:
        """Remember where an inner block begins."""
        self._marks[savepoint] = len(self.writes)

    def roll_back_to(self, savepoint: str) -> None:
        """Drop the writes of an inner block, and what was known about rows that they made."""
        length = self._mark(savepoint)
        if length < len(self.writes):
            del self.writes[length:], self._texts[length:]
            self.seen.clear()

    def release(self, savepoint: str) -> None:
        """Keep the writes of an inner block."""
        self._mark(savepoint)
        del self._marks[savepoint]

    def _mark(self, savepoint: str) -> int:
        if savepoint not in self._marks:
            raise OperationalError(f"no such savepoint: {savepoint}")
        return self._marks[savepoint]
