"""What a waiting batch would do, found out without leaving anything behind.

A batch that ends in a statement that fails is rolled back, and the error's text can carry a number out of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from d1 import sqltext
from d1.errors import GuardFailed
from d1.failures import as_django
from d1.statement import Statement, render
from d1.unit_of_work import UnitOfWork, Write, failing, guard

if TYPE_CHECKING:
    from d1.dbapi import Connection, Params

_KEY_CONDITION = re.compile(r'"(\w+)"\."(\w+)" (?:= %s|IN \(%s(?:, %s)*\))\Z')


def matching(sql: str, params: Params) -> Statement | None:
    """A count of the rows that an UPDATE or DELETE matches; None where its text does not tell."""
    plain = sqltext.matches(sql)
    return render(f"SELECT {plain.rows}", _rest(plain, params)) if plain else None


def _rest(plain: sqltext.Matches, params: Params) -> Params:
    """The parameters after those of an UPDATE's SET."""
    return params if params is None or isinstance(params, Mapping) else list(params)[plain.skipped :]


def count_of(connection: Connection, write: Write, sql: str, params: Params) -> int:
    """The rows that a waiting UPDATE or DELETE matches; -1 where its text does not tell. Guards the count."""
    plain, unit = sqltext.matches(sql), connection.unit
    if plain is None or unit is None or write not in unit.writes:
        return -1
    values = _rest(plain, params)
    known = _known({**unit.seen, **write.deleted}, plain, values)
    counting = render(f"SELECT {plain.rows}", values)
    count = known if known is not None else _count(connection, unit, write, counting, _key(plain))
    name = f"{count} rows of {plain.table} matched by the block's {sqltext.verb(sql)}"
    write.check = guard(name, f"({counting.sql}) = {count}", counting.params)
    return count


def note_delete(unit: UnitOfWork, write: Write, sql: str, params: Params) -> None:
    """Rows that a waiting DELETE takes are no longer there for the writes after it."""
    plain = sqltext.matches(sql)
    place = _key(plain) if plain else None
    if place is None or isinstance(params, Mapping):
        tables = sqltext.written_tables(sql)
        gone = {key: keys for key, keys in unit.seen.items() if key[0].lower() in tables}
        write.deleted.update({key: set(keys) for key, keys in gone.items()})
    else:
        write.deleted[place] = unit.seen.get(place, set()) & set(params or ())
    for key, keys in write.deleted.items():
        unit.seen[key] = unit.seen.get(key, set()) - keys


def _key(plain: sqltext.Matches) -> tuple[str, str] | None:
    """The table and key of a condition on a key alone."""
    found = _KEY_CONDITION.match(plain.condition) if "DISTINCT" not in plain.rows else None
    return (found[1], found[2]) if found else None


def _known(seen: dict[tuple[str, str], set[Any]], plain: sqltext.Matches, values: Any) -> int | None:
    """How many rows a condition on a key alone matches, if the block has seen them all."""
    place = _key(plain)
    if place is None or values is None:
        return None
    keys = seen.get(place, set())
    return len(set(values)) if all(value in keys for value in values) else None


def _count(
    connection: Connection, unit: UnitOfWork, write: Write, counting: Statement, place: tuple[str, str] | None
) -> int:
    if unit.may_touch(counting.sql, write, place):
        return _rehearse(connection, unit.statements(until=write), counting)
    return int(connection.read([counting])[0].rows[0][0])


def _rehearse(connection: Connection, before: Sequence[Statement], counting: Statement) -> int:
    """The count that a read would give after the writes before it, which are rolled back again."""
    reveal = f"SELECT json_extract('{{}}','guard:='||({counting.sql}))"
    try:
        connection.write([*before, Statement(reveal, counting.params)])
    except GuardFailed as answer:
        if answer.name.startswith("="):
            return int(answer.name[1:])
        raise
    raise AssertionError("a statement that must fail did not")


def find_failing(connection: Connection, statements: Sequence[Statement], error: Exception) -> Exception:
    """The same error with `statement_number` (from 1) and `statement` (SQL) of the one that fails.

    Each look is a prefix of the batch that ends in a failing statement, so nothing stays. The error of a batch that
    fails in no prefix (at the commit itself, or only by chance) carries None.
    """
    low, high = 0, len(statements)
    while low < high:
        middle = (low + high) // 2
        if _passes(connection, statements[: middle + 1]):
            low = middle + 1
        else:
            high = middle
    found: Any = as_django(error)
    fails = low < len(statements)
    found.statement_number = low + 1 if fails else None
    found.statement = statements[low].sql if fails else None
    return found  # type: ignore[no-any-return]


def _passes(connection: Connection, prefix: Sequence[Statement]) -> bool:
    try:
        connection.write([*prefix, Statement(f"SELECT {failing('end of the prefix')}", [])])
    except GuardFailed as answer:
        return answer.name == "end of the prefix"
    except Exception:
        return False
    raise AssertionError("a statement that must fail did not")
