"""`dbshell`: a prompt that reads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from django.db import DatabaseError
from django.db.backends.base.client import BaseDatabaseClient

from d1.sqltext import is_read


class DatabaseClient(BaseDatabaseClient):
    # No program is run; the name is what an error of Django's own would show.
    executable_name = "the D1 API"

    def runshell(self, parameters: Iterable[str]) -> None:
        """Answer statements that only read: those given as parameters, or else line by line from stdin."""
        for statement in list(parameters) or _lines(f"d1 {self.connection.alias}> "):
            print(self.answer(statement))  # noqa: T201 - a prompt prints

    def answer(self, statement: str) -> str:
        """The rows of a statement as text, or one line that says what was wrong with it."""
        if not is_read(statement):
            return "This prompt only reads. To change data, use the application or a migration."
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)
                rows = [[column[0] for column in cursor.description], *cursor.fetchall()]
        except DatabaseError as error:
            return str(error)
        return "\n".join("|".join("" if value is None else str(value) for value in row) for row in rows)


def _lines(prompt: str) -> Iterator[str]:
    """What is typed, until the end of the input or a line that says so."""
    while True:
        if sys.stdin.isatty():
            sys.stderr.write(prompt)
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line or line.strip().lower() in (".exit", ".quit", "exit", "quit"):
            return
        if line.strip():
            yield line.strip()
