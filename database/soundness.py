"""What an engine says is damaged in its file, without what it says wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from database.backup_tables import quoted

#: Runs a query and gives its rows, as they come.
Query = Callable[[str], Iterable[Sequence[Any]]]
_NULL = "NULL value in "
# All that there are: real damage may stand behind a message for each row of a sound table.
_MOST = 10**9


def damage(query: Query, check: str, limit: int = 20) -> list[str]:
    """What `quick_check` or `integrity_check` of SQLite finds, at most `limit` texts; none means sound."""
    return _true(query, query(f"PRAGMA {check}({_MOST})"), limit)


def damage_of_d1(query: Query, limit: int = 20) -> list[str]:
    """The same of D1, which allows the quick check alone: it leaves out the order of indexes."""
    return _true(query, query(f"SELECT * FROM pragma_quick_check LIMIT {limit}"), limit)  # noqa: S608


def _true(query: Query, rows: Iterable[Sequence[Any]], limit: int) -> list[str]:
    # Some SQLites, 3.40 for one, mix up the columns of sound WITHOUT ROWID tables, and see NULLs that are not there.
    wrong: dict[str, bool] = {}
    found: list[str] = []
    for (text,) in rows:
        if text == "ok" or wrong.get(text):
            continue
        if text.startswith(_NULL) and text not in wrong:
            wrong[text] = not _has_null(query, text)
        if not wrong.get(text):
            found.append(text)
        if len(found) == limit:
            break
    return found


def _has_null(query: Query, text: str) -> bool:
    literal = text.replace("'", "''")
    columns = query(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c "  # noqa: S608
        f"WHERE m.type = 'table' AND '{_NULL}' || m.name || '.' || c.name = '{literal}'"
    )
    # `IS NULL` would be answered by the declaration, without a look at the rows.
    checks = [
        f"SELECT EXISTS (SELECT 1 FROM {quoted(table)} WHERE typeof({quoted(column)}) = 'null')"  # noqa: S608
        for table, column in list(columns)
    ]
    return not checks or any(next(iter(query(sql)))[0] for sql in checks)
