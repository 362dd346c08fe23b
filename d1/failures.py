"""The DB-API's exceptions, and which of them an error text of D1 means."""

from __future__ import annotations

import re

from django.db import utils

from d1.errors import GuardFailed


class Error(Exception):
    """The base of the DB-API's errors. Django wraps each in its own class of the same name."""


class Warning(Exception):
    """Never raised; the DB-API asks for it."""


class InterfaceError(Error):
    pass


class DatabaseError(Error):
    pass


class DataError(DatabaseError):
    pass


class OperationalError(DatabaseError):
    pass


class IntegrityError(DatabaseError):
    pass


class InternalError(DatabaseError):
    pass


class ProgrammingError(DatabaseError):
    pass


class NotSupportedError(DatabaseError):
    pass


# D1 appends SQLite's code, and an offset into the statement; Python's sqlite3, whose texts people know, does neither.
_SUFFIX = re.compile(r"(?: at offset \d+)?(?:: SQLITE_\w+(?: \(extended: \w+\))?)?$")
_GUARD = re.compile(r"bad JSON path: '((?:[^']|'')*)'")

_CONSTRAINT = re.compile(r"constraint failed|SQLITE_CONSTRAINT|datatype mismatch|constraints were violated")
_TOO_BIG = re.compile(r"string or blob too big|SQLITE_TOOBIG")

# What D1 refuses by its limits, with the way out. https://developers.cloudflare.com/d1/platform/limits/
_REMEDIES = (
    ("too many SQL variables", "a D1 statement binds 100 parameters at the most"),
    ("pattern too complex", "a LIKE or GLOB pattern has 50 bytes at the most; use instr() or a lookup of the ORM"),
    ("Expression tree is too large", "an expression is 100 deep at the most; split it, or filter with __in"),
    ("too many terms in compound SELECT", "a compound SELECT has 5 terms at the most; nest it in subqueries"),
    ("too many columns", "a table and a result have 100 columns at the most; name fewer with only() or values()"),
    ("statement too long", "a statement has 100,000 bytes at the most; split the work"),
    ("no such function", "D1 takes no functions of one's own; compute it in Python"),
    ("not authorized to use function", "D1 does not allow this function; compute it in Python"),
    ("not authorized", "D1 does not allow this statement"),
    ("BEGIN TRANSACTION or SAVEPOINT", "a batch is the only transaction of D1; use transaction.atomic()"),
)


def failure(text: str) -> Exception:
    """The exception for an error text of D1. `GuardFailed` is Django's own kind, all others are the DB-API's."""
    guard = guard_name(text)
    if guard is not None:
        return GuardFailed(guard)
    # The words about a reset object, when a deferred foreign key is violated at the end, help nobody.
    message = _SUFFIX.sub("", text).rpartition("constraints were violated: ")[2]
    if _CONSTRAINT.search(text):
        return IntegrityError(message)
    for words, remedy in _REMEDIES:
        if words in text:
            return NotSupportedError(f"{message}: {remedy}.")
    return DataError(message) if _TOO_BIG.search(text) else OperationalError(message)


def guard_name(text: str) -> str | None:
    """The name of the guard that an error text speaks of, if it does."""
    found = _GUARD.search(text)
    path = found[1].replace("''", "'") if found else ""
    return path.removeprefix("guard:") if path.startswith("guard:") else None


def as_django(error: Exception) -> Exception:
    """The same error as Django's wrapper would give it; attributes may be hung on it."""
    for kind in type(error).__mro__:
        wrapped = getattr(utils, kind.__name__, None)
        if kind.__module__ == __name__ and wrapped is not None:
            return wrapped(*error.args)  # type: ignore[no-any-return]
    return error
