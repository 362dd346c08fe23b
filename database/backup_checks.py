"""What rooms above check in a backup that was restored aside, such as the ledgers against their balances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from database.router import OMNICHAT

#: Gives parts of a sentence, one a problem. Meanwhile the alias `omnichat` is the restored database.
BackupCheck = Callable[[], list[str]]
_checks: dict[str, BackupCheck] = {}


def register_backup_check(name: str, check: BackupCheck) -> None:
    """Let every verification of a whole backup run this check."""
    _checks[name] = check


def run_backup_checks(connection: BaseDatabaseWrapper) -> list[str]:
    """What all registered checks found in the database behind `connection`."""
    found: list[str] = []
    with _as_omnichat(connection):
        for name, check in _checks.items():
            try:
                found += check()
            except DatabaseError as error:
                found.append(f"the check of the {name} could not be made: {error}")
    return found


@contextmanager
def _as_omnichat(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """In this thread alone."""
    usual = connections[OMNICHAT]
    connections[OMNICHAT] = connection
    try:
        yield
    finally:
        connections[OMNICHAT] = usual
